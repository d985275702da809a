package middleware_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

func withHomepage(setting string) *tenancy.Tenant {
	t := newTenant("acme", tenancy.StatusActive)
	t.Settings = map[string]string{"homepage": setting}
	return t
}

func TestHomepage(t *testing.T) {
	t.Parallel()
	off := withHomepage("off")
	for name, tt := range map[string]struct {
		tenant *tenancy.Tenant
		method string
		path   string
		passes bool
	}{
		"off":                 {off, "GET", "/", false},
		"off, HEAD":           {off, "HEAD", "/", false},
		"off, no path":        {off, "GET", "", false},
		"off, two slashes":    {off, "GET", "//", false},
		"off, dot":            {off, "GET", "/.", false},
		"off, dots":           {off, "GET", "/x/..", false},
		"off, many dots":      {off, "GET", "/../../", false},
		"off, POST":           {off, "POST", "/", true},
		"off, OPTIONS":        {off, "OPTIONS", "/", true},
		"off, another page":   {off, "GET", "/notes", true},
		"off, a page of dots": {off, "GET", "/...", true},
		"on":                  {withHomepage("on"), "GET", "/", true},
		"empty":               {withHomepage(""), "GET", "/", true},
		"no settings":         {newTenant("acme", tenancy.StatusActive), "GET", "/", true},
		"odd":                 {withHomepage("of"), "GET", "/", false},
		"spelled differently": {withHomepage("OFF"), "GET", "/", false},
		"no tenant":           {nil, "GET", "/", true},
	} {
		r := httptest.NewRequest(tt.method, "/", nil)
		r.URL.Path = tt.path
		next := &spy{}
		w := serveTo(as(tt.tenant, tenancy.Must(middleware.Homepage("/login", quiet))(next)), r)
		code, to := 302, "/login"
		if tt.passes {
			code, to = 204, ""
		}
		if got := w.Header().Get("Location"); w.Code != code || got != to || (len(next.got) == 1) != tt.passes {
			t.Errorf("%s: got %d to %q, want %d to %q", name, w.Code, got, code, to)
		}
		if !tt.passes && w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %v, want an answer that is not kept", name, w.Header())
		}
	}
}

// A change of the record counts at once.
func TestHomepageIsSwitched(t *testing.T) {
	t.Parallel()
	tenant := withHomepage("on")
	find := newFinder(tenant)
	h := tenancy.Must(middleware.Tenant(find, bySubdomain, quiet))(tenancy.Must(middleware.Homepage("/login", quiet))(&spy{}))
	for _, tt := range []struct {
		setting string
		code    int
	}{{"on", 204}, {"off", 302}, {"on", 204}} {
		find.tenants[tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"}] = withHomepage(tt.setting)
		if w := serveTo(h, get("http://acme.example.com/")); w.Code != tt.code {
			t.Errorf("%s: got %d, want %d", tt.setting, w.Code, tt.code)
		}
	}
}

// Nothing that a client sends leads to another host.
func TestHomepageIsNoOpenRedirect(t *testing.T) {
	t.Parallel()
	for _, off := range []string{"/login?next=%2Fnotes#x", "https://www.example.com/tenants?x=1", "http://localhost:8080"} {
		h := as(withHomepage("off"), tenancy.Must(middleware.Homepage(off, quiet))(&spy{}))
		for _, host := range []string{"evil.test", "//evil.test", "evil.test/..", "https://evil.test", `\evil`, ""} {
			for _, path := range []string{"/", "", "//", "//.", "/%2f/.."} {
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.Host, r.URL.Path, r.URL.RawQuery = host, path, "next=//evil.test"
				r.Header.Set("X-Forwarded-Host", "evil.test")
				r.Header.Set("X-Forwarded-Prefix", "//evil.test")
				r.Header.Set("Referer", "https://evil.test")
				w := serveTo(h, r)
				if got := w.Header().Get("Location"); w.Code == 302 && got != off || w.Body.Len() > 0 {
					t.Errorf("%s %s: got %q, want %q", host, path, got, off)
				}
			}
		}
	}
}

func TestHomepageBehindAPrefix(t *testing.T) {
	t.Parallel()
	tenant := withHomepage("off")
	find := newFinder(tenant)
	for off, want := range map[string]string{"/login": "/t/acme/login", "https://www.example.com/": "https://www.example.com/"} {
		w := serveTo(tenancy.Must(middleware.Tenant(find, byPath, quiet))(tenancy.Must(middleware.Homepage(off, quiet))(&spy{})), get("/t/acme/"))
		if got := w.Header().Get("Location"); w.Code != 302 || got != want {
			t.Errorf("%s: got %d to %q, want %q", off, w.Code, got, want)
		}
	}
	// A resolver of the application may find any prefix.
	for prefix, want := range map[string]answer{"//evil.test": invalid, "/\t/evil.test": {Code: 302}, `/\evil.test`: {Code: 302}, "/": invalid, "https://evil.test": invalid, "/ä": {Code: 302}} {
		by := resolver.Func(func(*http.Request) (resolver.Match, error) {
			return resolver.Match{Ref: tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"}, Prefix: prefix}, nil
		})
		r := get("/")
		r.URL.Path = prefix
		w := serveTo(tenancy.Must(middleware.Tenant(find, by, quiet))(tenancy.Must(middleware.Homepage("/login", quiet))(&spy{})), r)
		if got := answerOf(t, w); got != want {
			t.Errorf("%q: got %+v, want %+v", prefix, got, want)
		}
		switch to := w.Header().Get("Location"); to {
		case "", "/%09/evil.test/login", "/%5Cevil.test/login", "/%C3%A4/login":
		default:
			t.Errorf("%q: got %q", prefix, to)
		}
	}
}

func TestHomepageRefusesPlaces(t *testing.T) {
	t.Parallel()
	for _, off := range []string{
		"", "/", "//", "//evil.test", "/?x", "/#x", "/.", "/x/..", `/\evil.test`, `\\evil.test`, "login", "evil.test/x", "?x", "https:", "https:///x", "https:/x",
		"https://", "https://:80", "https:evil.test", "ftp://evil.test/", "javascript:alert(1)", "data:text/html,x", "https://user@evil.test/", "/lo\ngin", "/\t/evil.test",
		" /login", "/login ", "https://ex\x00ample.com", "https://exämple.com", "/%zz",
	} {
		if m, err := middleware.Homepage(off, nil); m != nil || !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid and no middleware", off, err)
		}
	}
}
