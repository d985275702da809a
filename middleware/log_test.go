package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

// record is one line of the log.
type record struct {
	Level, Msg, Error, Method, Host, Path string
	Status                                int
}

// logTo returns options whose log, in JSON from level debug, ends up in b.
func logTo(b *bytes.Buffer) *middleware.Options {
	return &middleware.Options{Logger: slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

func readRecord(t *testing.T, b *bytes.Buffer) record {
	t.Helper()
	var r record
	if n := bytes.Count(b.Bytes(), []byte("\n")); n != 1 {
		t.Errorf("got %d lines of log, want 1: %.500q", n, b)
	}
	if err := json.Unmarshal(b.Bytes(), &r); err != nil {
		t.Errorf("got the log %.500q: %v", b, err)
	}
	return r
}

func TestLog(t *testing.T) {
	t.Parallel()
	find := newFinder(newTenant("acme", tenancy.StatusActive), newTenant("closed", tenancy.StatusSuspended))
	plain := func(f tenancy.Finder) func(*middleware.Options) http.Handler {
		return func(o *middleware.Options) http.Handler {
			return tenancy.Must(middleware.Tenant(f, bySubdomain, o))(&spy{})
		}
	}
	central := func(guard func(*middleware.Options) func(http.Handler) http.Handler) func(*middleware.Options) http.Handler {
		return func(o *middleware.Options) http.Handler {
			return tenancy.Must(middleware.Optional(find, bySubdomain, quiet))(guard(o)(&spy{}))
		}
	}
	bare := func(o *middleware.Options) http.Handler { return middleware.Require(o)(&spy{}) }
	behind := func(guard func(*middleware.Options) func(http.Handler) http.Handler) func(*middleware.Options) http.Handler {
		return func(o *middleware.Options) http.Handler {
			ann := by(&middleware.Principal{Tenant: "id-acme", Subject: "ann"}, nil)
			return through(tenancy.Must(middleware.Tenant(find, bySubdomain, quiet)), tenancy.Must(middleware.Authenticate(ann, quiet)), guard(o))(&spy{})
		}
	}
	authenticate := func(err error) func(*middleware.Options) func(http.Handler) http.Handler {
		return func(o *middleware.Options) func(http.Handler) http.Handler {
			return tenancy.Must(middleware.Authenticate(by(nil, err), o))
		}
	}
	authorize := func(err error) func(*middleware.Options) func(http.Handler) http.Handler {
		return func(o *middleware.Options) func(http.Handler) http.Handler {
			return tenancy.Must(middleware.Authorize(func(context.Context, *middleware.Principal, *tenancy.Tenant) error { return err }, o))
		}
	}
	for _, tt := range []struct {
		name, host string
		handler    func(*middleware.Options) http.Handler
		level, why string
	}{
		{"unresolved", "example.com", plain(find), "DEBUG", "names no tenant"},
		{"unknown", "ghost.example.com", plain(find), "DEBUG", "slug:ghost: not found"},
		{"cancelled by nobody here", "acme.example.com", plain(failing(fmt.Errorf("query: %w", context.Canceled))), "ERROR", "query: context canceled"},
		{"not active", "closed.example.com", plain(find), "INFO", "middleware.Tenant: tenant id-closed: tenant is suspended"},
		{"malformed", "a_b.example.com", plain(find), "INFO", `slug "a_b"`},
		{"catalog down", "acme.example.com", plain(failing(fmt.Errorf("%w: dial tcp", tenancy.ErrUnavailable))), "ERROR", "dial tcp"},
		{"odd error", "acme.example.com", plain(failing(errOdd)), "ERROR", errOdd.Error()},
		{"Require, central", "example.com", central(middleware.Require), "DEBUG", "names no tenant"},
		{"CentralOnly, tenant", "acme.example.com", central(middleware.CentralOnly), "DEBUG", "middleware.CentralOnly: tenant id-acme: not found"},
		{"no resolution", "example.com", bare, "ERROR", "middleware.Require: no tenant in the context"},
		{"Authorize, not told that there is such a tenant", "acme.example.com", behind(authorize(tenancy.ErrNotFound)), "INFO", "middleware.Authorize: tenant id-acme: not found"},
		{"Authenticate, not told", "acme.example.com", behind(authenticate(tenancy.ErrNotFound)), "INFO", "middleware.Authenticate: tenant id-acme: not found"},
		{"Authorize, central", "example.com", central(authorize(nil)), "DEBUG", "names no tenant"},
		{"passed", "acme.example.com", plain(find), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			r := httptest.NewRequest(http.MethodPatch, "/notes/7?token=planted", nil)
			r.Host = tt.host
			w := httptest.NewRecorder()
			tt.handler(logTo(&b)).ServeHTTP(w, r)
			if tt.level == "" {
				if b.Len() != 0 {
					t.Errorf("got the log %q, want none", &b)
				}
				return
			}
			got := readRecord(t, &b)
			if !strings.Contains(got.Error, tt.why) {
				t.Errorf("got the error %q, want one with %q", got.Error, tt.why)
			}
			got.Error = ""
			msg := "request refused"
			if tt.level == "ERROR" {
				msg = "request failed"
			}
			if want := (record{tt.level, msg, "", "PATCH", tt.host, "/notes/7", w.Code}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if strings.Contains(b.String(), "planted") {
				t.Errorf("got the query in the log: %q", &b)
			}
		})
	}
}

// Not parallel: it replaces the default logger.
func TestDefaultLoggerIsAskedAtEachRequest(t *testing.T) {
	h := middleware.Require(nil)(&spy{})
	before, w, flags := slog.Default(), log.Writer(), log.Flags()
	defer func() {
		slog.SetDefault(before)
		log.SetOutput(w)
		log.SetFlags(flags)
	}()
	refuse := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { middleware.Refuse(w, r, errOdd, nil) })
	for _, h := range []http.Handler{h, h, refuse} {
		var b bytes.Buffer
		slog.SetDefault(logTo(&b).Logger)
		if got := ask(t, h, get("/")); got != internal {
			t.Errorf("got %+v, want %+v", got, internal)
		}
		if got := readRecord(t, &b); got.Level != "ERROR" {
			t.Errorf("got %+v, want an error in the logger that is the default now", got)
		}
	}
}

// What the log says, and what a client sent, must not show in the answer.
func TestAnswersHaveNothingOfTheError(t *testing.T) {
	t.Parallel()
	const secret = "planted"
	for _, sentinel := range []error{
		tenancy.ErrNoTenant, tenancy.ErrUnresolved, tenancy.ErrNotFound, tenancy.ErrExists, tenancy.ErrConflict, tenancy.ErrNotActive,
		tenancy.ErrInvalid, tenancy.ErrUnauthenticated, tenancy.ErrForbidden, tenancy.ErrLimited, tenancy.ErrUnavailable, tenancy.ErrClosed,
		&tenancy.StatusError{Status: secret}, context.Canceled, errOdd,
	} {
		for _, accept := range []string{"", "text/html"} {
			var b bytes.Buffer
			err := fmt.Errorf("dsn %s: %w", secret, sentinel)
			r := get("/" + secret + "?" + secret)
			r.Host = secret + ".example.com"
			r.Header.Set("Accept", accept)
			r.Header.Set("X-Secret", secret)
			w := httptest.NewRecorder()
			tenancy.Must(middleware.Tenant(failing(err), bySubdomain, logTo(&b)))(&spy{}).ServeHTTP(w, r)
			if got := fmt.Sprint(w.Header(), w.Body); strings.Contains(got, secret) || w.Body.Len() == 0 {
				t.Errorf("%v: got %q, want an answer without %q", err, got, secret)
			}
			if got := readRecord(t, &b); !strings.Contains(got.Error, "dsn "+secret) {
				t.Errorf("%v: got the log %+v, want one with the reason", err, got)
			}
		}
	}
}

func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	const most = 4096 // bytes of JSON; escapes take six for one
	long := func(s string) string { return strings.Repeat(s, 10<<10/len(s)) }
	for name, tt := range map[string]struct {
		resolve    resolver.Resolver
		host, path string
	}{
		"host":                {bySubdomain, long("a") + ".example.com", "/"},
		"many labels":         {bySubdomain, long("a.") + "example.com", "/"},
		"host for a domain":   {byHost, long("ab."), "/"},
		"control bytes":       {byHost, long("\x00\n\x1b"), "/" + long("\x00\n\x1b")},
		"broken UTF-8":        {byHost, long("\xff"), "/" + long("\xff")},
		"cut in a character":  {bySubdomain, long("株"), "/" + long("é")},
		"segment":             {byPath, "example.com", "/t/" + long("a")},
		"unknown with a tail": {byPath, long("b"), "/t/ghost/" + long("\x00\n")},
		"path without tenant": {byPath, long("b"), "/" + long("x")},
	} {
		var b bytes.Buffer
		r := get("/")
		r.Host, r.URL.Path = tt.host, tt.path
		if got := ask(t, tenancy.Must(middleware.Tenant(newFinder(), tt.resolve, logTo(&b)))(&spy{}), r); got.Code < 400 || got.Code > 499 {
			t.Errorf("%s: got %+v, want a refusal", name, got)
		}
		if b.Len() > most {
			t.Errorf("%s: got %d bytes of log, want at most %d", name, b.Len(), most)
		}
		got := readRecord(t, &b)
		begins := func(got, want string) bool {
			first := string([]rune(want)[:1])
			return first == "\ufffd" || strings.HasPrefix(got, first) // what is no text may be left out
		}
		if !begins(got.Host, tt.host) || !begins(got.Path, tt.path) {
			t.Errorf("%s: got %.20q and %.20q, want how %.20q and %.20q begin", name, got.Host, got.Path, tt.host, tt.path)
		}
		if utf8.ValidString(tt.host+tt.path) && strings.Contains(got.Host+got.Path, "\ufffd") {
			t.Errorf("%s: got %q and %q, want no character cut in two", name, got.Host, got.Path)
		}
	}
	for _, n := range []int{199, 200, 201} {
		var b bytes.Buffer
		r := get("/" + strings.Repeat("x", n-1))
		ask(t, middleware.Require(logTo(&b))(&spy{}), r)
		if got := readRecord(t, &b).Path; (got == r.URL.Path) != (n <= 200) || len(got) > 210 {
			t.Errorf("path of %d bytes: got %d in the log, want all of it up to 200", n, len(got))
		}
	}
}

// What is refused in front of the gate may be a request for a bypass, and what is
// malformed may hold a token.
func TestLogShowsNoSecretOfARequest(t *testing.T) {
	t.Parallel()
	active, closed := newTenant("acme", tenancy.StatusActive), newTenant("closed", tenancy.StatusSuspended)
	find := newFinder(active, closed)
	byQuery := tenancy.Must(resolver.NewQuery("tenant", nil))
	root := tenancy.Must(resolver.NewPath("/", nil))
	for name, tt := range map[string]struct {
		find    tenancy.Finder
		by      resolver.Resolver
		opts    middleware.StandardOptions
		target  string
		headers []string
	}{
		"suspended":           {find: find, by: bySubdomain, target: "http://closed.example.com/.maintenance/bypass/SECRET"},
		"suspended, path":     {find: find, by: byPath, target: "http://example.com/t/closed/.maintenance/bypass/SECRET"},
		"suspended, own path": {find: find, by: bySubdomain, target: "http://closed.example.com/open/SECRET", opts: middleware.StandardOptions{Options: middleware.Options{SecretPaths: []string{"/open"}}}},
		"unknown":             {find: find, by: bySubdomain, target: "http://ghost.example.com/.maintenance/bypass/SECRET"},
		"address": {find: find, by: bySubdomain, target: "http://acme.example.com/.maintenance/bypass/SECRET",
			opts: middleware.StandardOptions{AllowIPs: &middleware.AllowIPsOptions{Deny: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}}},
		"catalog down":       {find: failing(tenancy.ErrUnavailable), by: bySubdomain, target: "http://acme.example.com/.maintenance/bypass/SECRET"},
		"no credentials":     {find: find, by: bySubdomain, target: "http://acme.example.com/.maintenance/bypass/SECRET", opts: middleware.StandardOptions{Authenticate: by(nil, nil)}},
		"doubled slash":      {find: find, by: byPath, target: "http://example.com/t/acme//.maintenance/bypass/SECRET"},
		"dots":               {find: find, by: byPath, target: "http://example.com/t/acme/.maintenance/bypass/SECRET/.."},
		"encoded prefix":     {find: find, by: byPath, target: "http://example.com/%74/acme/.maintenance/bypass/SECRET"},
		"a segment":          {find: find, by: root, target: "http://example.com/.maintenance/bypass/SECRET"},
		"malformed query":    {find: find, by: byQuery, target: "http://example.com/?access_token=SECRET&%zz"},
		"semicolon":          {find: find, by: byQuery, target: "http://example.com/?access_token=SECRET;x"},
		"value of the query": {find: find, by: byQuery, target: "http://example.com/?tenant=SECRET!"},
		"several values":     {find: find, by: byQuery, target: "http://example.com/?tenant=SECRET&tenant=acme"},
		"origin":             {find: find, by: tenancy.Must(resolver.NewOrigin(bySubdomain)), target: "http://example.com/", headers: []string{"Origin", "https://user:SECRET@acme.example.com"}},
		"host":               {find: find, by: bySubdomain, target: "http://user:SECRET@acme.example.com/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			secret := tt.opts.SecretPaths
			tt.opts.Options = *logTo(&b)
			tt.opts.SecretPaths = secret
			h := tenancy.Must(middleware.Standard(tt.find, tt.by, &tt.opts))(http.NotFoundHandler())
			for i := range secret {
				secret[i] = "/changed" // the options are copied
			}
			r := get(tt.target)
			if strings.Contains(tt.target, "@") {
				r.Host = "user:SECRET@acme.example.com"
			}
			for i := 0; i < len(tt.headers); i += 2 {
				r.Header.Set(tt.headers[i], tt.headers[i+1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			got := readRecord(t, &b)
			if got.Status != w.Code || w.Code < 400 {
				t.Errorf("got status %d in the log, and %d answered", got.Status, w.Code)
			}
			if text := strings.ToUpper(b.String()); strings.Contains(text, "SECRET") {
				t.Errorf("got the log %s", b.String())
			}
		})
	}
}

// Whoever reads that a limit was reached sees whose.
func TestLogNamesTheLimitedAddress(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	acme := newTenant("acme", tenancy.StatusActive)
	acme.Limits = map[string]int64{"rate.address": 0}
	h := tenancy.Must(middleware.Standard(newFinder(acme), bySubdomain, &middleware.StandardOptions{Options: *logTo(&b)}))(&spy{})
	r := get("http://acme.example.com/")
	r.RemoteAddr = "[2001:db8::7]:9"
	h.ServeHTTP(httptest.NewRecorder(), r)
	if got := readRecord(t, &b); got.Status != 429 || !strings.Contains(got.Error, "limit reached: address (client 2001:db8::7)") {
		t.Errorf("got %+v, want the address", got)
	}
}

// The method too is a client's text, of up to the server's 1 MB of header.
func TestLongMethodInLog(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	done := make(chan struct{})
	h := tenancy.Must(middleware.Tenant(newFinder(), bySubdomain, logTo(&b)))(&spy{})
	send := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r); close(done) }))
	send(strings.Repeat("M", 900<<10) + " / HTTP/1.1\r\nHost: ghost.example.com\r\n\r\n")
	<-done
	if b.Len() > 4096 {
		t.Errorf("got %d bytes of log, want at most 4096", b.Len())
	}
}
