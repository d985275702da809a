package maintenance_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance"
)

var key = tenancy.NewSecret(strings.Repeat("k", 32))

// bypass returns the cookie that the secret's URL gives.
func (k *rig) bypass(t testing.TB, id tenancy.ID, secret tenancy.Secret) *http.Cookie {
	t.Helper()
	w := k.get(t, id, "/.maintenance/bypass/"+secret.Reveal())
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || len(cookies) != 1 {
		t.Fatalf("got %d and %d cookies, want a redirect and a cookie", w.Code, len(cookies))
	}
	return cookies[0]
}

func (k *rig) newBypass(t testing.TB, id tenancy.ID) tenancy.Secret {
	t.Helper()
	secret, err := k.gate.Tenant(id).NewBypass(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func (k *rig) getWith(t testing.TB, id tenancy.ID, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	t.Helper()
	r := k.request(t, id, http.MethodGet, "/")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return k.serve(r)
}

func TestBypass(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]maintenance.GateOptions{"key": {Key: key}, "derived": {}, "insecure": {Insecure: true}} {
		k := newRig(t, opts)
		k.begin(t, tenancy.Maintenance{})
		secret := k.newBypass(t, k.acme)
		if len(secret.Reveal()) < 26 { // base 32: 130 bits
			t.Errorf("got a secret of %d characters", len(secret.Reveal()))
		}
		if kept := k.tenant(t, k.acme).Access.Maintenance.Bypass; kept != tenancy.DigestOf(secret.Reveal()) {
			t.Errorf("%s: got %v kept, want the secret's digest", name, kept)
		}
		c := k.bypass(t, k.acme, secret)
		if !c.HttpOnly || c.Secure == opts.Insecure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 8*3600 ||
			strings.HasPrefix(c.Name, "__Host-") == opts.Insecure || strings.Contains(c.Value, secret.Reveal()) {
			t.Errorf("%s: got %+v", name, c)
		}
		wantServed(t, name, k.getWith(t, k.acme, c), true)
		wantServed(t, name+", no cookie", k.getWith(t, k.acme), false)
		bad := *c
		bad.Value = "1." + strings.Repeat("A", 43)
		wantServed(t, name+", after a cookie that is none", k.getWith(t, k.acme, &bad, c), true)

		again := k.newBypass(t, k.acme)
		wantServed(t, name+", another secret", k.getWith(t, k.acme, c), false)
		wantServed(t, name+", the old secret", k.get(t, k.acme, "/.maintenance/bypass/"+secret.Reveal()), false)
		c = k.bypass(t, k.acme, again)
		wantServed(t, name, k.getWith(t, k.acme, c), true)
		k.begin(t, tenancy.Maintenance{})
		wantServed(t, name+", maintenance that began again", k.getWith(t, k.acme, c), false)
		wantServed(t, name+", its secret", k.get(t, k.acme, "/.maintenance/bypass/"+again.Reveal()), false)
	}
}

// Of a flood of cookies a few are looked at.
func TestBypassInAFlood(t *testing.T) {
	t.Parallel()
	k := newRig(t, maintenance.GateOptions{Key: key})
	k.begin(t, tenancy.Maintenance{})
	c := k.bypass(t, k.acme, k.newBypass(t, k.acme))
	bad := *c
	bad.Value = "1." + strings.Repeat("A", 43)
	for n, want := range map[int]bool{3: true, 4: false, 1000: false} {
		cookies := []*http.Cookie{}
		for range n {
			cookies = append(cookies, &bad)
		}
		wantServed(t, fmt.Sprint(n), k.getWith(t, k.acme, append(cookies, c)...), want)
	}
}

func TestBypassOfAnotherTenant(t *testing.T) {
	t.Parallel()
	k := newRig(t, maintenance.GateOptions{Key: key})
	k.begin(t, tenancy.Maintenance{})
	if err := k.gate.Tenant("globex-1").Begin(t.Context(), tenancy.Maintenance{}); err != nil {
		t.Fatal(err)
	}
	secret := k.newBypass(t, k.acme)
	_ = k.newBypass(t, "globex-1")
	c := k.bypass(t, k.acme, secret)
	wantServed(t, "the other's secret", k.get(t, "globex-1", "/.maintenance/bypass/"+secret.Reveal()), false)
	wantServed(t, "the other's cookie", k.getWith(t, "globex-1", c), false)
	if !strings.Contains(c.Name, "acme-1") {
		t.Errorf("got the name %s, want one of the tenant: two may share a host", c.Name)
	}
	c.Name = strings.Replace(c.Name, "acme-1", "globex-1", 1)
	wantServed(t, "the other's cookie under our name", k.getWith(t, "globex-1", c), false)

	// Even where all but the tenant is the same.
	acme := k.tenant(t, k.acme).Access.Maintenance
	_, err := k.cat.Edit(t.Context(), "globex-1", func(t *tenancy.Tenant) error {
		t.Access.Maintenance = acme
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantServed(t, "with the same generation", k.getWith(t, "globex-1", c), false)

	other := newRig(t, maintenance.GateOptions{Key: tenancy.NewSecret(strings.Repeat("x", 32))})
	_, err = other.cat.Edit(t.Context(), k.acme, func(t *tenancy.Tenant) error {
		t.Access.Maintenance = acme
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantServed(t, "another key", other.getWith(t, k.acme, k.bypass(t, k.acme, secret)), false)
}

func TestBypassExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newRig(t, maintenance.GateOptions{Key: key, BypassTTL: time.Hour})
		k.begin(t, tenancy.Maintenance{})
		c := k.bypass(t, k.acme, k.newBypass(t, k.acme))
		r := k.request(t, k.acme, http.MethodGet, "/")
		r.AddCookie(c)
		time.Sleep(time.Hour - 1)
		wantServed(t, "a moment before", k.serve(r), true)
		time.Sleep(time.Nanosecond)
		wantServed(t, "expired", k.serve(r), false)
		// A longer life is another signature's.
		_, mac, _ := strings.Cut(c.Value, ".")
		c.Value = "99999999999." + mac
		wantServed(t, "extended by hand", k.getWith(t, k.acme, c), false)
	})
}

// The redirect leads to the place where the client was, on no other host.
func TestBypassLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	k := newRig(t, maintenance.GateOptions{BypassPath: "/a/b/c"})
	k.begin(t, tenancy.Maintenance{})
	secret := k.newBypass(t, k.acme).Reveal()
	for _, tt := range []struct{ url, want string }{
		{"https://x.test/a/b/c/" + secret, "https://x.test/"},
		{"https://x.test/a/b/c/" + secret + "?next=//evil.test", "https://x.test/"},
		{"https://x.test/t/acme/a/b/c/" + secret, "https://x.test/t/acme/"},
		{"https://x.test//evil.test/a/b/c/" + secret, "https://x.test//evil.test/"},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		r := k.request(t, k.acme, "GET", "/a/b/c/"+secret) // what is before was taken off
		r.Host, r.Header = "evil.test", http.Header{"X-Forwarded-Host": {"evil.test"}, "Referer": {"https://evil.test/"}}
		w := k.serve(r)
		to, err := u.Parse(w.Header().Get("Location"))
		if err != nil || to.String() != tt.want || w.Code != http.StatusSeeOther {
			t.Errorf("%s: got %d to %v, %v, want %s", tt.url, w.Code, to, err, tt.want)
		}
		if h := w.Header(); h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("got %v, want the secret in no referrer and no cache", h)
		}
	}
	post := func(target, body string) *httptest.ResponseRecorder {
		r := k.request(t, k.acme, "POST", target)
		r2 := httptest.NewRequest("POST", target, strings.NewReader(body)).WithContext(r.Context())
		r2.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return k.serve(r2)
	}
	if w := post("/a/b/c", "secret="+secret); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "./../../" || len(w.Result().Cookies()) != 1 {
		t.Errorf("a form: got %d %v", w.Code, w.Header())
	}
	wantServed(t, "a form with another secret", post("/a/b/c", "secret=x"), false)
	wantServed(t, "a form without one", post("/a/b/c", ""), false)
	wantServed(t, "a secret in the query", post("/a/b/c?secret="+secret, ""), false)
	wantServed(t, "a long form", post("/a/b/c", "x="+strings.Repeat("y", 5000)+"&secret="+secret), false)
	wantServed(t, "a form elsewhere", post("/a/b/c/"+secret, ""), false)
}

func TestBypassRefuses(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	k := newRig(t, maintenance.GateOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	k.begin(t, tenancy.Maintenance{})
	// None was made: the zero digest is nobody's.
	for _, target := range []string{"/.maintenance/bypass", "/.maintenance/bypass/", "/.maintenance/bypass/x"} {
		wantServed(t, target, k.get(t, k.acme, target), false)
	}
	secret := k.newBypass(t, k.acme).Reveal()
	for _, target := range []string{
		"/.maintenance/bypass/" + strings.ToLower(secret), "/.maintenance/bypass/" + secret[1:], "/.maintenance/bypass/" + secret + "/",
		"/.maintenance/bypass//" + secret, "/.maintenance/bypass" + secret, "//.maintenance/bypass/" + secret, "/x/.maintenance/bypass/" + secret,
		"/.maintenance/bypass/%2F" + secret, "/.maintenance/bypass/" + strings.Repeat(secret, 100), "/.maintenance%2Fbypass/" + secret,
		"/.Maintenance/bypass/" + secret, "/.maintenance//bypass/" + secret, "/%252emaintenance/bypass/" + secret,
	} {
		wantServed(t, target, k.get(t, k.acme, target), false)
	}
	for _, method := range []string{"HEAD", "PUT", "OPTIONS"} {
		w := k.serve(k.request(t, k.acme, method, "/.maintenance/bypass/"+secret))
		if w.Code != 503 || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: got %d and a cookie", method, w.Code)
		}
	}
	if got := log.String(); strings.Contains(got, secret[1:]) {
		t.Errorf("got log %s, want no secret in it", got)
	} else if lines := strings.Count(got, "\n"); lines == 0 || strings.Count(got, " status=503 ") != lines {
		t.Errorf("got log %s, want the status in each line", got)
	}
	if err := k.gate.Tenant(k.acme).End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := k.get(t, k.acme, "/.maintenance/bypass/"+secret); w.Body.String() != "served" || len(w.Result().Cookies()) > 0 {
		t.Errorf("no maintenance: got %d, want the handler's own answer", w.Code)
	}
}

func TestNewGateRefuses(t *testing.T) {
	t.Parallel()
	cat := newRig(t, maintenance.GateOptions{}).cat
	for name, opts := range map[string]*maintenance.GateOptions{
		"a short key":          {Key: tenancy.NewSecret(strings.Repeat("x", 31))},
		"the path /":           {BypassPath: "/"},
		"a relative path":      {BypassPath: "x"},
		"a slash at the end":   {BypassPath: "/x/"},
		"a path, not clean":    {BypassPath: "/x/../y"},
		"a negative poll":      {Poll: -1},
		"a short bypass":       {BypassTTL: time.Millisecond},
		"a negative settle":    {Settle: -time.Second},
		"a negative wait time": {RetryAfter: -time.Second},
	} {
		if _, err := maintenance.NewGate(cat, opts); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if _, err := maintenance.NewGate(nil, nil); err == nil {
		t.Error("no editor: got no error")
	}
}
