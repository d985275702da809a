package middleware_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
)

// BenchmarkAccess shows the price of each guard for requests that pass, behind
// Tenant, of as many tenants in a random order. That of a guard alone is the
// difference to the first row.
func BenchmarkAccess(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("tenants=%d", n), func(b *testing.B) { benchmarkAccess(b, n) })
	}
}

func benchmarkAccess(b *testing.B, n int) {
	tenants := make([]*tenancy.Tenant, n)
	type request struct{ host, remote, key string }
	requests := make([]request, n)
	for i, j := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
		t := limited(fmt.Sprintf("tenant-%d", i), map[string]int64{
			"rate.tenant": 1e9, "rate.key": 1e9, "rate.address": 1e9, "concurrency": 100, "seats": 7, "storage": 1 << 40,
		})
		t.Settings = map[string]string{"homepage": "on", "locale": "de", "theme": "dark"}
		t.Access.Allow = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("192.0.2.0/24")}
		t.Access.Deny = []netip.Prefix{netip.MustParsePrefix("192.0.2.66/32")}
		tenants[i] = t
		requests[j] = request{t.Slug + ".example.com", fmt.Sprintf("192.0.2.%d:4711", i%60), fmt.Sprint("key-", i)}
	}
	find := newFinder(tenants...)
	run := func(name, path string, g func(http.Handler) http.Handler) {
		b.Run(name, func(b *testing.B) {
			w := blackHole{http.Header{}}
			h := tenancy.Must(middleware.Tenant(find, bySubdomain, quiet))(g(empty))
			r := benchRequest("", path, http.Header{"X-Key": {""}})
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				q := &requests[i]
				r.Host, r.RemoteAddr, r.Header["X-Key"][0] = q.host, q.remote, q.key
				h.ServeHTTP(w, r)
				if i++; i == n {
					i = 0
				}
				clear(w.header)
			}
		})
	}
	limit := func(opts middleware.RateLimitOptions, kinds ...ratelimit.Kind) func(http.Handler) http.Handler {
		opts.Key = func(r *http.Request) string { return r.Header["X-Key"][0] }
		opts.Rate = func(t *tenancy.Tenant, of ratelimit.Kind, class string) (ratelimit.Rate, bool) {
			for _, k := range kinds {
				if k == of {
					return ratelimit.RateOf(t, of, class)
				}
			}
			return ratelimit.Rate{}, false
		}
		return tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), &opts))
	}

	run("Tenant", "/notes/7", func(h http.Handler) http.Handler { return h })
	run("two headers", "/notes/7", func(h http.Handler) http.Handler { // as a handler sets them
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Ratelimit", "x")
			w.Header().Set("Ratelimit-Policy", "x")
			h.ServeHTTP(w, r)
		})
	})
	run("RateLimit, of nothing", "/notes/7", limit(middleware.RateLimitOptions{}))
	run("RateLimit, of the tenant", "/notes/7", limit(middleware.RateLimitOptions{}, ratelimit.Tenant))
	run("RateLimit, of the tenant, no headers", "/notes/7", limit(middleware.RateLimitOptions{HideHeaders: true}, ratelimit.Tenant))
	run("RateLimit, of tenant and address", "/notes/7", limit(middleware.RateLimitOptions{}, ratelimit.Tenant, ratelimit.Address))
	run("RateLimit, of tenant, key and address", "/notes/7", limit(middleware.RateLimitOptions{}, ratelimit.Tenant, ratelimit.Key, ratelimit.Address))
	run("AllowIPs", "/notes/7", tenancy.Must(middleware.AllowIPs(nil)))
	run("Concurrency", "/notes/7", middleware.Concurrency(nil))
	run("Skip", "/notes/7", tenancy.Must(middleware.Skip([]string{"/assets/", "/favicon.ico"})))
	run("Homepage", "/", tenancy.Must(middleware.Homepage("/login", nil)))
}
