//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/grafana/dskit/user"
	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

// side is a way from a request to the tenant in its context.
type side struct {
	name string
	wrap func(http.Handler) http.Handler
	// who returns the slug in a handler's context. Nil: there is none.
	who  func(context.Context) string
	own  bool // domains are asked for
	slow bool
}

// runRequests prints a row for each size and side.
func (g *ground) runRequests(ctx context.Context) error {
	header("request", "of Subdomain")
	for _, n := range g.sizes {
		if err := g.runRequestsOf(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (g *ground) runRequestsOf(ctx context.Context, n int) error {
	cache, stop, err := g.warmCache(ctx, n, still)
	if err != nil {
		return err
	}
	defer stop()
	client, err := openRedis(g.redis) // the memory of its cache is this size's
	if err != nil {
		return err
	}
	defer client.Close()
	sides, err := g.sides(cache, client, n)
	if err != nil {
		return err
	}
	var order, subdomains, domains []string
	for _, t := range g.tenants[:n] {
		subdomains, domains = append(subdomains, t.Slug+base), append(domains, t.Slug+own)
	}
	subdomains, domains = draw(subdomains), draw(domains)
	byName := map[string]side{}
	for _, s := range sides {
		order, byName[s.name] = append(order, s.name), s
		if err := s.check(g.tenants[:n]); err != nil {
			return err
		}
	}
	t := table{}
	err = t.fill(g.rounds, order, func(name string, threads int) (cell, error) {
		s, list, batch := byName[name], subdomains, 256
		if s.own {
			list = domains
		}
		if s.slow {
			batch = 1
		}
		h := s.wrap(nothing)
		return measure(g.length, threads, batch, list, func() func(*worker, int) { return serve(h) })
	})
	if err != nil {
		return err
	}
	t.print(n, order, "Subdomain")
	return nil
}

var nothing = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// serve returns a loop that sends a request of its own to the handler.
func serve(h http.Handler) func(w *worker, n int) {
	r, id := newRequest(context.Background())
	out := &answer{header: http.Header{}}
	return func(w *worker, n int) {
		for range n {
			r.Host = w.next()
			id[0] = r.Host[:len(r.Host)-len(base)]
			h.ServeHTTP(out, r)
		}
		if out.code != 0 {
			w.bad++
		}
	}
}

// newRequest returns a request in a context such as net/http makes, and the value
// of its header with the tenant's ID.
func newRequest(ctx context.Context) (r *http.Request, id []string) {
	ctx = context.WithValue(ctx, http.ServerContextKey, &http.Server{}) // it serves nobody
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, &net.TCPAddr{})
	ctx, cancel := context.WithCancel(ctx)
	_ = cancel // nothing hangs on it
	id = []string{""}
	r = &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/notes/7"}, RequestURI: "/notes/7", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		RemoteAddr: "192.0.2.1:40000", Header: http.Header{"User-Agent": {"bench"}, "X-Scope-Orgid": id},
	}
	return r.WithContext(ctx), id
}

// answer is a response writer that keeps the code of a refusal.
type answer struct {
	header http.Header
	code   int
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(b []byte) (int, error) { return len(b), nil }
func (a *answer) WriteHeader(code int)        { a.code = code }

// check sends some requests and looks whose they are in the handler.
func (s *side) check(tenants []*tenancy.Tenant) error {
	var got string
	h := s.wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if s.who != nil {
			got = s.who(r.Context())
		}
	}))
	r, id := newRequest(context.Background())
	for i := range min(100, len(tenants)) {
		t := tenants[i*len(tenants)/min(100, len(tenants))]
		got, id[0], r.Host = "", t.Slug, t.Slug+base
		if s.own {
			r.Host = t.Slug + own
		}
		out := &answer{header: http.Header{}}
		h.ServeHTTP(out, r)
		if s.who != nil && got != t.Slug || out.code != 0 {
			return fmt.Errorf("%s: the tenant of %s is %q, answer %d", s.name, r.Host, got, out.code)
		}
	}
	return nil
}

type contextKey struct{}

// ofTenancy is the tenant that middleware.Tenant found.
func ofTenancy(ctx context.Context) string {
	t, err := tenancy.Require(ctx)
	if err != nil {
		return ""
	}
	return t.Slug
}

// byHand is the tenant that found has put into the context.
func byHand(ctx context.Context) string {
	t, _ := ctx.Value(contextKey{}).(*tenancy.Tenant)
	return t.Slug
}

// found is a middleware that finds the tenant by the label in front of the base.
func found(find func(ctx context.Context, slug string) (*tenancy.Tenant, error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			slug, ok := strings.CutSuffix(r.Host, base)
			if !ok {
				http.NotFound(w, r)
				return
			}
			t, err := find(r.Context(), slug)
			if err != nil {
				http.Error(w, "", http.StatusServiceUnavailable)
				return
			}
			if t.Status != tenancy.StatusActive {
				http.Error(w, "", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, t)))
		})
	}
}

// sides are the ways that are measured.
func (g *ground) sides(cache *cache.Cache, client rueidis.Client, n int) ([]side, error) {
	subdomain, err := resolver.NewSubdomain([]string{base[1:]}, nil)
	if err != nil {
		return nil, err
	}
	host, err := resolver.NewHost(nil)
	if err != nil {
		return nil, err
	}
	opts := &middleware.Options{Logger: quiet}
	ready := context.WithValue(context.Background(), contextKey{}, g.tenants[0])
	plain := map[string]*tenancy.Tenant{}
	for _, t := range g.tenants[:n] {
		plain[t.Slug] = t
	}
	var mu sync.RWMutex // guards plain
	inMap := func(_ context.Context, slug string) (*tenancy.Tenant, error) {
		mu.RLock()
		t := plain[slug]
		mu.RUnlock()
		if t == nil {
			return nil, tenancy.ErrNotFound
		}
		return t, nil
	}
	get := func(ctx context.Context, slug string) (*tenancy.Tenant, error) {
		var t tenancy.Tenant
		return &t, client.Do(ctx, client.B().Get().Key(redisKey+slug).Build()).DecodeJSON(&t)
	}
	doCache := func(ctx context.Context, slug string) (*tenancy.Tenant, error) {
		var t tenancy.Tenant
		return &t, client.DoCache(ctx, client.B().Get().Key(redisKey+slug).Cache(), time.Hour).DecodeJSON(&t)
	}
	if err := crowd(16, n, func(i int) error { _, err := doCache(context.Background(), g.tenants[i].Slug); return err }); err != nil {
		return nil, err
	}
	return []side{
		{name: "nothing", wrap: func(next http.Handler) http.Handler { return next }},
		{name: "WithContext", wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r.WithContext(ready)) })
		}},
		{name: "with value", wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, g.tenants[0])))
			})
		}},
		{name: "Subdomain", wrap: tenancy.Must(middleware.Tenant(cache, subdomain, opts)), who: ofTenancy},
		{name: "Host", wrap: tenancy.Must(middleware.Tenant(cache, host, opts)), who: ofTenancy, own: true},
		{name: "map by hand", wrap: found(inMap), who: byHand},
		{name: "dskit header", wrap: dskit, who: func(ctx context.Context) string { id, _ := user.ExtractOrgID(ctx); return id }},
		{name: "DoCache", wrap: found(doCache), who: byHand},
		{name: "Redis GET", wrap: found(get), who: byHand, slow: true},
		{name: "SQLite", wrap: tenancy.Must(middleware.Tenant(g.inFile, subdomain, opts)), who: ofTenancy, slow: true},
		{name: "PostgreSQL", wrap: tenancy.Must(middleware.Tenant(g.inPG, subdomain, opts)), who: ofTenancy, slow: true},
	}, nil
}

// dskit does what AuthenticateUser of github.com/grafana/dskit/middleware does,
// without what that package imports.
func dskit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, ctx, err := user.ExtractOrgIDFromHTTPRequest(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
