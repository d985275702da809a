package middleware_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

var (
	bySubdomain = tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
	byPath      = tenancy.Must(resolver.NewPath("/t/", nil))
	byHost      = tenancy.Must(resolver.NewHost(&resolver.HostOptions{Central: []string{"example.com"}}))
	quiet       = &middleware.Options{Logger: slog.New(slog.DiscardHandler)}
	errOdd      = errors.New("an error that unwraps to nothing")
)

// finder finds the tenants that it holds, unless it fails.
type finder struct {
	tenants map[tenancy.Ref]*tenancy.Tenant
	err     error
}

func newFinder(tenants ...*tenancy.Tenant) *finder {
	f := &finder{tenants: map[tenancy.Ref]*tenancy.Tenant{}}
	for _, t := range tenants {
		f.tenants[tenancy.Ref{Kind: tenancy.RefID, Value: string(t.ID)}] = t
		f.tenants[tenancy.Ref{Kind: tenancy.RefSlug, Value: t.Slug}] = t
		for _, d := range t.Domains {
			f.tenants[tenancy.Ref{Kind: tenancy.RefDomain, Value: d}] = t
		}
	}
	return f
}

func (f *finder) Find(_ context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	if f.err != nil {
		return nil, f.err
	}
	if t, ok := f.tenants[ref]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("find %v: %w", ref, tenancy.ErrNotFound)
}

func failing(err error) *finder { return &finder{err: err} }

func newTenant(slug string, status tenancy.Status) *tenancy.Tenant {
	return &tenancy.Tenant{ID: tenancy.ID("id-" + slug), Slug: slug, Status: status, Domains: []string{slug + ".test"}}
}

// spy is the handler behind the middleware. It keeps the requests.
type spy struct{ got []*http.Request }

func (s *spy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.got = append(s.got, r)
	w.WriteHeader(http.StatusNoContent)
}

// answer is what a client gets to see of a problem.
type answer struct {
	Code       int
	Type       string // the last part
	RetryAfter string
}

var (
	passed     = answer{Code: 204}
	unresolved = answer{404, "unresolved", ""}
	unknown    = answer{404, "unknown", ""}
	invalid    = answer{400, "invalid", ""}
	internal   = answer{500, "internal", ""}
	down       = answer{503, "unavailable", "5"}
)

func answerOf(t *testing.T, w *httptest.ResponseRecorder) answer {
	t.Helper()
	a := answer{Code: w.Code, RetryAfter: w.Header().Get("Retry-After")}
	if w.Body.Len() == 0 {
		return a
	}
	var body struct{ Type string }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Errorf("body %q: %v", w.Body, err)
	}
	var ok bool
	a.Type, ok = strings.CutPrefix(body.Type, "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#")
	if !ok {
		t.Errorf("got type %q, want one in docs/problems.md", body.Type)
	}
	return a
}

// ask sends a request through a handler.
func ask(t *testing.T, h http.Handler, r *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answerOf(t, w)
}

func get(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }

func TestTenantAndOptional(t *testing.T) {
	t.Parallel()
	tenants := []*tenancy.Tenant{newTenant("acme", tenancy.StatusActive), newTenant("odd", "odd"), newTenant("none", "")}
	for _, s := range tenancy.Statuses() {
		tenants = append(tenants, newTenant(string(s), s))
	}
	all := newFinder(tenants...)
	broken := func(err error) resolver.Resolver {
		return resolver.Func(func(*http.Request) (resolver.Match, error) { return resolver.Match{}, err })
	}
	agree := func(find tenancy.Finder) resolver.Resolver {
		return tenancy.Must(resolver.Agree(find, bySubdomain, byPath, byHost))
	}
	wrapped := fmt.Errorf("catalog: %w", tenancy.ErrUnavailable)
	both := errors.Join(tenancy.ErrNotFound, tenancy.ErrUnavailable)

	for _, tt := range []struct {
		name    string
		host    string
		path    string
		resolve resolver.Resolver
		find    *finder
		want    answer
		slug    string // of the tenant in the handler's context
		central bool   // Optional passes it all the same
	}{
		{"active", "acme.example.com", "/", bySubdomain, all, passed, "acme", false},
		{"in upper case with port and dot", "ACME.Example.COM.:8080", "/", bySubdomain, all, passed, "acme", false},
		{"by domain", "acme.test", "/", byHost, all, passed, "acme", false},
		{"by path", "example.com", "/t/acme", byPath, all, passed, "acme", false},

		{"status active", "active.example.com", "/", bySubdomain, all, passed, "active", false},
		{"status provisioning", "provisioning.example.com", "/", bySubdomain, all, answer{503, "provisioning", "5"}, "", false},
		{"status suspended", "suspended.example.com", "/", bySubdomain, all, answer{403, "suspended", ""}, "", false},
		{"status blocked", "blocked.example.com", "/", bySubdomain, all, answer{403, "blocked", ""}, "", false},
		{"status inactive", "inactive.example.com", "/", bySubdomain, all, answer{403, "inactive", ""}, "", false},
		{"status archived", "archived.example.com", "/", bySubdomain, all, answer{410, "archived", ""}, "", false},
		{"a status that is none", "odd.example.com", "/", bySubdomain, all, answer{403, "inactive", ""}, "", false},
		{"no status", "none.example.com", "/", bySubdomain, all, answer{403, "inactive", ""}, "", false},

		{"the base", "example.com", "/", bySubdomain, all, unresolved, "", true},
		{"a reserved name", "www.example.com", "/", bySubdomain, all, unresolved, "", true},
		{"a host elsewhere", "acme.example.net", "/", bySubdomain, all, unresolved, "", true},
		{"no host", "", "/", resolver.First(byPath, byPath), all, unresolved, "", true},
		{"another path", "example.com", "/about", byPath, all, unresolved, "", true},
		{"none, catalog down", "example.com", "/", bySubdomain, failing(wrapped), unresolved, "", true},

		{"unknown", "ghost.example.com", "/", bySubdomain, all, unknown, "", false},
		{"unknown domain", "ghost.test", "/", byHost, all, unknown, "", false},
		{"the zero match", "example.com", "/", broken(nil), all, unknown, "", false},

		{"underscore in the host", "a_b.example.com", "/", bySubdomain, all, invalid, "", false},
		{"empty label", "a..example.com", "/", bySubdomain, all, invalid, "", false},
		{"bad port", "acme.example.com:x", "/", bySubdomain, all, invalid, "", false},
		{"encoded segment", "example.com", "/t/%61cme", byPath, all, invalid, "", false},
		{"dot segments", "example.com", "/t/acme/../x", byPath, all, invalid, "", false},

		{"all agree", "acme.example.com", "/t/acme/x", tenancy.Must(resolver.Agree(all, bySubdomain, byPath)), all, passed, "acme", false},
		{"domain and path agree", "acme.test", "/t/acme/x", agree(all), all, passed, "acme", false},
		{"one says, two are silent", "example.com", "/t/acme/x", agree(all), all, passed, "acme", false},
		{"all silent", "example.com", "/", agree(all), all, unresolved, "", true},
		{"subdomain and path disagree", "acme.example.com", "/t/active", tenancy.Must(resolver.Agree(all, bySubdomain, byPath)), all, invalid, "", false},
		{"domain and path disagree", "acme.test", "/t/active", agree(all), all, invalid, "", false},
		{"unknown domain beside a path", "ghost.test", "/t/acme", agree(all), all, invalid, "", false},
		{"no agreement, catalog down", "acme.test", "/t/acme", agree(failing(wrapped)), failing(wrapped), down, "", false},

		{"catalog down", "acme.example.com", "/", bySubdomain, failing(wrapped), down, "", false},
		{"down and not found", "acme.example.com", "/", bySubdomain, failing(both), down, "", false},
		{"catalog too slow", "acme.example.com", "/", bySubdomain, failing(context.DeadlineExceeded), down, "", false},
		{"cancelled by nobody here", "acme.example.com", "/", bySubdomain, failing(context.Canceled), down, "", false},
		{"catalog closed", "acme.example.com", "/", bySubdomain, failing(tenancy.ErrClosed), down, "", false},
		{"odd error", "acme.example.com", "/", bySubdomain, failing(errOdd), internal, "", false},
		{"finder says unresolved", "acme.example.com", "/", bySubdomain, failing(tenancy.ErrUnresolved), unresolved, "", false},
		{"finder says no tenant", "acme.example.com", "/", bySubdomain, failing(tenancy.ErrNoTenant), internal, "", false},

		{"resolver says not authenticated", "acme.example.com", "/", broken(tenancy.ErrUnauthenticated), all, answer{401, "unauthenticated", ""}, "", false},
		{"resolver says down", "acme.example.com", "/", broken(wrapped), all, down, "", false},
		{"resolver's odd error", "acme.example.com", "/", broken(errOdd), all, internal, "", false},
		{"resolver says not found", "acme.example.com", "/", broken(tenancy.ErrNotFound), all, unknown, "", false},
	} {
		for name, new := range map[string]func(tenancy.Finder, resolver.Resolver, *middleware.Options) (func(http.Handler) http.Handler, error){
			"Tenant": middleware.Tenant, "Optional": middleware.Optional,
		} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				want := tt.want
				if name == "Optional" && tt.central {
					want = passed
				}
				r := get(tt.path)
				r.Host = tt.host
				next := &spy{}
				if got := ask(t, tenancy.Must(new(tt.find, tt.resolve, quiet))(next), r); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				if (len(next.got) == 1) != (want == passed) || len(next.got) > 1 {
					t.Fatalf("got %d calls of the handler beside %+v", len(next.got), want)
				}
				if want != passed {
					return
				}
				var slug string
				if got, ok := tenancy.FromContext(next.got[0].Context()); ok {
					slug = got.Slug
					if got != tt.find.tenants[tenancy.Ref{Kind: tenancy.RefSlug, Value: slug}] {
						t.Errorf("got the tenant %p, want the finder's own", got)
					}
				}
				if slug != tt.slug {
					t.Errorf("got the tenant %q in the context, want %q", slug, tt.slug)
				}
			})
		}
	}
}

func TestFindsInTheRequestsContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	var got any
	find := findFunc(func(ctx context.Context, _ tenancy.Ref) (*tenancy.Tenant, error) {
		got = ctx.Value(key{})
		return newTenant("acme", tenancy.StatusActive), nil
	})
	r := get("http://acme.example.com/")
	next := &spy{}
	ask(t, tenancy.Must(middleware.Tenant(find, bySubdomain, quiet))(next), r.WithContext(context.WithValue(r.Context(), key{}, "mine")))
	if got != "mine" || len(next.got) != 1 || next.got[0].Context().Value(key{}) != "mine" {
		t.Errorf("got %v in the finder and %d calls, want the request's own context everywhere", got, len(next.got))
	}
}

type findFunc func(context.Context, tenancy.Ref) (*tenancy.Tenant, error)

func (f findFunc) Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	return f(ctx, ref)
}

func TestMissingArguments(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(tenancy.Finder, resolver.Resolver) (func(http.Handler) http.Handler, error){
		"Tenant": func(f tenancy.Finder, r resolver.Resolver) (func(http.Handler) http.Handler, error) {
			return middleware.Tenant(f, r, nil)
		},
		"Optional": func(f tenancy.Finder, r resolver.Resolver) (func(http.Handler) http.Handler, error) {
			return middleware.Optional(f, r, nil)
		},
		"Standard": func(f tenancy.Finder, r resolver.Resolver) (func(http.Handler) http.Handler, error) {
			return middleware.Standard(f, r, nil)
		},
	} {
		if m, err := make(nil, bySubdomain); m != nil || !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), "middleware."+name+":") {
			t.Errorf("%s without a finder: got %v, want ErrInvalid and no middleware", name, err)
		}
		if m, err := make(newFinder(), nil); m != nil || !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s without a resolver: got %v, want ErrInvalid and no middleware", name, err)
		}
	}
}

func TestPathPrefixIsTakenOff(t *testing.T) {
	t.Parallel()
	find := newFinder(newTenant("acme", tenancy.StatusActive))
	type urls struct{ Path, RawPath, Escaped, Query, Prefix string }
	for target, want := range map[string]urls{
		"/t/acme":                    {"/", "", "/", "", "/t/acme"},
		"/t/acme/":                   {"/", "", "/", "", "/t/acme"},
		"/t/acme?x=/t/acme":          {"/", "", "/", "x=/t/acme", "/t/acme"},
		"/t/acme/notes/7":            {"/notes/7", "", "/notes/7", "", "/t/acme"},
		"/t/acme/t/acme/7":           {"/t/acme/7", "", "/t/acme/7", "", "/t/acme"},
		"/t/acme/a%2Fb?q=%2F&q=2":    {"/a/b", "/a%2Fb", "/a%2Fb", "q=%2F&q=2", "/t/acme"},
		"/t/acme/%2F":                {"//", "/%2F", "/%2F", "", "/t/acme"},
		"/t/acme/a%20b":              {"/a b", "", "/a%20b", "", "/t/acme"},
		"/t/acme/%E6%A0%AA%2f":       {"/株/", "/%E6%A0%AA%2f", "/%E6%A0%AA%2f", "", "/t/acme"},
		"http://h.test/t/acme/x%2Fy": {"/x/y", "/x%2Fy", "/x%2Fy", "", "/t/acme"},
	} {
		for name, h := range map[string]func(http.Handler) http.Handler{
			"Tenant":   tenancy.Must(middleware.Tenant(find, byPath, quiet)),
			"Optional": tenancy.Must(middleware.Optional(find, byPath, quiet)),
			"Agree":    tenancy.Must(middleware.Tenant(find, tenancy.Must(resolver.Agree(find, bySubdomain, byPath)), quiet)),
		} {
			r := get(target)
			before, url := r.Clone(t.Context()), r.URL
			next := &spy{}
			if got := ask(t, h(next), r); got != passed {
				t.Errorf("%s: %s: got %+v, want %+v", name, target, got, passed)
				continue
			}
			in := next.got[0]
			got := urls{in.URL.Path, in.URL.RawPath, in.URL.EscapedPath(), in.URL.RawQuery, middleware.PathPrefix(in.Context())}
			if got != want {
				t.Errorf("%s: %s: got %+v, want %+v", name, target, got, want)
			}
			if in.RequestURI != target || in.Host != before.Host || in.URL.Host != url.Host {
				t.Errorf("%s: %s: got %s at %s, want them as they were", name, target, in.RequestURI, in.Host)
			}
			if r.URL != url || *r.URL != *before.URL || r.RequestURI != target || middleware.PathPrefix(r.Context()) != "" {
				t.Errorf("%s: %s: the original request was modified: got %v, want %v", name, target, r.URL, before.URL)
			}
		}
	}
}

// A handler in front may have changed the path and left its encoding as it was.
func TestPathWithTheEncodingOfAnother(t *testing.T) {
	t.Parallel()
	find := newFinder(newTenant("acme", tenancy.StatusActive), newTenant("other", tenancy.StatusActive))
	for _, raw := range []string{"/api/t/acme/a%2Fb", "/t/other/a%2Fb", "/%2F", "/t"} {
		r := get("/")
		r.URL.Path, r.URL.RawPath = "/t/acme/a/b", raw
		next := &spy{}
		if got := ask(t, tenancy.Must(middleware.Optional(find, byPath, quiet))(next), r); got != passed {
			t.Errorf("%s: got %+v, want %+v", raw, got, passed)
			continue
		}
		in := next.got[0]
		if each, ok := tenancy.FromContext(in.Context()); !ok || each.Slug != "acme" || in.URL.Path != "/a/b" || in.URL.EscapedPath() != "/a/b" || in.URL.RawPath != "" {
			t.Errorf("%s: got %+v at %s, want acme at /a/b", raw, each, in.URL)
		}
	}
}

func TestRoutesBehindAPathPrefix(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /notes/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, middleware.PathPrefix(r.Context()), " ", r.PathValue("name"))
	})
	w := httptest.NewRecorder()
	h := tenancy.Must(middleware.Tenant(newFinder(newTenant("acme", tenancy.StatusActive)), byPath, quiet))(mux)
	h.ServeHTTP(w, get("/t/acme/notes/a%2Fb"))
	if got, want := w.Body.String(), "/t/acme a/b"; got != want {
		t.Errorf("got %d %q, want %q", w.Code, got, want)
	}
}

func TestWithoutAPathPrefix(t *testing.T) {
	t.Parallel()
	next := &spy{}
	r := get("http://acme.example.com/t/acme")
	ask(t, tenancy.Must(middleware.Tenant(newFinder(newTenant("acme", tenancy.StatusActive)), bySubdomain, quiet))(next), r)
	if len(next.got) != 1 || next.got[0].URL != r.URL || middleware.PathPrefix(next.got[0].Context()) != "" {
		t.Errorf("got %v, want the URL %v as it was, and no prefix", next.got, r.URL)
	}
}

// span is one that records.
type span struct {
	noop.Span
	off  bool
	got  map[attribute.Key]string
	sets int
}

func (s *span) IsRecording() bool { return !s.off }

func (s *span) SetAttributes(attrs ...attribute.KeyValue) {
	s.sets++
	for _, a := range attrs {
		s.got[a.Key] = a.Value.AsString()
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	find := newFinder(newTenant("acme", tenancy.StatusActive), newTenant("closed", tenancy.StatusSuspended))
	acme := map[attribute.Key]string{"tenancy.tenant.id": "id-acme", "tenancy.tenant.slug": "acme"}
	for _, tt := range []struct {
		name, target string
		off          bool
		want         map[attribute.Key]string
	}{
		{"passed", "http://acme.example.com/", false, acme},
		{"passed by path", "http://example.com/t/acme", false, acme},
		{"not recording", "http://acme.example.com/", true, nil},
		{"refused", "http://closed.example.com/", false, nil},
		{"unknown", "http://ghost.example.com/", false, nil},
		{"central", "http://example.com/", false, nil},
	} {
		s := &span{off: tt.off, got: map[attribute.Key]string{}}
		r := get(tt.target)
		h := tenancy.Must(middleware.Optional(find, resolver.First(bySubdomain, byPath), quiet))(&spy{})
		ask(t, h, r.WithContext(trace.ContextWithSpan(r.Context(), s)))
		if len(s.got) != len(tt.want) || len(tt.want) > 0 && !cmp.Equal(s.got, tt.want) {
			t.Errorf("%s: got the attributes %v, want %v", tt.name, s.got, tt.want)
		}
		if s.off && s.sets > 0 {
			t.Errorf("%s: got %d calls of a span that does not record, want none", tt.name, s.sets)
		}
	}
}

func TestManyTenantsAtOnce(t *testing.T) {
	t.Parallel()
	const tenants, rounds = 8, 200
	find := newFinder()
	for i := range tenants {
		for ref, each := range newFinder(newTenant(fmt.Sprintf("n%d", i), tenancy.StatusActive)).tenants {
			find.tenants[ref] = each
		}
	}
	h := tenancy.Must(middleware.Optional(find, tenancy.Must(resolver.Agree(find, bySubdomain, byPath)), quiet))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := "central"
		if each, ok := tenancy.FromContext(r.Context()); ok {
			got = each.Slug
		}
		fmt.Fprint(w, got, r.URL.Path)
	}))
	var wg sync.WaitGroup
	for i := range tenants {
		wg.Go(func() {
			slug := fmt.Sprintf("n%d", i)
			for range rounds {
				for target, want := range map[string]string{
					"http://" + slug + ".example.com/a":                slug + "/a",
					"http://" + slug + ".example.com/t/" + slug + "/b": slug + "/b",
					"http://example.com/t/" + slug:                     slug + "/",
					"http://example.com/" + slug:                       "central/" + slug,
				} {
					w := httptest.NewRecorder()
					h.ServeHTTP(w, get(target))
					if got := w.Body.String(); got != want {
						t.Errorf("%s: got %q, want %q", target, got, want)
					}
				}
			}
		})
	}
	wg.Wait()
}

// Not parallel: it looks at the memory of the whole process.
func TestUnknownHostsLeaveNothingBehind(t *testing.T) {
	const hosts, most = 10_000, 512 << 10 // bytes; 52 for each host
	cat := tenancytest.NewCatalog(t, tenancytest.NewTenant("acme"))
	next := &spy{}
	handlers := []http.Handler{tenancy.Must(middleware.Tenant(cat, bySubdomain, quiet))(next), tenancy.Must(middleware.Optional(cat, byHost, quiet))(next)}
	flood := func(n int, prefix string) {
		for i := range n {
			r := get("/")
			r.Host = fmt.Sprintf("%s%d.example.com", prefix, i)
			for _, h := range handlers {
				if got := ask(t, h, r); got != unknown {
					t.Fatalf("%s: got %+v, want %+v", r.Host, got, unknown)
				}
			}
		}
	}
	measure := func() (heap uint64, goroutines int) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	flood(100, "warm") // what is made once is made
	heap, goroutines := measure()
	flood(hosts, "h")
	heapAfter, goroutinesAfter := measure()
	if heapAfter > heap+most || goroutinesAfter > goroutines {
		t.Errorf("after %d unknown hosts: got %d bytes and %d goroutines, want about %d and %d", hosts, heapAfter, goroutinesAfter, heap, goroutines)
	}
	if len(next.got) != 0 {
		t.Errorf("got %d calls of the handler, want none", len(next.got))
	}
}

// Probes of load balancers and container platforms name no host, or one that no tenant
// can have.
func TestProbesReachUniversalRoutes(t *testing.T) {
	t.Parallel()
	find := newFinder(newTenant("acme", tenancy.StatusActive))
	for name, by := range map[string]resolver.Resolver{
		"Host": byHost, "Subdomain": bySubdomain, "both": resolver.First(bySubdomain, byHost), "agreeing": tenancy.Must(resolver.Agree(find, bySubdomain, byHost)),
	} {
		send := serve(t, tenancy.Must(middleware.Optional(find, by, quiet))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })))
		for _, request := range []string{
			"GET /health HTTP/1.0\r\n\r\n", "GET /health HTTP/1.0\r\nHost:\r\n\r\n", "GET /health HTTP/1.1\r\nHost:\r\n\r\n",
			"GET /health HTTP/1.1\r\nHost: my_app:8080\r\n\r\n", "GET /health HTTP/1.1\r\nHost: my_app.my_mesh.internal\r\n\r\n",
		} {
			_, from := send(request)
			res, err := http.ReadResponse(from, nil)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusNoContent {
				t.Errorf("%s: %q: got status %d, want the handler's", name, request, res.StatusCode)
			}
		}
	}
}

// An outage is not "names no tenant", whatever else the error says.
func TestOutageIsNotCentral(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("%w: %w", tenancy.ErrUnavailable, tenancy.ErrUnresolved)
	claims := tenancy.Must(resolver.NewClaim("tid", func(*http.Request) (map[string]any, error) { return nil, err }, nil))
	for name, by := range map[string]resolver.Resolver{
		"resolver":      resolver.Func(func(*http.Request) (resolver.Match, error) { return resolver.Match{}, err }),
		"Claim":         claims,
		"First, Claim":  resolver.First(claims, bySubdomain),
		"Agree, finder": tenancy.Must(resolver.Agree(failing(err), byHost, byPath)),
	} {
		r := get("/t/acme")
		r.Host = "acme.test"
		if got := ask(t, tenancy.Must(middleware.Optional(newFinder(), by, quiet))(middleware.CentralOnly(quiet)(&spy{})), r); got != down {
			t.Errorf("%s: got %+v, want %+v", name, got, down)
		}
	}
}

// A resolver of the application may return a prefix that is not how the path begins.
func TestForeignPrefixIsRefused(t *testing.T) {
	t.Parallel()
	by := resolver.Func(func(*http.Request) (resolver.Match, error) {
		return resolver.Match{Ref: tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"}, Prefix: "/t/acme"}, nil
	})
	next := &spy{}
	ask(t, tenancy.Must(middleware.Tenant(newFinder(newTenant("acme", tenancy.StatusActive)), by, quiet))(next), get("/x"))
	if len(next.got) == 1 && next.got[0].URL.Path == "" {
		t.Errorf("got the empty path in the handler, want a refusal")
	}
}

// An outage that joins ErrNotFound is no contradiction.
func TestAgreeOutage(t *testing.T) {
	t.Parallel()
	both := failing(errors.Join(tenancy.ErrNotFound, tenancy.ErrUnavailable))
	r := get("/t/acme")
	r.Host = "acme.test"
	if got := ask(t, tenancy.Must(middleware.Tenant(both, tenancy.Must(resolver.Agree(both, byHost, byPath)), quiet))(&spy{}), r); got != down {
		t.Errorf("got %+v, want %+v", got, down)
	}
}

// A finder that returns nothing at all is a mistake, not a panic.
func TestFinderWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("got a panic with %v, want 500", p)
		}
	}()
	none := findFunc(func(context.Context, tenancy.Ref) (*tenancy.Tenant, error) { return nil, nil })
	ask(t, tenancy.Must(middleware.Tenant(none, bySubdomain, quiet))(&spy{}), get("http://acme.example.com/"))
}

// A finder cannot say that a request names nothing.
func TestFinderCannotMakeARequestCentral(t *testing.T) {
	t.Parallel()
	odd := failing(tenancy.ErrUnresolved)
	r := get("/t/acme")
	r.Host = "acme.test"
	h := tenancy.Must(middleware.Optional(odd, tenancy.Must(resolver.Agree(odd, byHost, byPath)), quiet))(middleware.CentralOnly(quiet)(&spy{}))
	if got := ask(t, h, r); got != down {
		t.Errorf("got %+v, want %+v", got, down)
	}
}
