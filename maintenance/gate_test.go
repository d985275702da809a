package maintenance_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/resolver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

var quiet = slog.New(slog.DiscardHandler)

// rig is a gate in front of a handler that says what it got.
type rig struct {
	cat   *catalog.Catalog
	gate  *maintenance.Gate
	guard http.Handler
	acme  tenancy.ID
	trail *tenancytest.Audit
}

func newRig(t testing.TB, opts maintenance.GateOptions) *rig {
	t.Helper()
	k := &rig{acme: "acme-1", trail: &tenancytest.Audit{}}
	var err error
	if k.cat, err = catalog.NewWithStore(tenancytest.NewStore(), &catalog.Options{Audit: k.trail}); err != nil {
		t.Fatal(err)
	}
	for _, each := range []tenancy.Tenant{{ID: k.acme, Slug: "acme"}, {ID: "globex-1", Slug: "globex"}} {
		each.Status = tenancy.StatusActive
		if _, err := k.cat.Create(t.Context(), &each); err != nil {
			t.Fatal(err)
		}
	}
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	if opts.Audit == nil {
		opts.Audit = k.trail
	}
	if k.gate, err = maintenance.NewGate(k.cat, &opts); err != nil {
		t.Fatal(err)
	}
	k.guard = k.gate.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tenancy.IsReadOnly(r.Context()) {
			w.Header().Set("Read-Only", "yes")
		}
		_, _ = io.WriteString(w, "served")
	}))
	return k
}

func (k *rig) tenant(t testing.TB, id tenancy.ID) *tenancy.Tenant {
	t.Helper()
	found, err := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (k *rig) begin(t testing.TB, m tenancy.Maintenance) {
	t.Helper()
	if err := k.gate.Tenant(k.acme).Begin(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// request returns a request of a tenant, or of none.
func (k *rig) request(t testing.TB, id tenancy.ID, method, target string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	if id != "" {
		r = r.WithContext(tenancy.NewContext(r.Context(), k.tenant(t, id)))
	}
	return r
}

func (k *rig) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	k.guard.ServeHTTP(w, r)
	return w
}

func (k *rig) get(t testing.TB, id tenancy.ID, target string) *httptest.ResponseRecorder {
	t.Helper()
	return k.serve(k.request(t, id, http.MethodGet, target))
}

func wantServed(t testing.TB, what string, w *httptest.ResponseRecorder, want bool) {
	t.Helper()
	if served := w.Body.String() == "served" && w.Code == http.StatusOK; served != want || !served && w.Code != http.StatusServiceUnavailable {
		t.Errorf("%s: got %d %.80q, want served %v", what, w.Code, w.Body, want)
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	k := newRig(t, maintenance.GateOptions{})
	wantServed(t, "no maintenance", k.get(t, k.acme, "/"), true)
	wantServed(t, "no tenant", k.get(t, "", "/"), true)
	k.begin(t, tenancy.Maintenance{Message: "<b>soon</b>", Contact: "ops@example.com"})
	wantServed(t, "closed", k.get(t, k.acme, "/"), false)
	wantServed(t, "another tenant", k.get(t, "globex-1", "/"), true)
	wantServed(t, "no tenant", k.get(t, "", "/"), true)
	if err := k.gate.Tenant(k.acme).End(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantServed(t, "ended", k.get(t, k.acme, "/"), true)
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	k := newRig(t, maintenance.GateOptions{RetryAfter: 90 * time.Second})
	k.begin(t, tenancy.Maintenance{Message: "<b>soon</b>", Contact: "ops@example.com"})
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions, http.MethodConnect} {
		for accept, contentType := range map[string]string{"*/*": "application/problem+json", "text/html": "text/html; charset=utf-8"} {
			r := k.request(t, k.acme, method, "/x")
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			w.Header().Set("Etag", "x")
			w.Header().Set("Cache-Control", "public")
			k.guard.ServeHTTP(w, r)
			h := w.Header()
			if w.Code != 503 || h.Get("Retry-After") != "90" || h.Get("Cache-Control") != "no-store" || h.Get("Etag") != "" ||
				h.Get("Content-Type") != contentType || h.Get("Vary") != "Accept" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s for %s: got %d %v", method, accept, w.Code, h)
			}
			body := w.Body.String()
			switch {
			case method == http.MethodHead:
				if body != "" || h.Get("Content-Length") == "0" {
					t.Errorf("HEAD: got %q, length %s, want the length of what GET has", body, h.Get("Content-Length"))
				}
			case accept == "text/html":
				if !strings.Contains(body, "&lt;b&gt;soon") || !strings.Contains(body, "ops@example.com") || strings.Contains(body, "<b>") {
					t.Errorf("got %s, want a page with the message as text", body)
				}
			default:
				var got map[string]any
				if err := json.Unmarshal([]byte(body), &got); err != nil || got["detail"] != "<b>soon</b>" || got["contact"] != "ops@example.com" ||
					got["status"] != 503.0 || !strings.HasSuffix(got["type"].(string), "#maintenance") {
					t.Errorf("got %s, %v, want problem details", body, err)
				}
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newRig(t, maintenance.GateOptions{})
		now := time.Now()
		for _, tt := range []struct {
			windows []tenancy.Window
			want    string
		}{
			{nil, "300"},
			{[]tenancy.Window{{Start: now}}, "300"},
			{[]tenancy.Window{{Start: now, End: now.Add(90 * time.Second)}}, "90"},
			{[]tenancy.Window{{Start: now, End: now.Add(1500 * time.Millisecond)}}, "2"},
			{[]tenancy.Window{{Start: now, End: now.Add(time.Millisecond)}}, "1"},
			{[]tenancy.Window{{Start: now, End: now.Add(time.Minute)}, {Start: now.Add(30 * time.Second), End: now.Add(2 * time.Minute)}}, "120"},
			{[]tenancy.Window{{Start: now, End: now.AddDate(7000, 0, 0)}}, "2147483647"},
			{[]tenancy.Window{{Rule: "* * * * *", Length: 1<<63 - 1}}, "300"},
		} {
			k.begin(t, tenancy.Maintenance{Windows: tt.windows})
			w := k.get(t, k.acme, "/")
			wantServed(t, "closed", w, false)
			if got := w.Header().Get("Retry-After"); got != tt.want {
				t.Errorf("%+v: got Retry-After %s, want %s", tt.windows, got, tt.want)
			}
		}
	})
}

// Windows begin and end with time, and with nothing else.
func TestGuardOverTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // it is midnight, UTC
		k := newRig(t, maintenance.GateOptions{})
		k.begin(t, tenancy.Maintenance{Windows: []tenancy.Window{
			{Rule: "0 3 * * *", Length: 30 * time.Minute}, {Start: time.Now().Add(3 * time.Hour), End: time.Now().Add(4 * time.Hour)},
		}})
		r := k.request(t, k.acme, http.MethodGet, "/")
		for _, tt := range []struct {
			after  time.Duration
			served bool
		}{
			{0, true}, {3*time.Hour - 1, true}, {3 * time.Hour, false}, {4*time.Hour - 1, false}, {4 * time.Hour, true},
			{27 * time.Hour, false}, {27*time.Hour + 30*time.Minute, true}, {51 * time.Hour, false},
		} {
			time.Sleep(time.Until(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(tt.after)))
			wantServed(t, tt.after.String(), k.serve(r), tt.served)
		}
	})
}

func TestReadOnlyMode(t *testing.T) {
	t.Parallel()
	k := newRig(t, maintenance.GateOptions{})
	k.begin(t, tenancy.Maintenance{Mode: tenancy.MaintenanceReadOnly, Paths: []string{"/write"}})
	for _, tt := range []struct {
		method, upgrade string
		served          bool
	}{
		{"GET", "", true}, {"HEAD", "", true}, {"OPTIONS", "", true}, {"GET", "h2c", true},
		{"POST", "", false}, {"PUT", "", false}, {"PATCH", "", false}, {"DELETE", "", false}, {"CONNECT", "", false}, {"TRACE", "", false},
		{"get", "", false}, {"QUERY", "", false}, {"", "", false},
		{"GET", "websocket", false}, {"GET", "h2c, WebSocket", false}, {"GET", "x", false},
	} {
		r := k.request(t, k.acme, "GET", "/")
		r.Method = tt.method
		if tt.upgrade != "" {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", tt.upgrade)
		}
		w := k.serve(r)
		wantServed(t, tt.method+" "+tt.upgrade, w, tt.served)
		if tt.served && w.Header().Get("Read-Only") == "" {
			t.Errorf("%s: got a context that may write", tt.method)
		}
	}
	if w := k.serve(k.request(t, k.acme, "POST", "/write")); w.Header().Get("Read-Only") != "" || w.Code != 200 {
		t.Errorf("an allowed path: got %d, read-only %q, want it to write", w.Code, w.Header().Get("Read-Only"))
	}
	var got map[string]any
	if err := json.Unmarshal(k.serve(k.request(t, k.acme, "POST", "/")).Body.Bytes(), &got); err != nil || got["title"] != "Read-only" {
		t.Errorf("got %v, %v, want the title Read-only", got, err)
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	proxies, err := resolver.NewProxies([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]maintenance.GateOptions{"peer": {}, "proxies": {Client: proxies.Client}} {
		k := newRig(t, opts)
		k.begin(t, tenancy.Maintenance{Allow: []netip.Prefix{
			netip.MustParsePrefix("::ffff:192.0.2.9/120"), netip.MustParsePrefix("2001:db8::7/64"), netip.MustParsePrefix("192.0.2.0/24"),
		}})
		if got := k.tenant(t, k.acme).Access.Maintenance.Allow; len(got) != 2 {
			t.Errorf("got %v, want two prefixes, masked and IPv4 as such", got)
		}
		for _, tt := range []struct {
			peer      string
			forwarded []string
			peers     bool // want, without proxies
			proxied   bool // with
		}{
			{"192.0.2.1:1", nil, true, true},
			{"[::ffff:192.0.2.1]:1", nil, true, true},
			{"[2001:db8::1]:1", nil, true, true},
			{"[2001:db8::1%eth0]:1", nil, true, true},
			{"192.0.3.1:1", nil, false, false},
			{"192.0.3.1:1", []string{"192.0.2.1"}, false, false}, // spoofed
			{"10.0.0.1:1", []string{"192.0.2.1"}, false, true},
			{"10.0.0.1:1", []string{"192.0.2.1, 203.0.113.1"}, false, false}, // the client wrote the first
			{"10.0.0.1:1", []string{"192.0.2.1", "203.0.113.1"}, false, false},
			{"10.0.0.1:1", []string{"::ffff:192.0.2.1"}, false, true},
			{"10.0.0.1:1", []string{"bad"}, false, false},
			{"@", nil, false, false},
			{"", []string{"192.0.2.1"}, false, false},
		} {
			r := k.request(t, k.acme, "GET", "/")
			r.RemoteAddr = tt.peer
			for _, line := range tt.forwarded {
				r.Header.Add("X-Forwarded-For", line)
			}
			r.Header.Set("X-Real-Ip", "192.0.2.1")
			r.Header.Set("Forwarded", "for=192.0.2.1")
			want := tt.peers
			if name == "proxies" {
				want = tt.proxied
			}
			wantServed(t, name+" "+tt.peer+" "+strings.Join(tt.forwarded, "|"), k.serve(r), want)
		}
	}
}

// Health checks are answered in any maintenance, and while it is not known whether there
// is any.
func TestPathsThatAreAlwaysServed(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	db := s.Database(t)
	k := newRig(t, maintenance.GateOptions{DB: db, Paths: []string{"/health", "/ready/"}})
	check := func(when string, others bool) {
		t.Helper()
		for _, id := range []tenancy.ID{"", k.acme} {
			for _, path := range []string{"/health", "/health/db", "/ready", "/ready/"} {
				for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
					w := k.serve(k.request(t, id, method, path))
					wantServed(t, when+": "+method+" "+path, w, true)
					if w.Header().Get("Read-Only") != "" {
						t.Errorf("%s: %s is read-only", when, path)
					}
				}
			}
			for _, path := range []string{"/", "/healthy", "/x/health", "/health/../x", "/health//x", "/%68ealth/%2e%2e/x", "/health;x"} {
				wantServed(t, when+": "+path, k.serve(k.request(t, id, http.MethodPost, path)), others)
			}
		}
	}
	check("not known", false)
	if err := k.gate.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := k.gate.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("none", true)
	for _, mode := range []tenancy.MaintenanceMode{tenancy.MaintenanceClosed, tenancy.MaintenanceReadOnly} {
		if err := k.gate.Service().Begin(t.Context(), tenancy.Maintenance{Mode: mode, Paths: []string{"/other"}}); err != nil {
			t.Fatal(err)
		}
		check("service "+string(mode), false)
	}
	k.begin(t, tenancy.Maintenance{})
	check("service and tenant", false)
	if _, err := maintenance.NewGate(k.cat, &maintenance.GateOptions{Paths: []string{"/a/../b"}}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a path that is not clean: got %v, want ErrInvalid", err)
	}
}

// A path that names something else once it is cleaned or decoded is not allowed.
func TestAllowedPathsOfRequests(t *testing.T) {
	t.Parallel()
	k := newRig(t, maintenance.GateOptions{})
	k.begin(t, tenancy.Maintenance{Paths: []string{"/health", "/static/"}})
	for target, want := range map[string]bool{
		"/health": true, "/health?x=/../": true, "/health/live": true, "/static/a.css": true, "/he%61lth": false,
		"/health%2F..%2Fadmin": false, "/health/..%2Fadmin": false, "/health/../admin": false, "//health": false, "/%2Fhealth": false,
		"/health/%2e%2e/admin": false, "/health//x": false, "/admin?/health": false, "/healthz": false, "/health%00": false, "/health%5c..": false,
		"/health/%252e%252e/x": false, "/static": true, "/statics": false, "/": false,
	} {
		wantServed(t, target, k.get(t, k.acme, target), want)
	}
}

func TestBeginRefuses(t *testing.T) {
	t.Parallel()
	k := newRig(t, maintenance.GateOptions{})
	past := time.Now().Add(-time.Hour)
	for name, m := range map[string]tenancy.Maintenance{
		"a mode":             {Mode: "odd"},
		"a rule":             {Windows: []tenancy.Window{{Rule: "x", Length: time.Hour}}},
		"a zone":             {Windows: []tenancy.Window{{Rule: "0 3 * * *", Length: time.Hour, Zone: "x"}}},
		"no length":          {Windows: []tenancy.Window{{Rule: "0 3 * * *"}}},
		"no window":          {Windows: []tenancy.Window{{}}},
		"backwards":          {Windows: []tenancy.Window{{Start: time.Now(), End: past}}},
		"over":               {Windows: []tenancy.Window{{Start: past, End: past.Add(time.Minute)}}},
		"a path":             {Paths: []string{"health"}},
		"a path, not clean":  {Paths: []string{"/a/../b"}},
		"an encoded path":    {Paths: []string{"/a%2Fb"}},
		"an end after 9999":  {Windows: []tenancy.Window{{Start: past, End: past.AddDate(9000, 0, 0)}}},
		"no prefix":          {Allow: []netip.Prefix{{}}},
		"a wide IPv4 prefix": {Allow: []netip.Prefix{netip.MustParsePrefix("::ffff:1.2.3.4/90")}},
		"a message":          {Message: "\xff"},
	} {
		if err := k.gate.Tenant(k.acme).Begin(t.Context(), m); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if all := k.changes(); len(all) > 0 || k.tenant(t, k.acme).Access.Maintenance != nil {
		t.Errorf("got %+v, want nothing written", all)
	}
	for _, id := range []tenancy.ID{"", "nobody"} {
		if err := k.gate.Tenant(id).Begin(t.Context(), tenancy.Maintenance{}); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("tenant %q: got %v, want ErrNotFound", id, err)
		}
	}
	for name, err := range map[string]error{
		"Begin": k.gate.Service().Begin(t.Context(), tenancy.Maintenance{}), "End": k.gate.Service().End(t.Context()),
		"Drain": k.gate.Service().Drain(t.Context()),
	} {
		if !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s of the service without a database: got %v, want ErrInvalid", name, err)
		}
	}
}

// Nothing that is Begin's is taken from its caller, and nothing of its caller's kept.
func TestBeginOwnsItsRecord(t *testing.T) {
	t.Parallel()
	k := newRig(t, maintenance.GateOptions{})
	m := tenancy.Maintenance{
		Bypass: tenancy.DigestOf("x"), Generation: "mine", BeganAt: time.Unix(1, 0), Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")},
		Windows: []tenancy.Window{{Start: time.Now().In(time.FixedZone("x", 3600))}},
	}
	start, allow := m.Windows[0].Start, m.Allow[0]
	k.begin(t, m)
	got := k.tenant(t, k.acme).Access.Maintenance
	if got.Bypass != (tenancy.Digest{}) || got.Generation == "mine" || time.Since(got.BeganAt) > time.Minute {
		t.Errorf("got %+v, want Begin's own", got)
	}
	if m.Windows[0].Start != start || m.Allow[0] != allow {
		t.Error("got the caller's slices changed")
	}
}

func TestExtend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // it is midnight, UTC
		k := newRig(t, maintenance.GateOptions{})
		acme, now := k.gate.Tenant(k.acme), time.Now()
		at := func(h int) time.Time { return now.Add(time.Duration(h) * time.Hour) }
		for name, tt := range map[string]struct {
			windows []tenancy.Window
			until   time.Time
			want    error
		}{
			"no end yet":        {nil, at(2), nil},
			"a window":          {[]tenancy.Window{{Start: at(-1), End: at(1)}}, at(2), nil},
			"a window, no end":  {[]tenancy.Window{{Start: at(-1)}}, at(2), nil},
			"goes on, no end":   {[]tenancy.Window{{Start: at(-1), End: at(1)}, {Start: at(1)}}, at(2), nil},
			"overlaps, no end":  {[]tenancy.Window{{Start: at(-1), End: at(2)}, {Start: at(1)}}, at(2), nil},
			"a rule":            {[]tenancy.Window{{Rule: "0 0 * * *", Length: time.Hour}}, at(2), nil},
			"a longer one":      {[]tenancy.Window{{Start: at(-1), End: at(3)}, {Start: at(1)}}, at(2), tenancy.ErrInvalid},
			"longer, goes on":   {[]tenancy.Window{{Start: at(-1), End: at(3)}, {Start: at(3)}}, at(2), tenancy.ErrInvalid},
			"a rule, no end":    {[]tenancy.Window{{Rule: "0 0 * * *", Length: 24 * time.Hour}}, at(2), tenancy.ErrInvalid},
			"a rule beside it":  {[]tenancy.Window{{Start: at(-1)}, {Rule: "0 1 * * *", Length: 2 * time.Hour}}, at(2), tenancy.ErrInvalid},
			"a rule before it":  {[]tenancy.Window{{Start: at(-1)}, {Rule: "0 1 * * *", Length: time.Hour}}, at(2), nil},
			"the past, no end":  {[]tenancy.Window{{Start: at(-3)}}, at(-1), tenancy.ErrInvalid},
			"earlier":           {[]tenancy.Window{{Start: at(-1), End: at(3)}}, at(2), tenancy.ErrInvalid},
			"the same":          {[]tenancy.Window{{Start: at(-1), End: at(2)}}, at(2), tenancy.ErrInvalid},
			"the past":          {nil, at(-1), tenancy.ErrInvalid},
			"now":               {nil, at(0), tenancy.ErrInvalid},
			"not in force":      {[]tenancy.Window{{Start: at(1), End: at(2)}}, at(3), tenancy.ErrInvalid},
			"merged, and later": {[]tenancy.Window{{Start: at(-1), End: at(1)}, {Start: at(1), End: at(3)}}, at(2), tenancy.ErrInvalid},
		} {
			k.begin(t, tenancy.Maintenance{Windows: tt.windows})
			before := k.tenant(t, k.acme).Access.Maintenance
			if err := acme.Extend(t.Context(), tt.until); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", name, err, tt.want)
			}
			after := k.tenant(t, k.acme).Access.Maintenance
			if before.Generation != after.Generation {
				t.Errorf("%s: got another generation, which ends bypasses", name)
			}
			if tt.want != nil && !reflect.DeepEqual(before, after) {
				t.Errorf("%s: got %+v, want it as it was", name, after)
			}
			if w := k.get(t, k.acme, "/"); tt.want == nil && w.Header().Get("Retry-After") != "7200" {
				t.Errorf("%s: got Retry-After %s, want 2 hours", name, w.Header().Get("Retry-After"))
			}
		}
		planned := tenancy.Window{Start: at(2)}
		k.begin(t, tenancy.Maintenance{Windows: []tenancy.Window{{Start: at(-1), End: at(1)}, planned}})
		if err := acme.Extend(t.Context(), at(3)); err != nil {
			t.Error(err)
		}
		if got := k.tenant(t, k.acme).Access.Maintenance.Windows; !slices.ContainsFunc(got, func(w tenancy.Window) bool { return w.Start.Equal(planned.Start) && w.End.IsZero() }) {
			t.Errorf("another one without end behind it: got %+v, want it as it was planned", got)
		}
		k.begin(t, tenancy.Maintenance{})
		time.Sleep(3 * time.Hour)
		if err := acme.Extend(t.Context(), at(1)); !errors.Is(err, tenancy.ErrInvalid) || k.served(t, k.acme) {
			t.Errorf("a time since it began that is over: got %v, want ErrInvalid, and it in force", err)
		}
		if err := acme.End(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := acme.Extend(t.Context(), at(4)); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("no maintenance: got %v, want ErrInvalid", err)
		}
	})
}

// However often it is extended, a record has room for it.
func TestExtendAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newRig(t, maintenance.GateOptions{})
		began := time.Now()
		for name, windows := range map[string][]tenancy.Window{
			"none": nil, "one": {{Start: began, End: began.AddDate(0, 0, 1)}}, "no end": {{Start: began}},
			"a rule": {{Rule: "0 0 * * *", Length: time.Hour}}, "one to come": {{Start: began}, {Start: began.Add(time.Hour), End: began.Add(2 * time.Hour)}},
		} {
			k.begin(t, tenancy.Maintenance{Windows: windows})
			until := began.Add(36 * time.Hour)
			for i := range 100 {
				time.Sleep(time.Second)
				if err := k.gate.Tenant(k.acme).Extend(t.Context(), until.Add(time.Duration(i)*time.Second)); err != nil {
					t.Fatalf("%s, the %d. time: %v", name, i+1, err)
				}
			}
			got := k.tenant(t, k.acme).Access.Maintenance.Windows
			if last := got[len(got)-1]; len(got) > 2 || last.Start.After(time.Now().Add(-99*time.Second)) || !last.End.Equal(until.Add(99*time.Second)) {
				t.Errorf("%s: got %+v, want what was extended as one", name, got)
			}
			if k.served(t, k.acme) {
				t.Errorf("%s: got it open", name)
			}
		}
	})
}

// changes returns the entries of changes of maintenance.
func (k *rig) changes() []tenancy.Entry {
	return slices.DeleteFunc(k.trail.All(), func(e tenancy.Entry) bool {
		return e.Result != tenancy.AuditDone || !strings.Contains(e.Action, "maintenance")
	})
}

func TestMaintenanceIsAudited(t *testing.T) {
	t.Parallel()
	k := newRig(t, maintenance.GateOptions{})
	acme := k.gate.Tenant(k.acme)
	k.begin(t, tenancy.Maintenance{Message: "1"})
	if err := acme.Extend(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := acme.NewBypass(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := acme.End(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_ = acme.Extend(t.Context(), time.Now().Add(time.Hour))
	if _, err := acme.NewBypass(t.Context()); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("a bypass of nothing: got %v, want ErrNotFound", err)
	}
	all := k.changes()
	if len(all) != 4 {
		t.Fatalf("got %+v, want 4 entries", all)
	}
	for i, e := range all {
		change := e.Changes[0]
		if e.Action != "tenant.maintenance" || e.Tenant != k.acme || len(e.Changes) != 1 || (change.Before == nil) != (i == 0) || (change.After == nil) != (i == 3) {
			t.Errorf("entry %d: got %+v %s", i, e, e.Changes)
		}
		if i > 0 && string(change.Before) != string(all[i-1].Changes[0].After) {
			t.Errorf("entry %d: got before %s, want what was there", i, change.Before)
		}
	}
}

// What cannot be read is in force, and the log says so.
func TestUnreadableWindowsAreOpen(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	k := newRig(t, maintenance.GateOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	_, err := k.cat.Edit(t.Context(), k.acme, func(t *tenancy.Tenant) error {
		t.Access.Maintenance = &tenancy.Maintenance{Mode: tenancy.MaintenanceClosed, Generation: "1",
			Windows: []tenancy.Window{{Rule: "from another version", Length: time.Hour}}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := k.request(t, k.acme, "GET", "/")
	for range 3 {
		wantServed(t, "unreadable", k.serve(r), false)
	}
	if got := log.String(); strings.Count(got, "cannot read the windows") != 1 || !strings.Contains(got, "another version") || strings.Count(got, "request refused") != 3 {
		t.Errorf("got log %s, want why, once for the record, and each refusal", got)
	}
}

// What a client sends does not fill the log.
func TestRefusalsAreLoggedShort(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	k := newRig(t, maintenance.GateOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	k.begin(t, tenancy.Maintenance{})
	r := k.request(t, k.acme, "GET", "/"+strings.Repeat("ü", 10_000))
	r.Host, r.Method = strings.Repeat("h", 10_000), strings.Repeat("M", 10_000)
	wantServed(t, "closed", k.serve(r), false)
	if got := log.String(); len(got) > 2000 || !strings.Contains(got, "üü…") {
		t.Errorf("got a log of %d bytes, want it short, and no character cut: %.1000s", len(got), got)
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	var got error
	k := newRig(t, maintenance.GateOptions{Refuse: func(w http.ResponseWriter, _ *http.Request, err error) {
		got = err
		w.WriteHeader(http.StatusTeapot)
	}})
	k.begin(t, tenancy.Maintenance{Message: "soon", Contact: "us"})
	w := k.get(t, k.acme, "/")
	var e *tenancy.MaintenanceError
	if w.Code != http.StatusTeapot || !errors.As(got, &e) || e.Message != "soon" || e.Contact != "us" || e.RetryAfter() != 5*time.Minute || !errors.Is(got, tenancy.ErrUnavailable) {
		t.Errorf("got %d, %v, want the host's answer with what the record says", w.Code, got)
	}
}

// A request in flight, with its stream and its connection, is left alone.
func TestStreamGoesOn(t *testing.T) {
	t.Parallel()
	k := newRig(t, maintenance.GateOptions{})
	begun, more := make(chan struct{}), make(chan struct{})
	h := k.gate.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_, _ = io.WriteString(w, "a")
		if err := rc.Flush(); err != nil {
			t.Errorf("Flush: %v", err)
		}
		close(begun)
		<-more
		if err := r.Context().Err(); err != nil {
			t.Errorf("got %v, want the request to go on", err)
		}
		conn, _, err := rc.Hijack()
		if err != nil {
			t.Errorf("Hijack: %v", err)
			return
		}
		_ = conn.Close()
	}))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(tenancy.NewContext(r.Context(), k.tenant(t, k.acme))))
	}))
	defer s.Close()
	done := make(chan string)
	go func() {
		res, err := http.Get(s.URL)
		if err != nil {
			done <- err.Error()
			return
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		done <- string(b)
	}()
	<-begun
	k.begin(t, tenancy.Maintenance{})
	wantServed(t, "a new one", k.get(t, k.acme, "/"), false)
	if n := k.gate.Tenant(k.acme).InFlight(); n != 1 {
		t.Errorf("got %d in flight, want 1", n)
	}
	close(more)
	if got := <-done; got != "a" {
		t.Errorf("got %q, want what was written before", got)
	}
}

// Requests of many goroutines, and changes meanwhile.
func TestGuardAtOnce(t *testing.T) {
	t.Parallel()
	k := newRig(t, maintenance.GateOptions{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if w := k.get(t, k.acme, "/"); w.Code != 200 && w.Code != 503 {
					t.Errorf("got %d", w.Code)
				}
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			k.begin(t, tenancy.Maintenance{Windows: []tenancy.Window{{Rule: "* * * * *", Length: time.Minute}}})
			if err := k.gate.Tenant(k.acme).End(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if n := k.gate.Tenant(k.acme).InFlight(); n != 0 {
		t.Errorf("got %d in flight, want none", n)
	}
}
