package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/resolver"
)

// editAcme changes the record of the one tenant that a catalog has.
func editAcme(cat *catalog.Catalog, edit func(*tenancy.Tenant)) {
	ctx := context.Background()
	t, err := cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
	if err == nil {
		_, err = cat.Edit(ctx, t.ID, func(t *tenancy.Tenant) error { edit(t); return nil })
	}
	if err != nil {
		panic(err)
	}
}

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello from ", r.URL.Path) })

func ExampleRateLimit() {
	cat := openCatalog()
	editAcme(cat, func(t *tenancy.Tenant) {
		t.Limits = map[string]int64{"rate.tenant": 6000, "rate.address.login": 1}
	})
	limit := tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), &middleware.RateLimitOptions{
		Class: func(r *http.Request) string {
			if r.URL.Path == "/login" {
				return "login"
			}
			return ""
		},
	}))
	bySubdomain := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
	h := tenancy.Must(middleware.Tenant(cat, bySubdomain, nil))(limit(hello))

	for _, path := range []string{"/notes", "/login", "/login"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://acme.example.com"+path, nil))
		fmt.Println(w.Code, path)
		fmt.Println("  RateLimit-Policy:", w.Header().Get("RateLimit-Policy"))
		// The header RateLimit says what is left of each limit, and Retry-After when
		// to come again.
	}
	// Output:
	// 200 /notes
	//   RateLimit-Policy: "tenant";q=6000;w=60
	// 200 /login
	//   RateLimit-Policy: "tenant";q=6000;w=60, "address.login";q=1;w=60
	// 429 /login
	//   RateLimit-Policy: "tenant";q=6000;w=60, "address.login";q=1;w=60
}

func ExampleAllowIPs() {
	cat := openCatalog()
	editAcme(cat, func(t *tenancy.Tenant) {
		t.Access.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	proxies, err := resolver.NewProxies([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil)
	if err != nil {
		panic(err)
	}
	allow := tenancy.Must(middleware.AllowIPs(&middleware.AllowIPsOptions{
		Proxies: proxies,
		Deny:    []netip.Prefix{netip.MustParsePrefix("192.0.2.66/32")},
	}))
	bySubdomain := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
	h := tenancy.Must(middleware.Tenant(cat, bySubdomain, nil))(allow(hello))

	for _, client := range []string{"192.0.2.1", "192.0.2.66", "203.0.113.7", "192.0.2.1, 203.0.113.7"} {
		r := httptest.NewRequest(http.MethodGet, "http://acme.example.com/", nil)
		r.RemoteAddr = "10.0.0.1:4711" // the proxy
		r.Header.Set("X-Forwarded-For", client)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code, client)
	}
	// Output:
	// 200 192.0.2.1
	// 403 192.0.2.66
	// 403 203.0.113.7
	// 403 192.0.2.1, 203.0.113.7
}

func ExampleConcurrency() {
	limit := middleware.Concurrency(&middleware.ConcurrencyOptions{Max: 1, Queue: -1})
	var h http.Handler
	ask := func(path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://acme.example.com"+path, nil))
		return w.Code
	}
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/outer" {
			fmt.Println("while it is served:", ask("/inner"))
		}
	})
	bySubdomain := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
	h = tenancy.Must(middleware.Tenant(openCatalog(), bySubdomain, nil))(limit(slow))

	fmt.Println("first:", ask("/outer"))
	fmt.Println("afterwards:", ask("/inner"))
	// Output:
	// while it is served: 429
	// first: 200
	// afterwards: 200
}

func ExampleHomepage() {
	cat := openCatalog()
	bySubdomain := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
	h := tenancy.Must(middleware.Tenant(cat, bySubdomain, nil))(tenancy.Must(middleware.Homepage("/login", nil))(hello))
	ask := func() {
		for _, path := range []string{"/", "/notes"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://acme.example.com"+path, nil))
			fmt.Println(path, w.Code, w.Body.String()+w.Header().Get("Location"))
		}
	}
	ask()
	editAcme(cat, func(t *tenancy.Tenant) { t.Settings = map[string]string{"homepage": "off"} })
	ask()
	// Output:
	// / 200 hello from /
	// /notes 200 hello from /notes
	// / 302 /login
	// /notes 200 hello from /notes
}

func ExampleSkip() {
	closed := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			middleware.Problem(w, r, tenancy.ErrForbidden)
		})
	}
	h := tenancy.Must(middleware.Skip([]string{"/assets/", "/favicon.ico"}, closed))(hello)
	for _, path := range []string{"/assets/app.css", "/favicon.ico", "/admin", "/assets/..%2Fadmin", "/assets/../admin", "/assets//x"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(w.Code, path)
	}
	// Output:
	// 200 /assets/app.css
	// 200 /favicon.ico
	// 403 /admin
	// 403 /assets/..%2Fadmin
	// 403 /assets/../admin
	// 403 /assets//x
}
