package middleware_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/internal/credential"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// BenchmarkStandard shows the price of the recommended chain and of its parts, one
// after the other, for requests that pass: of as many tenants in a random order,
// each with three API keys, found in a cache.Cache that runs. A request is one of
// a connection: its host and its key lie in memory in the order in which they come,
// as what was just read does.
func BenchmarkStandard(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("tenants=%d", n), func(b *testing.B) { benchmarkStandard(b, n) })
	}
}

type benchRequests struct{ hosts, keys []string }

// benchTenants makes tenants with keys, and requests with one of them each.
func benchTenants(n int) ([]*tenancy.Tenant, benchRequests) {
	tenants, texts := make([]*tenancy.Tenant, n), make([]string, n)
	for i := range tenants {
		t := limited(fmt.Sprintf("tenant-%06d", i), map[string]int64{"rate.tenant": 1e9, "users": 25, "storage": 1 << 40})
		t.ID, t.Settings, t.Version = tenancy.NewID(), map[string]string{"locale": "de", "theme": "dark"}, 1
		for range 3 {
			key := credential.NewKey("acme_live", t.ID)
			t.Access.Keys = append(t.Access.Keys, tenancy.APIKey{
				ID: key.ID, Hash: tenancy.DigestOf(key.Text), Scopes: []string{"read"}, ExpiresAt: time.Now().Add(time.Hour),
			})
			texts[i] = key.Text
		}
		slices.SortFunc(t.Access.Keys, func(a, b tenancy.APIKey) int { return strings.Compare(a.ID, b.ID) })
		tenants[i] = t
	}
	var all benchRequests
	rnd := rand.New(rand.NewPCG(1, 2))
	for range max(4096, 2*n) {
		i := rnd.IntN(n)
		all.hosts = append(all.hosts, tenants[i].Slug+".example.com")
		all.keys = append(all.keys, strings.Clone(texts[i]))
	}
	return tenants, all
}

func benchmarkStandard(b *testing.B, n int) {
	tenants, requests := benchTenants(n)
	cache, err := cache.New(newFinder(tenants...), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = cache.Close() }()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() { _ = cache.Run(ctx) }()
	cat := tenancytest.NewCatalog(b)
	issuer, err := catalog.NewKeyIssuer(cat, "acme_live", nil)
	if err != nil {
		b.Fatal(err)
	}
	gate, err := maintenance.NewGate(cat, nil)
	if err != nil {
		b.Fatal(err)
	}
	keys, err := middleware.NewKeyAuthenticator("acme_live", &middleware.KeyAuthenticatorOptions{Used: issuer.Used})
	if err != nil {
		b.Fatal(err)
	}

	run := func(name string, h http.Handler) {
		b.Run(name, func(b *testing.B) {
			w := &status{blackHole: blackHole{http.Header{}}}
			key := []string{""}
			r := benchRequest("", "/notes/7", http.Header{"User-Agent": {"bench"}, "X-Api-Key": key})
			r.RemoteAddr = "192.0.2.1:4711"
			r = r.WithContext(ctx)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				r.Host, key[0] = requests.hosts[i], requests.keys[i]
				h.ServeHTTP(w, r)
				if i++; i == len(requests.hosts) {
					i = 0
				}
				clear(w.header)
			}
			if w.code != 0 {
				b.Fatalf("got %d", w.code)
			}
		})
	}
	chain := func(guards ...func(http.Handler) http.Handler) http.Handler {
		h := http.Handler(empty)
		for _, g := range slices.Backward(guards) {
			h = g(h)
		}
		return h
	}
	tenant, auth := tenancy.Must(middleware.Tenant(cache, bySubdomain, quiet)), tenancy.Must(middleware.Authenticate(keys, quiet))
	limit := tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), &middleware.RateLimitOptions{Options: *quiet}))
	for i := range requests.hosts { // warm
		r := benchRequest(requests.hosts[i], "/", http.Header{"X-Api-Key": {requests.keys[i]}})
		if got := codeOf(chain(tenant, gate.Guard, auth), r); got != 0 {
			b.Fatalf("got %d, want no answer", got)
		}
	}
	run("empty", empty)
	run("a value in the context", baseline(tenants[0]))
	run("SHA-256 of the key", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sink = sha256.Sum256([]byte(r.Header.Get("X-API-Key"))) }))
	run("Tenant", chain(tenant))
	run("and Maintenance", chain(tenant, gate.Guard))
	run("and Authenticate", chain(tenant, gate.Guard, auth))
	run("and RateLimit", chain(tenant, gate.Guard, auth, limit))
	run("Standard", tenancy.Must(middleware.Standard(cache, bySubdomain, &middleware.StandardOptions{
		Options: *quiet, Maintenance: gate.Guard, Authenticate: keys, Homepage: "/login", Assets: []string{"/assets/"},
	}))(empty))
}
