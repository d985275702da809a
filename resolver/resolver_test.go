package resolver_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/resolver"
)

var (
	none    = resolver.Match{}
	key     = tenancy.NewSecret("0123456789abcdef0123456789abcdef")
	private = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
)

func slug(s string) resolver.Match {
	return resolver.Match{Ref: tenancy.Ref{Kind: tenancy.RefSlug, Value: s}}
}

func id(s string) resolver.Match {
	return resolver.Match{Ref: tenancy.Ref{Kind: tenancy.RefID, Value: s}}
}

func domain(s string) resolver.Match {
	return resolver.Match{Ref: tenancy.Ref{Kind: tenancy.RefDomain, Value: s}}
}

func get(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }

// from returns a request by that peer; header holds names and values in turn.
func from(peer string, header ...string) *http.Request {
	r := get("/")
	r.RemoteAddr = peer
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func check(t *testing.T, by resolver.Resolver, r *http.Request, want resolver.Match, wantErr error) {
	t.Helper()
	before := r.Clone(t.Context())
	got, err := by.Resolve(r)
	if got != want || !errors.Is(err, wantErr) {
		t.Errorf("%.60s of %.60s %.200v: got %v, %v, want %v, %v", r.URL, r.Host, r.Header, got, err, want, wantErr)
	}
	sane(t, got, err)
	if !reflect.DeepEqual(r.URL, before.URL) || !reflect.DeepEqual(r.Header, before.Header) || r.Host != before.Host {
		t.Errorf("%.60s: the request was modified: got %+v, want %+v", before.URL, r, before)
	}
}

// sane fails unless the answer is one that every strategy may give.
func sane(t *testing.T, m resolver.Match, err error) {
	t.Helper()
	if err != nil {
		if m != none {
			t.Errorf("got %v beside the error %v, want nothing", m, err)
		}
		if errors.Is(err, tenancy.ErrUnresolved) && err != tenancy.ErrUnresolved { //nolint:errorlint // no other in it
			t.Errorf("got %v, want ErrUnresolved alone", err)
		}
		if s := err.Error(); len(s) > 600 || strings.ContainsAny(s, "\x00\r\n") {
			t.Errorf("got an error of %d bytes: %.600q; want it short and on one line", len(s), s)
		}
		return
	}
	if ref, err := tenancy.NewRef(m.Ref.Kind, m.Ref.Value); err != nil || ref != m.Ref {
		t.Errorf("got the match %v, which NewRef refuses: %v", m, err)
	}
}

// refused fails unless the error is one that request data may cause.
func refused(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, tenancy.ErrUnresolved) == errors.Is(err, tenancy.ErrInvalid) {
		t.Fatalf("got %v, want ErrUnresolved or ErrInvalid", err)
	}
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	last := func(_ any, err error) error { return err }
	subdomain := func(opts *resolver.SubdomainOptions, bases ...string) error {
		return last(resolver.NewSubdomain(bases, opts))
	}
	path := func(prefix string) error { return last(resolver.NewPath(prefix, nil)) }
	header := func(name string, from ...netip.Prefix) error { return last(resolver.NewHeader(name, from, nil)) }
	proxies := func(trusted ...netip.Prefix) error { return last(resolver.NewProxies(trusted, nil)) }
	cookie := func(name string, key tenancy.Secret, opts *resolver.CookieOptions) error {
		return last(resolver.NewCookie(name, key, opts))
	}
	claims := func(*http.Request) (map[string]any, error) { return nil, nil }
	short := tenancy.NewSecret("planted-key-of-31-bytes-0123456")
	everybody4, everybody6 := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")

	for op, errs := range map[string]map[string]error{
		"resolver.NewHost": {
			"malformed central": last(resolver.NewHost(&resolver.HostOptions{Central: []string{"example.com", "a..b"}})),
			"empty central":     last(resolver.NewHost(&resolver.HostOptions{Central: []string{""}})),
			"URL as central":    last(resolver.NewHost(&resolver.HostOptions{Central: []string{"https://example.com"}})),
		},
		"resolver.NewSubdomain": {
			"no base": subdomain(nil), "empty base": subdomain(nil, ""), "malformed base": subdomain(nil, "example.com", "a..b"),
			"wildcard": subdomain(nil, "*.example.com"), "leading dot": subdomain(nil, ".example.com"),
			"IPv4": subdomain(nil, "127.0.0.1"), "IPv6": subdomain(nil, "[::1]"),
		},
		"resolver.NewPath": {
			"empty": path(""), "no slash at the end": path("/t"), "no slash at the start": path("t/"), "two slashes": path("//"),
			"empty segment": path("/a//b/"), "dots": path("/../"), "dot": path("/./"), "percent": path("/%74/"), "blank": path("/a b/"),
			"umlaut": path("/ü/"), "query": path("/?/"), "pattern": path("/{t}/"), "NUL": path("/\x00/"), "@": path("/@/"), "`": path("/`/"), "[": path("/[/"),
			"kind domain": last(resolver.NewPath("/t/", &resolver.PathOptions{Kind: tenancy.RefDomain})),
		},
		"resolver.NewHeader": {
			"no name": header("", private...), "blank in name": header("X Tenant", private...), "line end": header("X-Tenant\r\n", private...),
			"nobody": header("X-Tenant"), "zero prefix": header("X-Tenant", netip.Prefix{}), "everybody": header("X-Tenant", private[0], everybody4),
			"kind domain": last(resolver.NewHeader("X-Tenant", private, &resolver.HeaderOptions{Kind: tenancy.RefDomain})),
		},
		"resolver.NewProxies": {
			"nobody": proxies(), "IPv4 everybody": proxies(everybody4), "IPv6 everybody": proxies(private[0], everybody6), "zero prefix": proxies(netip.Prefix{}),
		},
		"resolver.NewQuery": {
			"no name": last(resolver.NewQuery("", nil)),
		},
		"resolver.NewCookie": {
			"no key": cookie("tenant", tenancy.Secret{}, nil), "short key": cookie("tenant", short, nil),
			"short old key": cookie("tenant", key, &resolver.CookieOptions{OldKeys: []tenancy.Secret{key, short}}),
			"no name":       cookie("", key, nil), "blank in name": cookie("a b", key, nil), "name with =": cookie("a=b", key, nil),
			"negative age": cookie("tenant", key, &resolver.CookieOptions{MaxAge: -time.Second}),
			"domain":       cookie("tenant", key, &resolver.CookieOptions{Domain: "exa mple.com"}),
		},
		"resolver.NewOrigin": {"nobody": last(resolver.NewOrigin(nil))},
		"resolver.NewClaim": {
			"no name": last(resolver.NewClaim("", claims, nil)), "no function": last(resolver.NewClaim("tid", nil, nil)),
			"kind domain": last(resolver.NewClaim("tid", claims, &resolver.ClaimOptions{Kind: tenancy.RefDomain})),
		},
	} {
		for name, err := range errs {
			var e *tenancy.Error
			if !errors.Is(err, tenancy.ErrInvalid) || !errors.As(err, &e) || e.Op != op {
				t.Errorf("%s, %s: got %v, want ErrInvalid of %s", op, name, err, op)
			} else if strings.Contains(err.Error(), "planted") {
				t.Errorf("%s, %s: got %q, want it without the key", op, name, err)
			}
		}
	}
}

func TestMust(t *testing.T) {
	t.Parallel()
	r := get("/?tenant=acme")
	check(t, tenancy.Must(resolver.NewQuery("tenant", nil)), r, slug("acme"), nil)
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("got a panic with %v, want one with ErrInvalid", err)
		}
	}()
	tenancy.Must(resolver.NewQuery("", nil))
}
