package resolver

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/signed"
)

// maxCookie is the length of the longest value that is verified.
const maxCookie = 512

// Cookie resolves by a signed cookie, such as one that remembers which of their tenants a person chose last.
// The value is "kind.value.expiry.signature". The signature is an HMAC-SHA-256 over the cookie's name and the
// rest: nobody can make one without the key, and a value made for another cookie is refused.
type Cookie struct {
	name string
	keys []tenancy.Secret // the first signs, all verify
	opts CookieOptions
}

// CookieOptions are the options of [NewCookie].
type CookieOptions struct {
	// OldKeys still verify cookies, and sign none. Default: none.
	OldKeys []tenancy.Secret
	// MaxAge is how long a cookie is valid. Default: 30 days.
	MaxAge time.Duration
	// Insecure leaves out the attribute Secure, for development without TLS. Default: false.
	Insecure bool
	// Domain is the cookie's Domain attribute. Default: the host that set it.
	Domain string
}

// NewCookie returns a resolver by signed cookie. The key has at least 32 bytes
// and comes from a random source; a shorter one, or a malformed name, is an
// error that wraps [tenancy.ErrInvalid].
func NewCookie(name string, key tenancy.Secret, opts *CookieOptions) (*Cookie, error) {
	const op = "resolver.NewCookie"
	c := &Cookie{name: name}
	if opts != nil {
		c.opts = *opts
	}
	if err := c.opts.complete(); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	for _, k := range append([]tenancy.Secret{key}, c.opts.OldKeys...) {
		if err := signed.CheckKey("cookie key", k); err != nil {
			return nil, tenancy.Wrap(op, "", err)
		}
		c.keys = append(c.keys, k)
	}
	probe := http.Cookie{Name: name, Value: "x", Domain: c.opts.Domain}
	if err := probe.Valid(); err != nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: cookie %q: %w", tenancy.ErrInvalid, name, err))
	}
	return c, nil
}

func (o *CookieOptions) complete() error {
	o.MaxAge = cmp.Or(o.MaxAge, 30*24*time.Hour)
	if o.MaxAge < time.Second {
		return fmt.Errorf("%w: MaxAge %v, want at least a second", tenancy.ErrInvalid, o.MaxAge)
	}
	return nil
}

// New returns a cookie that names the tenant, to be set on a response.
func (c *Cookie) New(id tenancy.ID) *http.Cookie {
	payload := tenancy.RefID.String() + "." + string(id) + "." + strconv.FormatInt(time.Now().Add(c.opts.MaxAge).Unix(), 10)
	return &http.Cookie{
		Name:     c.name,
		Value:    payload + "." + signed.Text(signed.Of([]byte(c.keys[0].Reveal()), "cookie", c.name, payload)),
		Path:     "/",
		Domain:   c.opts.Domain,
		MaxAge:   int(c.opts.MaxAge / time.Second),
		Secure:   !c.opts.Insecure,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	}
}

// Resolve returns the tenant that the cookie names. An expired cookie names none. A forged or malformed cookie
// is an error, and so are several cookies of the name with different values: a neighbouring subdomain could
// have set one of them.
func (c *Cookie) Resolve(r *http.Request) (Match, error) {
	cookies := r.CookiesNamed(c.name)
	if len(cookies) == 0 {
		return Match{}, tenancy.ErrUnresolved
	}
	for _, other := range cookies[1:] {
		if other.Value != cookies[0].Value {
			return Match{}, fmt.Errorf("%w: cookie %s: several values that differ", tenancy.ErrInvalid, c.name)
		}
	}
	return c.parse(cookies[0].Value)
}

func (c *Cookie) parse(value string) (Match, error) {
	malformed := func(why string) (Match, error) {
		return Match{}, fmt.Errorf("%w: cookie %s: %s", tenancy.ErrInvalid, c.name, why)
	}
	i := strings.LastIndexByte(value, '.')
	if i < 0 || len(value) > maxCookie {
		return malformed("no signature")
	}
	payload := value[:i]
	mac, ok := signed.Parse(value[i+1:])
	if !ok {
		return malformed("malformed signature")
	}
	if !signed.Valid(mac, c.keys, "cookie", c.name, payload) {
		return malformed("wrong signature")
	}
	// From here on the payload is one that was signed with a key of ours.
	kind, rest, _ := strings.Cut(payload, ".")
	id, expiry, ok := strings.Cut(rest, ".")
	until, err := strconv.ParseInt(expiry, 10, 64)
	if !ok || err != nil || kind != tenancy.RefID.String() {
		return malformed("unknown form")
	}
	if time.Now().Unix() >= until {
		return Match{}, tenancy.ErrUnresolved
	}
	return newMatch("cookie "+c.name, tenancy.RefID, id)
}
