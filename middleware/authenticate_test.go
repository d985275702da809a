package middleware_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/internal/credential"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

var (
	unauthenticated = answer{401, "unauthenticated", ""}
	forbidden       = answer{403, "forbidden", ""}
)

// newKeys returns the authenticator by keys that begin with "test".
func newKeys(t testing.TB, opts *middleware.KeyAuthenticatorOptions) *middleware.KeyAuthenticator {
	t.Helper()
	k, err := middleware.NewKeyAuthenticator("test", opts)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// service is a catalog in memory with two tenants, and the issuer of their keys.
type service struct {
	*catalog.Catalog
	keys         *catalog.KeyIssuer
	acme, globex *tenancy.Tenant
}

func newService(t testing.TB) *service {
	t.Helper()
	acme, globex := newTenant("acme", tenancy.StatusActive), newTenant("globex", tenancy.StatusActive)
	s := &service{Catalog: tenancytest.NewCatalog(t, acme, globex), acme: acme, globex: globex}
	var err error
	if s.keys, err = catalog.NewKeyIssuer(s.Catalog, "test", nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *service) issue(t testing.TB, tenant *tenancy.Tenant, spec catalog.APIKeySpec) (text, id string) {
	t.Helper()
	secret, info, err := s.keys.Issue(t.Context(), tenant.ID, spec)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal(), info.ID
}

// at returns a request to the tenant's host; header holds names and values in turn.
func at(tenant *tenancy.Tenant, header ...string) *http.Request {
	r := get("/")
	r.Host = tenant.Slug + ".example.com"
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// principalOf returns the principal with which the request reached the handler.
func principalOf(t *testing.T, h func(http.Handler) http.Handler, r *http.Request) *middleware.Principal {
	t.Helper()
	var got *middleware.Principal
	h(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got, _ = middleware.PrincipalOf(r.Context()) })).
		ServeHTTP(httptest.NewRecorder(), r)
	return got
}

// through puts each in front of the next.
func through(all ...func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		for i := range all {
			h = all[len(all)-1-i](h)
		}
		return h
	}
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	s := newService(t)
	day := 24 * time.Hour
	key, id := s.issue(t, s.acme, catalog.APIKeySpec{Name: "ann", Scopes: []string{"read", "write"}, TTL: day})
	foreign, _ := s.issue(t, s.globex, catalog.APIKeySpec{})
	revoked, revokedID := s.issue(t, s.acme, catalog.APIKeySpec{})
	if err := s.keys.Revoke(t.Context(), s.acme.ID, revokedID); err != nil {
		t.Fatal(err)
	}
	rotated, rotatedID := s.issue(t, s.acme, catalog.APIKeySpec{})
	next, _, err := s.keys.Rotate(t.Context(), s.acme.ID, rotatedID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ended, endedID := s.issue(t, s.acme, catalog.APIKeySpec{})
	if _, _, err := s.keys.Rotate(t.Context(), s.acme.ID, endedID, 0); err != nil {
		t.Fatal(err)
	}
	here, _ := s.issue(t, s.acme, catalog.APIKeySpec{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	there, _ := s.issue(t, s.acme, catalog.APIKeySpec{Allow: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}})
	// Right in form, with an ID that there is; made by somebody who can compute checksums.
	forged := forge(s.acme.ID, id)

	h := through(tenancy.Must(middleware.Tenant(s, bySubdomain, quiet)), tenancy.Must(middleware.Authenticate(newKeys(t, nil), quiet)))
	const auth, header = "Authorization", "X-Api-Key"
	const none, bad = "Bearer", `Bearer error="invalid_token"`
	for _, tt := range []struct {
		name      string
		header    []string
		want      answer
		challenge string
	}{
		{"good", []string{header, key}, passed, ""},
		{"good, bearer", []string{auth, "Bearer " + key}, passed, ""},
		{"rotated", []string{header, rotated}, passed, ""},
		{"rotated, new", []string{header, next.Reveal()}, passed, ""},
		{"from here", []string{header, here}, passed, ""},
		{"nothing", nil, unauthenticated, none},
		{"empty", []string{header, "", auth, ""}, unauthenticated, none},
		{"another scheme", []string{auth, "Basic eDp5"}, unauthenticated, none},
		{"another kind", []string{auth, "Bearer a.b.c"}, unauthenticated, none},
		{"another tenant's", []string{header, foreign}, unauthenticated, bad},
		{"revoked", []string{header, revoked}, unauthenticated, bad},
		{"ended", []string{header, ended}, unauthenticated, bad},
		{"forged", []string{header, forged}, unauthenticated, bad},
		{"made up", []string{header, credential.NewKey("test", s.acme.ID).Text}, unauthenticated, bad},
		{"truncated", []string{header, key[:len(key)-1]}, unauthenticated, bad},
		{"mistyped", []string{header, strings.ToLower(key)}, unauthenticated, bad},
		{"lengthened", []string{header, key + "A"}, unauthenticated, bad},
		{"from elsewhere", []string{header, there}, forbidden, ""},
		{"two", []string{header, key, auth, "Bearer " + here}, invalid, ""},
		{"beside a token", []string{header, key, auth, "Bearer a.b.c"}, invalid, ""},
		{"two lines", []string{header, key, header, key}, invalid, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			next := &spy{}
			h(next).ServeHTTP(w, at(s.acme, tt.header...))
			if got := answerOf(t, w); got != tt.want || w.Header().Get("WWW-Authenticate") != tt.challenge {
				t.Errorf("got %+v %q, want %+v %q", got, w.Header().Get("WWW-Authenticate"), tt.want, tt.challenge)
			}
			if (len(next.got) == 1) != (tt.want == passed) {
				t.Errorf("got %d calls of the handler beside %+v", len(next.got), tt.want)
			}
		})
	}
	got := principalOf(t, h, at(s.acme, header, key))
	want := &middleware.Principal{Tenant: s.acme.ID, ID: id, Scopes: []string{"read", "write"}, ExpiresAt: got.ExpiresAt}
	if diff := cmp.Diff(want, got); diff != "" || time.Until(got.ExpiresAt) > day || time.Until(got.ExpiresAt) < day-time.Hour {
		t.Errorf("principal: -want +got\n%s", diff)
	}
}

// forge returns a key with that tenant and ID that has the right form.
func forge(tenant tenancy.ID, id string) string {
	made := credential.NewKey("test", tenant).Text
	body := "test_" + string(tenant) + "_" + id + "_" + made[len(made)-49:len(made)-6]
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum, tail := crc32.ChecksumIEEE([]byte(body)), ""
	for range 6 {
		tail = string(digits[sum%62]) + tail
		sum /= 62
	}
	return body + tail
}

// The log says what the answer does not.
func TestAPIKeysLog(t *testing.T) {
	t.Parallel()
	s := newService(t)
	key, id := s.issue(t, s.acme, catalog.APIKeySpec{TTL: time.Microsecond})
	foreign, _ := s.issue(t, s.globex, catalog.APIKeySpec{})
	far, farID := s.issue(t, s.acme, catalog.APIKeySpec{Allow: []netip.Prefix{netip.MustParsePrefix("::1/128")}})
	for sent, want := range map[string]string{
		"":                      "not authenticated: no credentials",
		foreign:                 "not authenticated: credentials of another tenant",
		forge(s.acme.ID, farID): "not authenticated: key " + farID + " is unknown, was revoked, or is not that key",
		far:                     "forbidden: key " + farID + " from the address 192.0.2.1",
		far + "x":               "not authenticated: a malformed API key",
	} {
		var b bytes.Buffer
		h := through(tenancy.Must(middleware.Tenant(s, bySubdomain, quiet)), tenancy.Must(middleware.Authenticate(newKeys(t, nil), logTo(&b))))
		h(&spy{}).ServeHTTP(httptest.NewRecorder(), at(s.acme, "X-API-Key", sent))
		if got, want := readRecord(t, &b).Error, "middleware.Authenticate: tenant id-acme: "+want; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	// One that has expired is removed by the next change, and said to be until then.
	acme := s.acme.Clone()
	acme.Access.Keys = []tenancy.APIKey{{ID: id, Hash: tenancy.DigestOf(key), ExpiresAt: time.Now()}}
	if _, err := newKeys(t, nil).Authenticate(at(acme, "X-API-Key", key), acme); err == nil || !strings.Contains(err.Error(), "key "+id+" has expired") {
		t.Errorf("got %v, want that it has expired", err)
	}
}

func TestAPIKeysExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		key, _ := s.issue(t, s.acme, catalog.APIKeySpec{TTL: time.Hour})
		old, oldID := s.issue(t, s.acme, catalog.APIKeySpec{})
		if _, _, err := s.keys.Rotate(t.Context(), s.acme.ID, oldID, time.Hour); err != nil {
			t.Fatal(err)
		}
		h := through(tenancy.Must(middleware.Tenant(s, bySubdomain, quiet)), tenancy.Must(middleware.Authenticate(newKeys(t, nil), quiet)))(&spy{})
		check := func(want answer) {
			t.Helper()
			for _, text := range []string{key, old} {
				if got := ask(t, h, at(s.acme, "X-API-Key", text)); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
		}
		check(passed)
		time.Sleep(time.Hour - time.Second)
		check(passed)
		time.Sleep(time.Second)
		check(unauthenticated)
	})
}

func TestAPIKeysAddress(t *testing.T) {
	t.Parallel()
	s := newService(t)
	key, _ := s.issue(t, s.acme, catalog.APIKeySpec{Allow: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32")}})
	proxies, err := resolver.NewProxies([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, peer string
		forwarded  []string
		want       answer
	}{
		{"direct", "198.51.100.7:9", nil, passed},
		{"IPv6", "[2001:db8::1]:9", nil, passed},
		{"IPv6 with a zone", "[2001:db8::1%eth0]:9", nil, passed},
		{"IPv4 in IPv6", "[::ffff:198.51.100.7]:9", nil, passed},
		{"through the proxy", "192.0.2.1:9", []string{"198.51.100.7"}, passed},
		{"another address", "203.0.113.1:9", nil, forbidden},
		{"IPv4 in other IPv6", "[2002:c633:6407::]:9", nil, forbidden},
		{"the proxy itself", "192.0.2.1:9", nil, forbidden},
		{"claimed by a stranger", "203.0.113.1:9", []string{"198.51.100.7"}, forbidden},
		{"claimed by a client", "192.0.2.1:9", []string{"198.51.100.7, 203.0.113.1"}, forbidden},
		{"claimed in a line before", "192.0.2.1:9", []string{"198.51.100.7", "203.0.113.1"}, forbidden},
		{"malformed", "192.0.2.1:9", []string{"x"}, forbidden},
		{"Unix socket", "@", []string{"198.51.100.7"}, forbidden},
		{"none", "", nil, forbidden},
	} {
		h := through(tenancy.Must(middleware.Tenant(s, bySubdomain, quiet)),
			tenancy.Must(middleware.Authenticate(newKeys(t, &middleware.KeyAuthenticatorOptions{Proxies: proxies}), quiet)))(&spy{})
		r := at(s.acme, "X-API-Key", key)
		r.RemoteAddr = tt.peer
		r.Header["X-Forwarded-For"] = tt.forwarded
		if got := ask(t, h, r); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestAPIKeysTellOfUses(t *testing.T) {
	t.Parallel()
	s := newService(t)
	key, id := s.issue(t, s.acme, catalog.APIKeySpec{})
	far, _ := s.issue(t, s.acme, catalog.APIKeySpec{Allow: []netip.Prefix{netip.MustParsePrefix("::1/128")}})
	var got []string
	used := func(tenant tenancy.ID, key string, at time.Time) {
		if since := time.Since(at); since < 0 || since > time.Minute {
			t.Errorf("got used at %v, want now", at)
		}
		got = append(got, string(tenant)+" "+key)
	}
	h := through(tenancy.Must(middleware.Tenant(s, bySubdomain, quiet)), tenancy.Must(middleware.Authenticate(newKeys(t, &middleware.KeyAuthenticatorOptions{Used: used}), quiet)))(&spy{})
	for _, text := range []string{key, "", far, forge(s.acme.ID, id), key} {
		ask(t, h, at(s.acme, "X-API-Key", text))
	}
	if want := []string{"id-acme " + id, "id-acme " + id}; cmp.Diff(want, got) != "" {
		t.Errorf("got %q, want %q", got, want)
	}
}

// strategies are all by which a request of a browser or program may name a tenant.
func strategies(t *testing.T) map[string]struct {
	by resolver.Resolver
	to func(tenant *tenancy.Tenant) *http.Request
} {
	t.Helper()
	type strategy = struct {
		by resolver.Resolver
		to func(tenant *tenancy.Tenant) *http.Request
	}
	cookie := tenancy.Must(resolver.NewCookie("tenant", tenancy.NewSecret(rand.Text()+rand.Text()), nil))
	anybody := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	claims := func(r *http.Request) (map[string]any, error) {
		return map[string]any{"tid": r.Header.Get("X-Claim")}, nil
	}
	return map[string]strategy{
		"subdomain": {bySubdomain, func(t *tenancy.Tenant) *http.Request { return at(t) }},
		"path":      {byPath, func(t *tenancy.Tenant) *http.Request { return get("/t/" + t.Slug + "/") }},
		"host": {byHost, func(t *tenancy.Tenant) *http.Request {
			r := get("/")
			r.Host = t.Domains[0]
			return r
		}},
		"header": {tenancy.Must(resolver.NewHeader("X-Tenant", anybody, nil)), func(t *tenancy.Tenant) *http.Request {
			r := get("/")
			r.Header.Set("X-Tenant", t.Slug)
			return r
		}},
		"query": {tenancy.Must(resolver.NewQuery("tenant", nil)), func(t *tenancy.Tenant) *http.Request { return get("/?tenant=" + t.Slug) }},
		"cookie": {cookie, func(t *tenancy.Tenant) *http.Request {
			r := get("/")
			r.AddCookie(cookie.New(t.ID))
			return r
		}},
		"origin": {tenancy.Must(resolver.NewOrigin(bySubdomain)), func(t *tenancy.Tenant) *http.Request {
			r := get("/")
			r.Header.Set("Origin", "https://"+t.Slug+".example.com")
			return r
		}},
		"claim": {tenancy.Must(resolver.NewClaim("tid", claims, nil)), func(t *tenancy.Tenant) *http.Request {
			r := get("/")
			r.Header.Set("X-Claim", string(t.ID))
			return r
		}},
	}
}

// A key of one tenant opens nothing of another, however the request names it.
func TestKeyAtAnotherTenant(t *testing.T) {
	t.Parallel()
	s := newService(t)
	keys := map[*tenancy.Tenant]string{}
	keys[s.acme], _ = s.issue(t, s.acme, catalog.APIKeySpec{})
	keys[s.globex], _ = s.issue(t, s.globex, catalog.APIKeySpec{})
	byKey := tenancy.Must(resolver.NewAPIKey("test"))
	guard := tenancy.Must(middleware.Authenticate(newKeys(t, nil), quiet))
	for name, strategy := range strategies(t) {
		for _, to := range []*tenancy.Tenant{s.acme, s.globex} {
			for of, key := range keys {
				r := strategy.to(to)
				r.Header.Set("Authorization", "Bearer "+key)
				want, agreed := unauthenticated, invalid
				if of == to {
					want, agreed = passed, passed
				}
				for how, tt := range map[string]struct {
					by   resolver.Resolver
					want answer
				}{
					"alone": {strategy.by, want},
					"agree": {tenancy.Must(resolver.Agree(s, strategy.by, byKey)), agreed},
					"first": {resolver.First(strategy.by, byKey), want},
				} {
					next := &spy{}
					if got := ask(t, through(tenancy.Must(middleware.Tenant(s, tt.by, quiet)), guard)(next), r); got != tt.want {
						t.Errorf("%s, %s: %s's key at %s: got %+v, want %+v", name, how, of.Slug, to.Slug, got, tt.want)
					}
					if len(next.got) > 0 && tt.want != passed {
						t.Errorf("%s, %s: got the handler called", name, how)
					}
				}
			}
		}
	}
	// The key alone names its tenant.
	for of, key := range keys {
		var seen *tenancy.Tenant
		h := through(tenancy.Must(middleware.Tenant(s, byKey, quiet)), guard)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			seen, _ = tenancy.FromContext(r.Context())
		}))
		r := get("/")
		r.Header.Set("X-API-Key", key)
		h.ServeHTTP(httptest.NewRecorder(), r)
		if seen == nil || seen.ID != of.ID {
			t.Errorf("got %v, want %s", seen, of.ID)
		}
	}
}

// Nothing of a key gets into an answer, a log or an error.
func TestKeysAreNotShown(t *testing.T) {
	t.Parallel()
	s := newService(t)
	key, id := s.issue(t, s.acme, catalog.APIKeySpec{Scopes: []string{"read"}})
	foreign, _ := s.issue(t, s.globex, catalog.APIKeySpec{})
	far, _ := s.issue(t, s.acme, catalog.APIKeySpec{Allow: []netip.Prefix{netip.MustParsePrefix("::1/128")}})
	forged := forge(s.acme.ID, id)
	gone := credential.NewKey("test", "nobody").Text
	resolvers := map[string]resolver.Resolver{
		"subdomain": bySubdomain, "key": tenancy.Must(resolver.NewAPIKey("test")),
		"agree": tenancy.Must(resolver.Agree(s, bySubdomain, tenancy.Must(resolver.NewAPIKey("test")))),
	}
	for how, by := range resolvers {
		for _, find := range []tenancy.Finder{s, failing(tenancy.ErrUnavailable), newFinder()} {
			for _, sent := range []string{key, foreign, far, forged, gone, key[:len(key)-1], key + "x", key + ", " + foreign} {
				for _, header := range [][]string{
					{"X-API-Key", sent}, {"Authorization", "Bearer " + sent}, {"X-API-Key", sent, "X-API-Key", sent}, {"Authorization", "Bearer x", "X-API-Key", sent},
				} {
					var log bytes.Buffer
					opts := logTo(&log)
					var refused error
					opts.Refuse = func(w http.ResponseWriter, r *http.Request, err error) {
						refused = err
						middleware.Problem(w, r, err)
					}
					h := through(tenancy.Must(middleware.Tenant(find, by, opts)), tenancy.Must(middleware.Authenticate(newKeys(t, nil), opts)), tenancy.Must(middleware.RequireScope("admin", opts)))
					w := httptest.NewRecorder()
					h(&spy{}).ServeHTTP(w, at(s.acme, header...))
					secret := sent[len(sent)-30:]
					if refused == nil || log.Len() == 0 {
						t.Errorf("%s, %.20v: got %v and %d bytes of log, want a refusal", how, header, refused, log.Len())
					}
					for _, text := range []string{fmt.Sprint(w.Header(), w.Body), log.String(), fmt.Sprintf("%v %+v %#v", refused, refused, refused)} {
						if strings.Contains(text, secret) || strings.Contains(text, key[len(key)-40:len(key)-10]) {
							t.Errorf("%s, %.20v: got %q, want nothing of the key", how, header, text)
						}
					}
				}
			}
		}
	}
}

// Made-up keys reach the catalog no more often than made-up names do, and not at all
// where they name a tenant that there is.
func TestFloodOfKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		var finds atomic.Int64
		origin := findFunc(func(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
			finds.Add(1)
			return s.Find(ctx, ref)
		})
		cache, err := cache.New(origin, &cache.Options{UnknownRate: 10, UnknownBurst: 50, Logger: quiet.Logger})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cache.Close() }()
		h := through(tenancy.Must(middleware.Tenant(cache, tenancy.Must(resolver.NewAPIKey("test")), quiet)), tenancy.Must(middleware.Authenticate(newKeys(t, nil), quiet)))(&spy{})
		flood := func(ids ...tenancy.ID) (asked int64, took time.Duration) {
			finds.Store(0)
			start := time.Now()
			var wg sync.WaitGroup
			for _, id := range ids {
				wg.Go(func() {
					r := get("/")
					r.Header.Set("X-API-Key", credential.NewKey("test", id).Text)
					if got := ask(t, h, r); got == passed {
						t.Errorf("got %+v for a key that was made up", got)
					}
				})
			}
			wg.Wait()
			return finds.Load(), time.Since(start)
		}
		flood(s.acme.ID)
		if asked, _ := flood(slices.Repeat([]tenancy.ID{s.acme.ID}, 2000)...); asked != 0 {
			t.Errorf("a tenant that is known: got %d questions to the catalog, want none", asked)
		}
		ids := make([]tenancy.ID, 2000)
		for i := range ids {
			ids[i] = tenancy.NewID()
		}
		if asked, took := flood(ids...); asked > 50+int64(10*took/time.Second)+1 {
			t.Errorf("2,000 tenants that are not: got %d questions to the catalog in %v, want 50 and 10 a second", asked, took)
		}
	})
}

// by returns an authenticator that always answers so.
func by(p *middleware.Principal, err error) middleware.Authenticator {
	return middleware.AuthenticatorFunc(func(*http.Request, *tenancy.Tenant) (*middleware.Principal, error) { return p, err })
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	acme := newTenant("acme", tenancy.StatusActive)
	find := newFinder(acme)
	ann := &middleware.Principal{Tenant: acme.ID, Subject: "ann"}
	for _, tt := range []struct {
		name      string
		by        middleware.Authenticator
		want      answer
		challenge string
	}{
		{"known", by(ann, nil), passed, ""},
		{"nobody", by(nil, nil), unauthenticated, "Bearer"},
		{"another tenant's", by(&middleware.Principal{Tenant: "id-globex", Subject: "ann"}, nil), unauthenticated, `Bearer error="invalid_token"`},
		{"nobody's", by(&middleware.Principal{Subject: "ann"}, nil), unauthenticated, `Bearer error="invalid_token"`},
		{"known and refused", by(ann, tenancy.ErrUnauthenticated), unauthenticated, `Bearer error="invalid_token"`},
		{"refused", by(nil, fmt.Errorf("x: %w", tenancy.ErrForbidden)), forbidden, ""},
		{"malformed", by(nil, tenancy.ErrInvalid), invalid, ""},
		{"down", by(nil, errors.Join(tenancy.ErrUnauthenticated, tenancy.ErrUnavailable)), down, ""},
		{"odd", by(nil, errOdd), internal, ""},
		{"first of none", middleware.FirstOf(), unauthenticated, "Bearer"},
		{"first of two", middleware.FirstOf(by(nil, nil), by(ann, nil), by(nil, errOdd)), passed, ""},
		{"first of two, refused", middleware.FirstOf(by(nil, tenancy.ErrUnauthenticated), by(ann, nil)), unauthenticated, `Bearer error="invalid_token"`},
	} {
		next := &spy{}
		w := httptest.NewRecorder()
		through(tenancy.Must(middleware.Tenant(find, bySubdomain, quiet)), tenancy.Must(middleware.Authenticate(tt.by, quiet)))(next).ServeHTTP(w, at(acme))
		if got := answerOf(t, w); got != tt.want || w.Header().Get("WWW-Authenticate") != tt.challenge {
			t.Errorf("%s: got %+v %q, want %+v %q", tt.name, got, w.Header().Get("WWW-Authenticate"), tt.want, tt.challenge)
		}
		if (len(next.got) == 1) != (tt.want == passed) {
			t.Errorf("%s: got %d calls of the handler", tt.name, len(next.got))
		}
		if tt.want == passed {
			if p, ok := middleware.PrincipalOf(next.got[0].Context()); !ok || p != ann {
				t.Errorf("%s: got %v, %v, want %v", tt.name, p, ok, ann)
			}
		}
	}
}

// The application's own challenge stays.
func TestChallengeOfTheHost(t *testing.T) {
	t.Parallel()
	acme := newTenant("acme", tenancy.StatusActive)
	for name, guard := range map[string]func(http.Handler) http.Handler{
		"Authenticate": tenancy.Must(middleware.Authenticate(by(nil, tenancy.ErrUnauthenticated), quiet)),
		"RequireScope": through(tenancy.Must(middleware.Authenticate(by(&middleware.Principal{Tenant: acme.ID}, nil), quiet)), tenancy.Must(middleware.RequireScope("x", quiet))),
	} {
		w := httptest.NewRecorder()
		w.Header().Set("WWW-Authenticate", "DPoP")
		through(tenancy.Must(middleware.Tenant(newFinder(acme), bySubdomain, quiet)), guard)(&spy{}).ServeHTTP(w, at(acme))
		if got := w.Header().Values("WWW-Authenticate"); w.Code == http.StatusOK || len(got) != 1 || got[0] != "DPoP" {
			t.Errorf("%s: got %d with %q, want a refusal with the host's", name, w.Code, got)
		}
	}
}

// What stands behind the tenant asks nobody where there is none.
func TestAuthenticateWithoutTenant(t *testing.T) {
	t.Parallel()
	find := newFinder(newTenant("acme", tenancy.StatusActive))
	never := middleware.AuthenticatorFunc(func(*http.Request, *tenancy.Tenant) (*middleware.Principal, error) {
		t.Error("got a question about no tenant")
		return nil, nil
	})
	may := func(context.Context, *middleware.Principal, *tenancy.Tenant) error {
		t.Error("got a question about no tenant")
		return nil
	}
	for name, guard := range map[string]func(http.Handler) http.Handler{
		"Authenticate": tenancy.Must(middleware.Authenticate(never, quiet)), "RequireScope": tenancy.Must(middleware.RequireScope("x", quiet)), "Authorize": tenancy.Must(middleware.Authorize(may, quiet)),
	} {
		r := get("/")
		if got := ask(t, through(tenancy.Must(middleware.Optional(find, bySubdomain, quiet)), guard)(&spy{}), r); got != unresolved {
			t.Errorf("%s, central: got %+v, want %+v", name, got, unresolved)
		}
		if got := ask(t, guard(&spy{}), r); got != internal {
			t.Errorf("%s, no resolution: got %+v, want %+v", name, got, internal)
		}
	}
	for name, guard := range map[string]func(http.Handler) http.Handler{
		"RequireScope": tenancy.Must(middleware.RequireScope("x", quiet)), "Authorize": tenancy.Must(middleware.Authorize(may, quiet)),
	} {
		if got := ask(t, through(tenancy.Must(middleware.Tenant(find, bySubdomain, quiet)), guard)(&spy{}), at(newTenant("acme", ""))); got != internal {
			t.Errorf("%s without Authenticate: got %+v, want %+v", name, got, internal)
		}
	}
}

// A principal stays with its tenant.
func TestPrincipalOf(t *testing.T) {
	t.Parallel()
	acme, globex := newTenant("acme", tenancy.StatusActive), newTenant("globex", tenancy.StatusActive)
	next := &spy{}
	through(tenancy.Must(middleware.Tenant(newFinder(acme), bySubdomain, quiet)), tenancy.Must(middleware.Authenticate(by(&middleware.Principal{Tenant: acme.ID}, nil), quiet)))(next).
		ServeHTTP(httptest.NewRecorder(), at(acme))
	ctx := next.got[0].Context()
	if p, ok := middleware.PrincipalOf(ctx); !ok || p.Tenant != acme.ID {
		t.Errorf("got %v, %v, want one of acme", p, ok)
	}
	if p, ok := middleware.PrincipalOf(tenancy.NewContext(ctx, globex)); ok || p != nil {
		t.Errorf("got %v, %v in globex's context, want none", p, ok)
	}
	if p, ok := middleware.PrincipalOf(t.Context()); ok || p != nil {
		t.Errorf("got %v, %v, want none", p, ok)
	}
}

func TestRequireScope(t *testing.T) {
	t.Parallel()
	acme := newTenant("acme", tenancy.StatusActive)
	for _, tt := range []struct {
		has  []string
		want answer
	}{
		{[]string{"notes:write"}, passed},
		{[]string{"notes:read", "notes:write"}, passed},
		{nil, forbidden},
		{[]string{"notes:read"}, forbidden},
		{[]string{"notes", "notes:", "notes:writes", "NOTES:WRITE", "*", ""}, forbidden},
		{[]string{"notes:read notes:write"}, forbidden},
	} {
		w := httptest.NewRecorder()
		through(tenancy.Must(middleware.Tenant(newFinder(acme), bySubdomain, quiet)),
			tenancy.Must(middleware.Authenticate(by(&middleware.Principal{Tenant: acme.ID, Scopes: tt.has}, nil), quiet)),
			tenancy.Must(middleware.RequireScope("notes:write", quiet)))(&spy{}).ServeHTTP(w, at(acme))
		challenge := ""
		if tt.want == forbidden {
			challenge = `Bearer error="insufficient_scope", scope="notes:write"`
		}
		if got := answerOf(t, w); got != tt.want || w.Header().Get("WWW-Authenticate") != challenge {
			t.Errorf("%q: got %+v %q, want %+v %q", tt.has, got, w.Header(), tt.want, challenge)
		}
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	acme := newTenant("acme", tenancy.StatusActive)
	ann := &middleware.Principal{Tenant: acme.ID, Subject: "ann"}
	for _, tt := range []struct {
		err  error
		want answer
	}{
		{nil, passed},
		{tenancy.ErrForbidden, forbidden},
		{tenancy.ErrNotFound, unknown},
		{tenancy.ErrUnavailable, down},
		{errOdd, internal},
	} {
		may := func(ctx context.Context, p *middleware.Principal, tenant *tenancy.Tenant) error {
			in, _ := tenancy.FromContext(ctx)
			if p != ann || tenant != acme || in != acme {
				t.Errorf("got %v, %v in the context of %v, want ann at acme", p, tenant, in)
			}
			return tt.err
		}
		h := through(tenancy.Must(middleware.Tenant(newFinder(acme), bySubdomain, quiet)), tenancy.Must(middleware.Authenticate(by(ann, nil), quiet)), tenancy.Must(middleware.Authorize(may, quiet)))
		next := &spy{}
		if got := ask(t, h(next), at(acme)); got != tt.want || (len(next.got) == 1) != (tt.want == passed) {
			t.Errorf("%v: got %+v and %d calls, want %+v", tt.err, got, len(next.got), tt.want)
		}
	}
}

func TestAuthenticationRefusesMistakes(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func() (func(http.Handler) http.Handler, error){
		"no authenticator": func() (func(http.Handler) http.Handler, error) { return middleware.Authenticate(nil, nil) },
		"no function":      func() (func(http.Handler) http.Handler, error) { return middleware.Authorize(nil, nil) },
		"no scope":         func() (func(http.Handler) http.Handler, error) { return middleware.RequireScope("", nil) },
		"two scopes":       func() (func(http.Handler) http.Handler, error) { return middleware.RequireScope("a b", nil) },
		"a quote":          func() (func(http.Handler) http.Handler, error) { return middleware.RequireScope(`a"b`, nil) },
		"a backslash":      func() (func(http.Handler) http.Handler, error) { return middleware.RequireScope(`a\b`, nil) },
		"a line":           func() (func(http.Handler) http.Handler, error) { return middleware.RequireScope("a\nb", nil) },
		"no ASCII":         func() (func(http.Handler) http.Handler, error) { return middleware.RequireScope("é", nil) },
	} {
		if m, err := make(); m != nil || !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid and no middleware", name, err)
		}
	}
	if _, err := middleware.NewKeyAuthenticator("No", nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a prefix that is none: got %v, want ErrInvalid", err)
	}
}

// Revoked at one instance, a key is refused by another, which is told: by itself it would
// ask again after an hour.
func TestRevocationReachesReplicas(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	store := tenancytest.NewStore()
	instance := func() (*catalog.Catalog, *cache.Cache) {
		cat, err := catalog.NewWithStore(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		cache, err := cache.NewRedis(cat, client, ns, &cache.Options{TTL: time.Hour, MaxAgeUnsynced: time.Hour, RedisTimeout: 5 * time.Second, Logger: quiet.Logger})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = cache.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-ended; _ = cache.Close() })
		return cat, cache
	}
	here, _ := instance()
	_, there := instance()
	acme, err := here.Create(t.Context(), newTenant("acme", tenancy.StatusActive))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := catalog.NewKeyIssuer(here, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	h := through(tenancy.Must(middleware.Tenant(there, bySubdomain, quiet)), tenancy.Must(middleware.Authenticate(newKeys(t, nil), quiet)))(&spy{})
	await := func(key string, want answer) time.Duration {
		t.Helper()
		since := time.Now()
		for ask(t, h, at(acme, "X-API-Key", key)) != want {
			if time.Since(since) > 3*time.Minute {
				t.Fatalf("in vain waited for %+v", want)
			}
			time.Sleep(time.Millisecond)
		}
		return time.Since(since)
	}
	var worst time.Duration
	for range 20 {
		secret, info, err := keys.Issue(t.Context(), acme.ID, catalog.APIKeySpec{})
		if err != nil {
			t.Fatal(err)
		}
		await(secret.Reveal(), passed)
		if err := keys.Revoke(t.Context(), acme.ID, info.ID); err != nil {
			t.Fatal(err)
		}
		worst = max(worst, await(secret.Reveal(), unauthenticated))
	}
	t.Logf("seen after %v at the most", worst)
}

// A refusal that asks for credentials says which, whoever it comes from (RFC 9110,
// section 15.5.2).
func TestAuthorizeChallenges(t *testing.T) {
	t.Parallel()
	stranger := middleware.AuthenticatorFunc(func(_ *http.Request, t *tenancy.Tenant) (*middleware.Principal, error) {
		return &middleware.Principal{Tenant: t.ID}, nil
	})
	for err, want := range map[error]string{tenancy.ErrUnauthenticated: "Bearer", tenancy.ErrForbidden: ""} {
		h := as(newTenant("acme", tenancy.StatusActive), tenancy.Must(middleware.Authenticate(stranger, quiet))(tenancy.Must(middleware.Authorize(
			func(context.Context, *middleware.Principal, *tenancy.Tenant) error { return err }, quiet))(&spy{})))
		if w := serveTo(h, get("/")); w.Header().Get("WWW-Authenticate") != want {
			t.Errorf("%v: got %d, WWW-Authenticate %q, want %q", err, w.Code, w.Header().Get("WWW-Authenticate"), want)
		}
	}
}
