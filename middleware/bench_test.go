package middleware_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

// blackHole is a response writer that keeps only headers.
type blackHole struct{ header http.Header }

func (w blackHole) Header() http.Header         { return w.header }
func (w blackHole) Write(b []byte) (int, error) { return len(b), nil }
func (w blackHole) WriteHeader(int)             {}

var empty = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

type benchKey struct{}

// baseline hands a value on in the context and does nothing else: the least
// that any middleware for tenants does.
func baseline(t *tenancy.Tenant) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		empty.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), benchKey{}, t)))
	})
}

// benchmark serves the requests in turn.
func benchmark(b *testing.B, name string, h http.Handler, requests []*http.Request) {
	b.Run(name, func(b *testing.B) {
		w := blackHole{http.Header{}}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			h.ServeHTTP(w, requests[i])
			if i++; i == len(requests) {
				i = 0
			}
			clear(w.header)
		}
	})
}

func benchRequest(host, path string, header http.Header) *http.Request {
	return &http.Request{Method: http.MethodGet, Host: host, URL: &url.URL{Path: path}, RequestURI: path, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
}

// BenchmarkTenant shows the price of a request that passes. Each size has the
// baseline over the same requests, because more requests miss the caches of the
// processor more often.
func BenchmarkTenant(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		tenants := make([]*tenancy.Tenant, n)
		var hosts, paths, agreeing []*http.Request
		for i := range tenants {
			tenants[i] = newTenant(fmt.Sprintf("tenant-%d", i), tenancy.StatusActive)
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		for _, i := range rnd.Perm(n) {
			slug := tenants[i].Slug
			hosts = append(hosts, benchRequest(slug+".example.com", "/notes/7", nil))
			paths = append(paths, benchRequest("example.com", "/t/"+slug+"/notes/7", nil))
			agreeing = append(agreeing, benchRequest(slug+".test", "/t/"+slug+"/notes/7", nil))
		}
		find := newFinder(tenants...)
		size := fmt.Sprintf("tenants=%d/", n)
		benchmark(b, size+"baseline", baseline(tenants[0]), hosts)
		benchmark(b, size+"Subdomain", tenancy.Must(middleware.Tenant(find, bySubdomain, quiet))(empty), hosts)
		benchmark(b, size+"Path", tenancy.Must(middleware.Tenant(find, byPath, quiet))(empty), paths)
		// Host and Path answer, and are looked up to be compared; Subdomain is silent.
		benchmark(b, size+"Agree", tenancy.Must(middleware.Tenant(find, tenancy.Must(resolver.Agree(find, bySubdomain, byPath, byHost)), quiet))(empty), agreeing)
	}
}

// BenchmarkRefused shows the price of a request for a tenant that is unknown.
func BenchmarkRefused(b *testing.B) {
	find := newFinder(newTenant("acme", tenancy.StatusActive))
	h := tenancy.Must(middleware.Tenant(find, bySubdomain, quiet))(empty)
	requests := func(accept string) (all []*http.Request) {
		for i := range 1000 {
			all = append(all, benchRequest(fmt.Sprintf("ghost-%d.example.com", i), "/", http.Header{"Accept": {accept}}))
		}
		return all
	}
	benchmark(b, "baseline", http.NotFoundHandler(), requests("*/*"))
	benchmark(b, "JSON", h, requests("*/*"))
	benchmark(b, "HTML", h, requests("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"))
}

var sink tenancy.Digest

// status is a response writer that keeps only what was refused.
type status struct {
	blackHole
	code int
}

func (w *status) WriteHeader(code int) { w.code = code }

func codeOf(h http.Handler, r *http.Request) int {
	w := &status{blackHole: blackHole{http.Header{}}}
	h.ServeHTTP(w, r)
	return w.code
}
