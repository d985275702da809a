package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/resolver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// byName takes the principal from a header, as no service should: "acme:jo".
func byName(r *http.Request, t *tenancy.Tenant) (*middleware.Principal, error) {
	tenant, subject, ok := strings.Cut(r.Header.Get("X-Name"), ":")
	if !ok {
		return nil, nil
	}
	return &middleware.Principal{Tenant: tenancy.ID(tenant), ID: "session-of-" + subject, Subject: subject}, nil
}

// noEve authorises everybody else.
func noEve(_ context.Context, p *middleware.Principal, _ *tenancy.Tenant) error {
	if p.Subject == "eve" {
		return tenancy.ErrForbidden
	}
	return nil
}

// inMaintenance refuses requests for tenants whose settings say so.
func inMaintenance(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t, ok := tenancy.FromContext(r.Context()); ok && t.Settings["closed"] != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Each guard stands before those after it: a request that several would refuse is
// refused by the first.
func TestStandardOrder(t *testing.T) {
	t.Parallel()
	asleep := newTenant("asleep", tenancy.StatusSuspended)
	acme := limited("acme", map[string]int64{"rate.tenant": 0})
	acme.Settings = map[string]string{"homepage": "off"}
	closed := limited("closed", nil)
	closed.Settings = map[string]string{"homepage": "off", "closed": "yes"}
	busy := limited("busy", map[string]int64{"concurrency": 0})
	for _, each := range []*tenancy.Tenant{asleep, acme, closed, busy} {
		each.Access.Deny = []netip.Prefix{netip.MustParsePrefix("192.0.2.66/32")}
	}
	h := tenancy.Must(middleware.Standard(newFinder(asleep, acme, closed, busy), bySubdomain, &middleware.StandardOptions{
		Options:      *quiet,
		AllowIPs:     &middleware.AllowIPsOptions{Deny: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
		Maintenance:  inMaintenance,
		Homepage:     "/login",
		Assets:       []string{"/assets/"},
		Authenticate: middleware.AuthenticatorFunc(byName),
		Authorize:    noEve,
	}))(&spy{})
	const somebody, denied, deniedByHost = "192.0.2.1:80", "192.0.2.66:80", "198.51.100.1:80"
	for _, tt := range []struct {
		name, from, url, who string
		want                 answer
	}{
		{"Tenant before AllowIPs", denied, "http://asleep.example.com/", "", answer{403, "suspended", ""}},
		{"AllowIPs before Maintenance", denied, "http://closed.example.com/", "", answer{403, "forbidden", ""}},
		{"the application's AllowIPs", deniedByHost, "http://closed.example.com/", "", answer{403, "forbidden", ""}},
		{"Maintenance before Homepage", somebody, "http://closed.example.com/", "", answer{Code: 503}},
		{"Maintenance before Assets", somebody, "http://closed.example.com/assets/x.css", "", answer{Code: 503}},
		{"Homepage before Authenticate", somebody, "http://acme.example.com/", "", answer{Code: 302}},
		{"Assets before Authenticate", somebody, "http://acme.example.com/assets/x.css", "", passed},
		{"not by an encoded slash", somebody, "http://acme.example.com/assets%2Fx.css", "", answer{401, "unauthenticated", ""}},
		{"Authenticate before RateLimit", somebody, "http://acme.example.com/notes", "", answer{401, "unauthenticated", ""}},
		{"another tenant's principal", somebody, "http://acme.example.com/notes", "id-busy:jo", answer{401, "unauthenticated", ""}},
		{"Authorize before RateLimit", somebody, "http://acme.example.com/notes", "id-acme:eve", answer{403, "forbidden", ""}},
		{"RateLimit", somebody, "http://acme.example.com/notes", "id-acme:jo", answer{429, "limited", ""}},
		{"Concurrency", somebody, "http://busy.example.com/notes", "id-busy:jo", answer{429, "limited", ""}},
		{"an unknown tenant", denied, "http://ghost.example.com/assets/x.css", "", unknown},
		{"no tenant", somebody, "http://example.com/", "", unresolved},
	} {
		r := from(tt.from, tt.url, "X-Name", tt.who)
		if got := ask(t, h, r); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// What the chain says once is true of all its parts; what a part says itself counts
// for that part.
func TestStandardOptionsReachEachGuard(t *testing.T) {
	t.Parallel()
	acme := limited("acme", map[string]int64{"rate.address": 1, "concurrency": 0})
	acme.Access.Deny = []netip.Prefix{netip.MustParsePrefix("192.0.2.66/32")}
	var log bytes.Buffer
	own := 0
	chain := tenancy.Must(middleware.Standard(newFinder(acme), bySubdomain, &middleware.StandardOptions{
		Options: middleware.Options{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Refuse: func(w http.ResponseWriter, _ *http.Request, err error) { http.Error(w, err.Error(), http.StatusTeapot) },
		},
		Proxies:      someProxies(t),
		Authenticate: middleware.AuthenticatorFunc(byName),
		Authorize:    noEve,
		Concurrency: &middleware.ConcurrencyOptions{Options: middleware.Options{Refuse: func(w http.ResponseWriter, _ *http.Request, _ error) {
			own++
			w.WriteHeader(http.StatusConflict)
		}}},
	}))
	h := chain(&spy{})
	for _, tt := range []struct {
		url, from, who string
		code           int
		logged         string
	}{
		{"http://ghost.example.com/", "203.0.113.1", "", 418, ""}, // at level debug
		{"http://acme.example.com/", "192.0.2.66", "id-acme:jo", 418, "the address is denied"},
		{"http://acme.example.com/", "203.0.113.1", "", 418, "no credentials"},
		{"http://acme.example.com/", "203.0.113.1", "id-acme:eve", 418, "middleware.Authorize"},
		{"http://acme.example.com/", "203.0.113.1", "id-acme:jo", 409, "limit reached: concurrency"},
		{"http://acme.example.com/", "203.0.113.1", "id-acme:jo", 418, "limit reached: address"},
		{"http://acme.example.com/", "203.0.113.2", "id-acme:jo", 409, "limit reached: concurrency"}, // another address
	} {
		log.Reset()
		r := from("10.0.0.1:80", tt.url, "X-Forwarded-For", tt.from, "X-Name", tt.who)
		if w := serveTo(h, r); w.Code != tt.code {
			t.Errorf("%+v: got %d %s", tt, w.Code, w.Body)
		}
		if !strings.Contains(log.String(), tt.logged) {
			t.Errorf("%+v: logged %q", tt, log.String())
		}
	}
	if own != 2 {
		t.Errorf("the guard's own Refuse was called %d times, want 2", own)
	}
}

// counted notes for whom a limiter was asked.
type counted struct {
	ratelimit.Limiter
	keys []string
}

func (c *counted) Take(ctx context.Context, limits []ratelimit.Limit) (bool, error) {
	for _, each := range limits {
		if each.Kind == ratelimit.Key {
			c.keys = append(c.keys, each.Key)
		}
	}
	return c.Limiter.Take(ctx, limits)
}

// What a guard is told counts for it, whatever the chain says.
func TestStandardOwnOptions(t *testing.T) {
	t.Parallel()
	nobody, err := resolver.NewProxies([]netip.Prefix{netip.MustParsePrefix("192.0.2.200/32")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	limiter := &counted{Limiter: ratelimit.NewMemory(nil)}
	h := tenancy.Must(middleware.Standard(newFinder(limited("acme", map[string]int64{"rate.key": 100, "rate.address": 1})), bySubdomain, &middleware.StandardOptions{
		Options:      *quiet,
		Proxies:      someProxies(t),
		AllowIPs:     &middleware.AllowIPsOptions{Proxies: nobody, Deny: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/32")}},
		Authenticate: middleware.AuthenticatorFunc(byName),
		Limiter:      limiter,
		RateLimit: &middleware.RateLimitOptions{
			Options: middleware.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))},
			Proxies: nobody,
			Key:     func(r *http.Request) string { return "team of " + r.Header.Get("X-Name") },
		},
	}))(&spy{})
	for i, want := range []answer{passed, {429, "limited", "60"}} { // both count to the proxy
		r := from("10.0.0.1:80", "http://acme.example.com/", "X-Forwarded-For", fmt.Sprint("203.0.113.", i+1), "X-Name", "id-acme:jo")
		if got := ask(t, h, r); got != want {
			t.Errorf("%d: got %+v, want %+v", i, got, want)
		}
	}
	if want := "team of id-acme:jo,team of id-acme:jo"; strings.Join(limiter.keys, ",") != want {
		t.Errorf("the limiter counted %q, want %q", limiter.keys, want)
	}
	if !strings.Contains(log.String(), "limit reached: address") {
		t.Errorf("the guard's own log has %q", log.String())
	}
}

// What a tenant has under way in one of the handlers that a chain is put around
// counts in the others.
func TestStandardCountsHandlersTogether(t *testing.T) {
	t.Parallel()
	chain := tenancy.Must(middleware.Standard(newFinder(limited("acme", map[string]int64{"concurrency": 1})), bySubdomain, &middleware.StandardOptions{
		Options: *quiet, Concurrency: &middleware.ConcurrencyOptions{Queue: -1},
	}))
	other := chain(&spy{})
	var meanwhile answer
	h := chain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		meanwhile = ask(t, other, get("http://acme.example.com/"))
	}))
	serveTo(h, get("http://acme.example.com/"))
	if want := (answer{429, "limited", "1"}); meanwhile != want {
		t.Errorf("got %+v, want %+v", meanwhile, want)
	}
	if got := ask(t, other, get("http://acme.example.com/")); got != passed {
		t.Errorf("got %+v afterwards, want %+v", got, passed)
	}
}

// A rate for keys counts users by their name, whatever session they come with, and
// each handler that one chain is put around counts with the others.
func TestStandardCountsPrincipals(t *testing.T) {
	t.Parallel()
	acme := limited("acme", map[string]int64{"rate.key": 2})
	chain := tenancy.Must(middleware.Standard(newFinder(acme), bySubdomain, &middleware.StandardOptions{
		Options: *quiet,
		Authenticate: middleware.AuthenticatorFunc(func(r *http.Request, t *tenancy.Tenant) (*middleware.Principal, error) {
			p, err := byName(r, t)
			if p != nil {
				p.ID = r.Header.Get("X-Session")
				p.Subject = strings.TrimPrefix(p.Subject, "-")
			}
			return p, err
		}),
	}))
	a, b := chain(&spy{}), chain(&spy{})
	for i, tt := range []struct {
		h            http.Handler
		who, session string
		code         int
	}{
		{a, "id-acme:jo", "1", 204}, {b, "id-acme:jo", "2", 204}, {a, "id-acme:jo", "3", 429},
		{a, "id-acme:al", "1", 204},
		{a, "id-acme:-", "k1", 204}, {b, "id-acme:-", "k1", 204}, {a, "id-acme:-", "k1", 429}, {a, "id-acme:-", "k2", 204},
		{a, "id-acme:k1", "4", 204}, // a user who is called like a key
	} {
		r := get("http://acme.example.com/")
		r.Header.Set("X-Name", tt.who)
		r.Header.Set("X-Session", tt.session)
		if w := serveTo(tt.h, r); w.Code != tt.code {
			t.Errorf("%d: got %d, want %d", i, w.Code, tt.code)
		}
	}
}

// The principal that a handler finds is that of the nearest Authenticate in front of
// it, of its own tenant, also where others are nested in the chain.
func TestStandardPrincipal(t *testing.T) {
	t.Parallel()
	find := newFinder(limited("acme", nil), limited("busy", nil))
	said := func(header string) middleware.Authenticator {
		return middleware.AuthenticatorFunc(func(r *http.Request, _ *tenancy.Tenant) (*middleware.Principal, error) {
			tenant, subject, ok := strings.Cut(r.Header.Get(header), ":")
			if !ok {
				return nil, nil
			}
			return &middleware.Principal{Tenant: tenancy.ID(tenant), Subject: subject}, nil
		})
	}
	var got []string
	note := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who := "nobody"
			if p, ok := middleware.PrincipalOf(r.Context()); ok {
				who = p.Subject
			}
			got = append(got, who)
			next.ServeHTTP(w, r)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := false
	last := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		below, stop := context.WithCancel(r.Context())
		defer stop()
		cancel() // by whoever serves the request
		<-below.Done()
		ended = true
	})
	other := tenancy.Must(middleware.Tenant(find, byPath, quiet)) // /t/busy/: a tenant within a tenant's request
	h := tenancy.Must(middleware.Standard(find, bySubdomain, &middleware.StandardOptions{
		Options: *quiet, Authenticate: said("X-Name"), Maintenance: note,
	}))(note(tenancy.Must(middleware.Authenticate(said("X-Strong"), quiet))(note(other(note(tenancy.Must(middleware.Authenticate(said("X-Busy"), quiet))(note(last))))))))
	r := from("192.0.2.1:80", "http://acme.example.com/t/busy/", "X-Name", "id-acme:jo", "X-Strong", "id-acme:root", "X-Busy", "id-busy:al")
	if w := serveTo(h, r.WithContext(ctx)); w.Code != 200 || !ended {
		t.Errorf("got %d, the end of the request was seen: %v", w.Code, ended)
	}
	if want := "nobody jo root nobody al"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, " "), want)
	}
}

// Two requests that a handler makes of one, in whose context nobody was found, know
// nothing of each other's principals.
func TestStandardPrincipalStaysBehindAuthenticate(t *testing.T) {
	t.Parallel()
	who := func(r *http.Request) string {
		if p, ok := middleware.PrincipalOf(r.Context()); ok {
			return p.Subject
		}
		return "nobody"
	}
	var got []string
	note := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, who(r)) })
	login := tenancy.Must(middleware.Authenticate(middleware.AuthenticatorFunc(byName), quiet))(note)
	h := tenancy.Must(middleware.Standard(newFinder(limited("acme", nil)), bySubdomain, &middleware.StandardOptions{
		Options: *quiet, Assets: []string{"/public/"}, Authenticate: middleware.AuthenticatorFunc(byName),
	}))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Name", "id-acme:jo")
		login.ServeHTTP(w, r)
		note.ServeHTTP(w, r)
		r.Header.Set("X-Name", "id-acme:al")
		login.ServeHTTP(w, r)
		note.ServeHTTP(w, r)
	}))
	serveTo(h, from("192.0.2.1:80", "http://acme.example.com/public/batch"))
	serveTo(h, from("192.0.2.1:80", "http://acme.example.com/batch", "X-Name", "id-acme:root"))
	if want := "jo nobody al nobody jo root al root"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, " "), want)
	}
}

// A principal is never replaced by another, also where the chain is passed twice.
func TestStandardPrincipalStays(t *testing.T) {
	t.Parallel()
	var served []context.Context
	twice := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, who := range []string{"id-acme:jo", "id-acme:al"} {
				r.Header.Set("X-Name", who)
				next.ServeHTTP(w, r)
			}
		})
	}
	h := tenancy.Must(middleware.Standard(newFinder(limited("acme", nil)), bySubdomain, &middleware.StandardOptions{
		Options: *quiet, Maintenance: twice, Authenticate: middleware.AuthenticatorFunc(byName),
	}))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { served = append(served, r.Context()) }))
	serveTo(h, get("http://acme.example.com/"))
	for i, want := range []string{"jo", "al"} {
		if p, ok := middleware.PrincipalOf(served[i]); !ok || p.Subject != want {
			t.Errorf("got %+v, %v, want %s", p, ok, want)
		}
	}
}

func TestStandardOptional(t *testing.T) {
	t.Parallel()
	acme := limited("acme", nil)
	h := tenancy.Must(middleware.Standard(newFinder(acme), bySubdomain, &middleware.StandardOptions{
		Options: *quiet, Optional: true, Authenticate: middleware.AuthenticatorFunc(byName), Authorize: noEve, Maintenance: inMaintenance,
		AllowIPs: &middleware.AllowIPsOptions{Deny: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
	}))(&spy{})
	for _, tt := range []struct {
		url, from string
		want      answer
	}{
		{"http://example.com/", "192.0.2.1:80", passed},
		{"http://example.com/", "198.51.100.1:80", answer{403, "forbidden", ""}},
		{"http://acme.example.com/", "192.0.2.1:80", answer{401, "unauthenticated", ""}},
		{"http://ghost.example.com/", "192.0.2.1:80", unknown},
	} {
		if got := ask(t, h, from(tt.from, tt.url)); got != tt.want {
			t.Errorf("%s from %s: got %+v, want %+v", tt.url, tt.from, got, tt.want)
		}
	}
}

// Behind an Optional of the application, that a request named no tenant there does not
// let it pass by the guards of the one that it names here, nor by those of the one
// that it named before.
func TestStandardOptionalWithinAnother(t *testing.T) {
	t.Parallel()
	find := newFinder(limited("acme", nil))
	opts := &middleware.StandardOptions{
		Options: *quiet, Optional: true, Authenticate: middleware.AuthenticatorFunc(byName), Authorize: noEve,
	}
	inOptional := tenancy.Must(middleware.Optional(find, bySubdomain, quiet))(tenancy.Must(middleware.Standard(find, byPath, opts))(&spy{}))
	inTenant := tenancy.Must(middleware.Tenant(find, bySubdomain, quiet))(tenancy.Must(middleware.Standard(find, byPath, opts))(&spy{}))
	for _, tt := range []struct {
		name     string
		h        http.Handler
		url, who string
		want     answer
	}{
		{"named here, stranger", inOptional, "http://example.com/t/acme/", "", answer{401, "unauthenticated", ""}},
		{"named here, not authorized", inOptional, "http://example.com/t/acme/", "id-acme:eve", answer{403, "forbidden", ""}},
		{"named here", inOptional, "http://example.com/t/acme/", "id-acme:jo", passed},
		{"named nowhere", inOptional, "http://example.com/", "", passed},
		{"named before, stranger", inTenant, "http://acme.example.com/", "", answer{401, "unauthenticated", ""}},
		{"named before", inTenant, "http://acme.example.com/", "id-acme:jo", passed},
	} {
		if got := ask(t, tt.h, from("192.0.2.1:80", tt.url, "X-Name", tt.who)); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestStandardRefusesOptions(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*middleware.StandardOptions{
		"Authorize alone": {Authorize: noEve},
		"a bad homepage":  {Homepage: "//evil.example"},
		"a bad asset":     {Assets: []string{"/"}},
	} {
		if m, err := middleware.Standard(newFinder(), bySubdomain, opts); m != nil || !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid and no middleware", name, err)
		}
	}
}

func ExampleStandard() {
	ctx := context.Background()
	cat, err := catalog.NewWithStore(tenancytest.NewStore(), nil) // in a service: catalog.New, and a cache in front
	if err != nil {
		panic(err)
	}
	acme, err := cat.Create(ctx, &tenancy.Tenant{
		Slug: "acme", Status: tenancy.StatusActive, Limits: map[string]int64{"rate.key": 60, "burst.key": 2},
	})
	if err != nil {
		panic(err)
	}
	issuer, err := catalog.NewKeyIssuer(cat, "notes", nil)
	if err != nil {
		panic(err)
	}
	key, _, err := issuer.Issue(ctx, acme.ID, catalog.APIKeySpec{Name: "nightly export", Scopes: []string{"read"}})
	if err != nil {
		panic(err)
	}
	gate, err := maintenance.NewGate(cat, nil)
	if err != nil {
		panic(err)
	}
	keys, err := middleware.NewKeyAuthenticator("notes", &middleware.KeyAuthenticatorOptions{Used: issuer.Used})
	if err != nil {
		panic(err)
	}

	standard := tenancy.Must(middleware.Standard(cat, bySubdomain, &middleware.StandardOptions{
		Maintenance:  gate.Guard,
		Assets:       []string{"/assets/"},
		Authenticate: keys,
	}))
	mux := http.NewServeMux()
	mux.Handle("GET /notes", tenancy.Must(middleware.RequireScope("read", nil))(hello))
	mux.Handle("GET /assets/", hello)
	service := standard(mux)

	get := func(path, key string) {
		r := httptest.NewRequest(http.MethodGet, "http://acme.example.com"+path, nil)
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		w := httptest.NewRecorder()
		service.ServeHTTP(w, r)
		fmt.Println(strings.TrimSpace(fmt.Sprintln(w.Code, path, w.Header().Get("RateLimit"))))
	}
	get("/assets/logo.svg", "")
	get("/notes", "")
	for range 3 {
		get("/notes", key.Reveal())
	}
	if err := gate.Tenant(acme.ID).Begin(ctx, tenancy.Maintenance{Message: "Back at noon."}); err != nil {
		panic(err)
	}
	get("/notes", key.Reveal())
	// Output:
	// 200 /assets/logo.svg
	// 401 /notes
	// 200 /notes "key";r=1;t=1
	// 200 /notes "key";r=0;t=1
	// 429 /notes "key";r=0;t=1
	// 503 /notes
}
