package admin_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	server := tenancytest.NewServer(t, "sqlite")
	for _, tt := range []struct {
		hosts      []string
		host, peer string
		want       int
	}{
		{nil, "localhost:8081", "127.0.0.1:1", 401},
		{nil, "127.0.0.1", "127.0.0.1:1", 401},
		{nil, "[::1]:8081", "[::1]:1", 401},
		{nil, "evil.example", "127.0.0.1:1", 421},
		{nil, "localhost.evil.example", "127.0.0.1:1", 421},
		{nil, "localhost", "192.0.2.1:1", 421},
		{[]string{"console.example"}, "console.example:443", "192.0.2.1:1", 401},
		{[]string{"console.example"}, "CONSOLE.example.", "192.0.2.1:1", 401},
		{[]string{"console.example"}, "evil.example", "192.0.2.1:1", 421},
		{[]string{"console.example"}, "localhost", "127.0.0.1:1", 421},
	} {
		c := newConsole(t, server, func(o *admin.Options) { o.Hosts = tt.hosts })
		cl := c.client()
		r := cl.request(t, "GET", "tenants", "")
		r.Host, r.RemoteAddr = tt.host, tt.peer
		if tt.hosts != nil { // nobody vouches for it
			r.Header.Set("X-Forwarded-Host", "console.example")
		}
		if a := cl.send(t, r, ""); a.code != tt.want {
			t.Errorf("%v: %s from %s: got %d, want %d", tt.hosts, tt.host, tt.peer, a.code, tt.want)
		}
	}
}

// Without hosts the console is for this machine: a proxy on it that brings requests of others is refused.
func TestNoHostsBehindAProxy(t *testing.T) {
	t.Parallel()
	cl := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil).client()
	if a := cl.do(t, "GET", "tenants", "", "X-Forwarded-For", "203.0.113.9"); a.code != 421 {
		t.Errorf("got %d %s, want 421", a.code, a.body)
	}
}

func TestOtherSites(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	for _, tt := range []struct {
		name, value string
		want        int
	}{
		{"Origin", "https://evil.example", 403}, {"Origin", "null", 403}, {"Sec-Fetch-Site", "cross-site", 403}, {"Sec-Fetch-Site", "same-site", 403},
		{"Origin", "http://localhost", 200}, {"Sec-Fetch-Site", "same-origin", 200}, {"X-Reason", "curl has neither", 200},
	} {
		if a := cl.do(t, "POST", "tenants/t-aaa/suspend", "", tt.name, tt.value); a.code != tt.want {
			t.Errorf("%s %s: got %d %s, want %d", tt.name, tt.value, a.code, a.body, tt.want)
		}
	}
	// Nor do pages beside the console, whose requests have the cookie, start exports and streams, or use up the operator's requests.
	for _, path := range []string{"analytics/tenants/export", "audit/export", "live?topics=now", "tenants"} {
		for site, want := range map[string]int{"same-site": 403, "cross-site": 403, "same-origin": 200, "none": 200} {
			if strings.HasPrefix(path, "live") && want == 200 {
				continue // without end
			}
			if a := cl.do(t, "GET", path, "", "Sec-Fetch-Site", site); a.code != want {
				t.Errorf("%s from %s: got %d %s, want %d", path, site, a.code, a.body, want)
			}
		}
	}
	n := 0
	for e, err := range c.trail.Entries(t.Context(), audit.Filter{Actions: []string{"audit.export", "analytics.export"}}) {
		if err != nil || e.Result != tenancy.AuditDone {
			t.Errorf("got %+v, %v, want what the operator did", e, err)
		}
		n++
	}
	if n != 4 {
		t.Errorf("got %d entries of exports, want four of the operator's own", n)
	}
	if a := cl.do(t, "GET", "tenants/t-aaa", "", "X-HTTP-Method-Override", "DELETE"); a.code != 200 {
		t.Errorf("a method override: got %d, want it ignored", a.code)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
		"Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",
	} {
		for _, path := range []string{"me", "nothing", "/"} {
			cl.undocumented = true
			if got := cl.do(t, "GET", path, "").header.Get(name); got != want && !(path == "/" && name == "Cache-Control") {
				t.Errorf("%s: got %s %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestOddRequests(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	cl.undocumented = true
	for _, tt := range []struct {
		method, path, body string
		header             []string
		code               int
		problem            string
	}{
		{"GET", "nothing", "", nil, 404, "unknown"},
		{"DELETE", "tenants", "", nil, 404, "unknown"},
		{"GET", "/api/tenancy//tenants", "", nil, 404, "unknown"},
		{"GET", "/api/tenancy/x/../tenants", "", nil, 404, "unknown"},
		{"GET", "/api/tenancy/tenants%2ft-aaa", "", nil, 404, "unknown"},
		{"GET", "tenants/T-AAA", "", nil, 404, "unknown"},
		{"GET", "tenants?filtre=x", "", nil, 422, "validation"},
		{"GET", "tenants?filter=staus:active", "", nil, 422, "validation"},
		{"GET", "tenants?limit=0", "", nil, 400, "invalid"},
		{"GET", "tenants?cursor=zzz", "", nil, 400, "invalid"},
		{"PATCH", "tenants/t-aaa", `{"name":"x"}`, nil, 428, "precondition-required"},
		{"PATCH", "tenants/t-aaa", `{"name":"x"}`, []string{"If-Match", `"v77"`}, 412, "precondition"},
		{"PATCH", "tenants/t-aaa", `{"name":"x"}`, []string{"If-Match", `"v1"`}, 412, "precondition"},
		{"PATCH", "tenants/t-aaa", `{"name":"x"}`, []string{"If-Match", `*`}, 412, "precondition"},
		{"PATCH", "tenants/t-aaa", `{"name":"x"}`, []string{"If-Match", etag(c.a, 1), "Content-Type", "text/plain"}, 415, "media"},
		{"PATCH", "tenants/t-aaa", `{"status":"archived"}`, []string{"If-Match", etag(c.a, 1)}, 400, "invalid"},
		{"PATCH", "tenants/t-aaa", `{"version":9}`, []string{"If-Match", etag(c.a, 1)}, 400, "invalid"},
		{"PATCH", "tenants/t-aaa", `{"id":"t-bbb"}`, []string{"If-Match", etag(c.a, 1)}, 400, "invalid"},
		{"PATCH", "tenants/t-aaa", `{"placement":{}}`, []string{"If-Match", etag(c.a, 1)}, 400, "invalid"},
		{"PATCH", "tenants/t-aaa", `{} {}`, []string{"If-Match", etag(c.a, 1)}, 400, "invalid"},
		{"PATCH", "tenants/t-aaa", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, []string{"If-Match", etag(c.a, 1)}, 413, "too-large"},
		{"PUT", "tenants/t-aaa/slug", `{"slug":"No Slug"}`, []string{"If-Match", etag(c.a, 1)}, 422, "validation"},
		{"PUT", "tenants/t-aaa/slug", `{"slug":"bbb"}`, []string{"If-Match", etag(c.a, 1)}, 409, "exists"},
		{"GET", "me", "", []string{"Authorization", "Bearer x"}, 400, "invalid"},
		{"GET", "analytics/tenant/t-aaa?window=5m", "", nil, 400, "invalid"},
		{"GET", "analytics/tenant/t-aaa?window=h", "", nil, 400, "invalid"},
		{"GET", "analytics/trends?names=secrets", "", nil, 400, "invalid"},
		{"GET", "analytics/trends?points=-1", "", nil, 400, "invalid"},
		{"GET", "analytics/logins?tenant=none", "", nil, 404, "unknown"},
		{"GET", "live?topics=secrets", "", nil, 400, "invalid"},
	} {
		a := cl.do(t, tt.method, tt.path, tt.body, tt.header...)
		if a.code != tt.code || a.problem() != tt.problem {
			t.Errorf("%s %s %.40s: got %d %s, want %d %s", tt.method, tt.path, tt.body, a.code, a.body, tt.code, tt.problem)
		}
	}
}

func TestNotWired(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) {
		o.Reports, o.Audit, o.Create, o.Runs, o.Lifecycle, o.Keys, o.Gate, o.Pool, o.Migrations = nil, nil, nil, nil, nil, nil, nil, nil, nil
	})
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	for _, row := range c.Table() {
		if row.Part == "" || strings.Contains(row.Pattern, "{id}") {
			continue
		}
		body := ""
		if row.Method != "GET" {
			body = "{}"
		}
		if a := cl.do(t, row.Method, strings.NewReplacer("{", "", "}", "").Replace(row.Pattern), body); a.code != 404 || a.problem() != "not-configured" {
			t.Errorf("%s: got %d %s, want not configured", row.Pattern, a.code, a.body)
		}
	}
	if a := cl.do(t, "GET", "me", ""); !strings.Contains(a.body, `"parts":[]`) {
		t.Errorf("got %s, want no parts", a.body)
	}
}

// Every figure over time, of all and of one, is as the document says.
func TestTrends(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	for _, path := range []string{"analytics/trends", "analytics/trends?names=requests,errors,latency_p95&window=1h&points=10", "analytics/activities?type=x", "analytics/logins?window=1h"} {
		if a := cl.do(t, "GET", path, ""); a.code != 200 {
			t.Errorf("%s: got %d %s, want 200", path, a.code, a.body)
		}
	}
}

// Of requests with one Idempotency-Key, on all instances, one is carried out.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := newConsole(t, s, nil)
		cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
		const body = `{"slug":"once","name":"Once"}`
		first := cl.do(t, "POST", "tenants", body, "Idempotency-Key", "k1")
		again := cl.do(t, "POST", "tenants", body, "Idempotency-Key", "k1")
		if first.code != 201 || again.code != 201 || first.body != again.body || first.header.Get("ETag") != again.header.Get("ETag") || again.header.Get("Location") == "" {
			t.Errorf("got %d %s and %d %s, want the same", first.code, first.body, again.code, again.body)
		}
		if a := cl.do(t, "POST", "tenants", `{"slug":"other"}`, "Idempotency-Key", "k1"); a.code != 422 || a.problem() != "key-mismatch" {
			t.Errorf("another body: got %d %s, want 422", a.code, a.body)
		}
		if a := cl.do(t, "POST", "tenants", body); a.code != 409 || a.problem() != "exists" {
			t.Errorf("without a key: got %d %s, want that it exists", a.code, a.body)
		}
		other := c.as(t, auth.RoleOwner, tenancy.AllTenants())
		if a := other.do(t, "POST", "tenants", body, "Idempotency-Key", "k1"); a.code != 409 || a.problem() != "exists" {
			t.Errorf("another operator's key: got %d %s, want that it exists", a.code, a.body)
		}
		var made, under atomic.Int64
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				mine := &client{c: c, cookies: map[string]string{}, undocumented: true}
				for name, value := range cl.cookies {
					mine.cookies[name] = value
				}
				switch a := mine.do(t, "POST", "tenants", `{"slug":"many"}`, "Idempotency-Key", "k2"); {
				case a.code == 201:
					made.Add(1)
				case a.code == 409 && a.problem() == "conflict":
					under.Add(1)
				default:
					t.Errorf("got %d %s, want 201 or 409", a.code, a.body)
				}
			})
		}
		all.Wait()
		if made.Load() < 1 || made.Load()+under.Load() != 30 {
			t.Errorf("got %d answers and %d refusals, want at least one answer", made.Load(), under.Load())
		}
		// A key whose instance died in the middle begins again once its time is over.
		if _, err := c.db.Exec(`UPDATE tenancy_admin_keys SET status = 0, running_until = 1`); err != nil {
			t.Fatal(err)
		}
		if a := cl.do(t, "POST", "tenants", body, "Idempotency-Key", "k1"); a.code != http.StatusConflict || a.problem() != "exists" {
			t.Errorf("after a crash: got %d %s, want it carried out", a.code, a.body)
		}
	})
}

// What the operator may not grant, they cannot grant.
// The answer that is kept for a key has a secret that is shown once. The database alone does not show it.
func TestKeptAnswersAreEncrypted(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	const key = "9f1d3c0e-7a51-4c5e-8a0e-2f4c8e0b1d77"
	first := cl.do(t, "POST", "tenants/t-aaa/keys", `{"name":"ci"}`, "Idempotency-Key", key)
	again := cl.do(t, "POST", "tenants/t-aaa/keys", `{"name":"ci"}`, "Idempotency-Key", key)
	secret := between(first.body, `"text":"`)
	if first.code != 201 || again.body != first.body || secret == "" {
		t.Fatalf("got %d %s and %d %s, want one key", first.code, first.body, again.code, again.body)
	}
	var kept []byte
	if err := c.db.Get(&kept, `SELECT body FROM tenancy_admin_keys`); err != nil {
		t.Fatal(err)
	}
	if len(kept) == 0 || strings.Contains(string(kept), secret[len(secret)-8:]) {
		t.Errorf("got %q, want it encrypted", kept)
	}
	if a := c.as(t, auth.RoleOwner, tenancy.AllTenants()).do(t, "POST", "tenants/t-aaa/keys", `{"name":"ci"}`, "Idempotency-Key", key); a.body == first.body {
		t.Error("another operator with the same key got the first one's answer")
	}
}

func TestNobodyGrantsMore(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	target, err := c.Auth().CreateOperator(t.Context(), auth.OperatorSpec{Email: "vic@example.com", Role: auth.RoleViewer, Scope: tenancy.ByIDs(c.a.ID), Password: password})
	if err != nil {
		t.Fatal(err)
	}
	boss, err := c.Auth().CreateOperator(t.Context(), auth.OperatorSpec{Email: "boss@example.com", Role: auth.RoleOwner, Scope: tenancy.AllTenants(), Password: password})
	if err != nil {
		t.Fatal(err)
	}
	security := c.as(t, auth.RoleSecurity, tenancy.ByIDs(c.a.ID))
	for _, tt := range []struct {
		who, body string
		want      int
	}{
		{target.ID, `{"role":"owner"}`, 403}, {target.ID, `{"role":"operator"}`, 403}, {target.ID, `{"scope":{"all":true}}`, 403},
		{target.ID, `{"scope":{"ids":["t-aaa","t-bbb"]}}`, 403}, {target.ID, `{"scope":{"tags":["eu"]}}`, 403}, {boss.ID, `{"disabled":true}`, 404}, // their scope reaches beyond this one
		{target.ID, `{"role":"security"}`, 200},
	} {
		if a := security.do(t, "PATCH", "operators/"+tt.who, tt.body, "If-Match", `"v1"`); a.code != tt.want {
			t.Errorf("%s: got %d %s, want %d", tt.body, a.code, a.body, tt.want)
		}
	}
	// Credentials that were shown long ago do not do.
	if _, err := c.db.Exec(`UPDATE tenancy_auth_sessions SET data = REPLACE(data, '"authenticated":"2', '"authenticated":"1')`); err != nil {
		t.Fatal(err)
	}
	if a := security.do(t, "PATCH", "operators/"+target.ID, `{"name":"x"}`, "If-Match", `"v2"`); a.code != 403 || a.problem() != "step-up" {
		t.Errorf("got %d %s, want a step-up", a.code, a.body)
	}
	if a := security.do(t, "POST", "auth/step-up", `{"password":"`+password+`"}`); a.code != 200 {
		t.Fatalf("step-up: got %d %s", a.code, a.body)
	}
	if a := security.do(t, "PATCH", "operators/"+target.ID, `{"name":"x"}`, "If-Match", `"v2"`); a.code != 200 {
		t.Errorf("after the step-up: got %d %s, want 200", a.code, a.body)
	}
}

// An operator invites a viewer, who accepts and can do what viewers can.
func TestInvitation(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	var made struct{ Token string }
	if a := cl.do(t, "POST", "invitations", `{"email":"vic@example.com","role":"viewer","scope":{"tags":["eu"]}}`); a.code != 201 {
		t.Fatalf("got %d %s, want an invitation", a.code, a.body)
	} else {
		a.into(t, &made)
	}
	vic := c.client()
	if a := vic.do(t, "POST", "auth/accept", `{"token":"`+made.Token+`","password":"short"}`); a.code != 422 || !strings.Contains(a.body, `"pointer":"/password"`) {
		t.Errorf("a weak password: got %d %s, want 422", a.code, a.body)
	}
	if a := vic.do(t, "POST", "auth/accept", `{"token":"`+made.Token+`","password":"`+password+`"}`); a.code != 200 {
		t.Fatalf("got %d %s, want to be in", a.code, a.body)
	}
	if a := vic.do(t, "GET", "tenants", ""); a.code != 200 || !strings.Contains(a.body, "aaa") || strings.Contains(a.body, "bbb") {
		t.Errorf("got %d %s, want the tenants of eu", a.code, a.body)
	}
	if a := vic.do(t, "POST", "tenants/t-aaa/suspend", ""); a.code != 403 {
		t.Errorf("got %d %s, want 403", a.code, a.body)
	}
	if a := c.client().do(t, "POST", "auth/accept", `{"token":"`+made.Token+`","password":"`+password+`"}`); a.code != 401 {
		t.Errorf("the token again: got %d %s, want 401", a.code, a.body)
	}
}

// Below a prefix that the application takes off, the API is as it is elsewhere, and says where things are that can be asked for there.
func TestBelowAPrefix(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	below := http.StripPrefix("/console", c.Handler())
	send := func(method, path, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		below.ServeHTTP(w, cl.request(t, method, path, body))
		return w
	}
	var p planned
	if err := json.Unmarshal(send("POST", "/console/api/tenancy/actions/bulk-suspend", `{"dry_run":true,"ids":["t-aaa"]}`).Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string]string{
		"/console/api/tenancy/views":                     `{"name":"x"}`,
		"/console/api/tenancy/actions/bulk-suspend":      `{"plan":"` + p.Plan + `","confirm":"` + p.Confirm + `"}`,
		"/console/api/tenancy/tenants":                   `{"slug":"new"}`,
		"/console/api/tenancy/schedules/monthly/trigger": "",
	} {
		made := send("POST", path, body)
		at, err := url.Parse(path)
		if err == nil {
			at, err = at.Parse(made.Header().Get("Location"))
		}
		if err != nil || made.Code >= 300 || made.Header().Get("Location") == "" {
			t.Errorf("%s: got %d %s, %v", path, made.Code, made.Body, err)
			continue
		}
		if strings.Contains(path, "/views") {
			continue // a view is in the list alone
		}
		if w := send("GET", at.Path, ""); w.Code != 200 {
			t.Errorf("%s: it is said to be at %s: got %d %s", path, at, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/console//api/tenancy/me", "/console/api/tenancy/me/", "/console/api/tenancy/../tenancy/me", "/console/api%2ftenancy/me", "/api/tenancy/me", "/consoleapi/tenancy/me"} {
		if w := send("GET", path, ""); w.Code != 404 {
			t.Errorf("%s: got %d %s, want 404", path, w.Code, w.Body)
		}
	}
}

// A tenant is purged and made again under its ID: who has read the old one changes nothing of the new one, which has the same version.
func TestETagOfATenantMadeAgain(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := newConsole(t, s, nil)
		cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
		old := cl.do(t, "GET", "tenants/t-aaa", "").header.Get("ETag")
		for _, status := range []tenancy.Status{tenancy.StatusArchived, tenancy.StatusPurging} {
			if _, err := c.cat.SetStatus(t.Context(), c.a.ID, status); err != nil {
				t.Fatal(err)
			}
		}
		err := c.cat.Delete(t.Context(), c.a.ID)
		if err == nil {
			_, err = c.cat.Create(t.Context(), &tenancy.Tenant{ID: c.a.ID, Slug: "aaa", Status: tenancy.StatusActive})
		}
		if err != nil {
			t.Fatal(err)
		}
		if a := cl.do(t, "PATCH", "tenants/t-aaa", `{"name":"old"}`, "If-Match", old); a.problem() != "precondition" {
			t.Errorf("with the ETag of the old one: got %d %s, want 412", a.code, a.body)
		}
		for _, path := range []string{"", "/settings", "/addresses", "/homepage"} {
			a := cl.do(t, "GET", "tenants/t-aaa"+path, "")
			var shown struct {
				ETag string `json:"etag"`
			}
			if err := json.Unmarshal([]byte(a.body), &shown); err != nil || shown.ETag == old || shown.ETag != a.header.Get("ETag") {
				t.Errorf("%s: got the ETag %s in %s, %v, want a new one", path, a.header.Get("ETag"), a.body, err)
			}
		}
	})
}
