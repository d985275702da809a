package maintenance

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/signed"
)

const (
	// maxSecret bounds a secret that is looked at, in bytes, and maxForm a form
	// that has one in it.
	maxSecret = 256
	maxForm   = 4 << 10
	// maxCookies is how many cookies of one name are looked at.
	maxCookies = 4
)

// newSecret returns a secret of 130 random bits.
func newSecret() tenancy.Secret { return tenancy.NewSecret(rand.Text()) }

// secretOf returns the secret in a request for a bypass, in the path or in a form, or
// "". Nobody waits for a form meanwhile. Without maintenance there is nothing to ask
// for.
func (g *Gate) secretOf(w http.ResponseWriter, r *http.Request, t *tenancy.Tenant, f *flight) string {
	rest, ok := strings.CutPrefix(r.URL.Path, g.opts.BypassPath)
	if !ok || r.URL.RawPath != "" {
		return ""
	}
	if service := g.service.Load(); t.Access.Maintenance == nil && (service == nil || service.Maintenance == nil) {
		return ""
	}
	secret := strings.TrimPrefix(rest, "/")
	switch {
	case r.Method == http.MethodGet && rest != secret:
	case r.Method == http.MethodPost && rest == "":
		f.tenant.Store(nil)
		defer f.tenant.Store(t)
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if r.ParseForm() == nil {
			secret = r.PostForm.Get("secret")
		}
	default:
		return ""
	}
	if len(secret) > maxSecret {
		return ""
	}
	return secret
}

// grant answers a request for a bypass with the cookie, if the secret is one of the
// plans', and reports whether it is. A wrong secret is refused as any other request
// is; while nothing refuses, nothing is found there.
func (g *Gate) grant(w http.ResponseWriter, r *http.Request, plans []*plan, secret string) bool {
	digest := tenancy.DigestOf(secret)
	var granted *plan
	for _, p := range plans {
		if p != nil && subtle.ConstantTimeCompare(p.Bypass[:], digest[:]) == 1 {
			granted = p
		}
	}
	if granted == nil {
		return false
	}
	http.SetCookie(w, g.cookie(granted, time.Now()))
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the secret is in the URL
	// A relative Location keeps the host and the prefix of the tenant under which the client asked.
	h.Set("Location", "./"+strings.Repeat("../", strings.Count(r.URL.Path, "/")-1))
	w.WriteHeader(http.StatusSeeOther)
	return true
}

// cookieName returns the name of the cookie that bypasses a plan. Tenants may share a host, so each plan has
// its own. A browser takes a cookie whose name begins with "__Host-" only over TLS, and only from the host
// itself.
func (g *Gate) cookieName(p *plan) string {
	name := "maintenance"
	if p.tenant != "" {
		name += "-" + string(p.tenant)
	}
	if g.opts.Insecure {
		return name
	}
	return "__Host-" + name
}

// cookie returns the cookie with which a browser bypasses the plan.
func (g *Gate) cookie(p *plan, now time.Time) *http.Cookie {
	expiry := strconv.FormatInt(now.Add(g.opts.BypassTTL).Unix(), 10)
	return &http.Cookie{
		Name:     g.cookieName(p),
		Value:    expiry + "." + signed.Text(g.sign(p, expiry)),
		Path:     "/",
		MaxAge:   int(g.opts.BypassTTL / time.Second),
		Secure:   !g.opts.Insecure,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	}
}

// bypasses reports whether a request has a cookie that bypasses the plan.
func (g *Gate) bypasses(r *http.Request, p *plan, now time.Time) bool {
	if p.Bypass == (tenancy.Digest{}) {
		return false
	}
	for i, c := range r.CookiesNamed(g.cookieName(p)) {
		if i == maxCookies {
			return false
		}
		if g.verify(p, c.Value, now) {
			return true
		}
	}
	return false
}

// verify reports whether a cookie's value was signed for the plan, and counts.
func (g *Gate) verify(p *plan, value string, now time.Time) bool {
	expiry, text, ok := strings.Cut(value, ".")
	if !ok || len(expiry) > 20 {
		return false
	}
	mac, ok := signed.Parse(text)
	if !ok || !hmac.Equal(mac, g.sign(p, expiry)) {
		return false
	}
	until, err := strconv.ParseInt(expiry, 10, 64)
	return err == nil && now.Unix() < until
}

// sign binds an expiry to a tenant, or the service, and the generation of its
// maintenance.
func (g *Gate) sign(p *plan, expiry string) []byte {
	key := []byte(g.opts.Key.Reveal())
	if len(key) == 0 {
		key = p.Bypass[:] // each bypass's own
	}
	return signed.Of(key, "maintenance", string(p.tenant), p.Generation, expiry)
}
