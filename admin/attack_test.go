package admin_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// What a handler refuses is in the audit, as what is refused before it.
func TestDenialsOfHandlersAreEntries(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleSecurity, tenancy.ByIDs(c.a.ID))
	var me struct{ ID string }
	cl.do(t, "GET", "me", "").into(t, &me)
	if a := cl.do(t, "PATCH", "operators/"+me.ID, `{"role":"owner","scope":{"all":true}}`, "If-Match", `"v1"`); a.code != 403 {
		t.Fatalf("self-promotion: got %d %s, want 403", a.code, a.body)
	}
	if a := c.as(t, auth.RoleOperator, tenancy.ByIDs(c.a.ID)).do(t, "PUT", "tenants/t-aaa/tags", `{"tags":["us"]}`, "If-Match", etag(c.a, 1)); a.code != 403 {
		t.Fatalf("tags within a scope: got %d %s, want 403", a.code, a.body)
	}
	denied := map[string]bool{}
	for e, err := range c.trail.Entries(t.Context(), audit.Filter{Results: []tenancy.AuditResult{tenancy.AuditDenied}}) {
		if err != nil {
			t.Fatal(err)
		}
		denied[e.Action] = true
	}
	if !denied["operator.update"] || !denied["tenant.tag"] {
		t.Errorf("got entries of denials %v, want operator.update and tenant.tag", denied)
	}
}

// goneAway is the application's own sign-in of somebody who may do nothing, and whose client goes away at once.
type goneAway struct{ gone context.CancelFunc }

func (g goneAway) Authenticate(*http.Request) (*auth.Principal, error) {
	g.gone()
	return &auth.Principal{ID: "mallory", Scope: tenancy.AllTenants()}, nil
}

// A client that does not wait for the answer leaves an entry of what it was denied.
func TestDenialsOfClientsThatGoAway(t *testing.T) {
	t.Parallel()
	ctx, gone := context.WithCancel(t.Context())
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { o.Auth.Authenticator = goneAway{gone} })
	c.Handler().ServeHTTP(httptest.NewRecorder(), c.client().request(t, "POST", "tenants/t-aaa/suspend", "").WithContext(ctx))
	n := 0
	for e, err := range c.trail.Entries(t.Context(), audit.Filter{Results: []tenancy.AuditResult{tenancy.AuditDenied}}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Actor.ID == "mallory" && e.Action == "tenant.status" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("got %d entries, want one", n)
	}
}

// A request whose body comes slowly is carried out with the rights that the operator has when the body is there.
func TestRightsCountOnceTheBodyIsThere(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*testing.T, *console, *auth.Operator){
		"the role": func(t *testing.T, c *console, o *auth.Operator) {
			role := auth.RoleViewer
			if _, err := c.Auth().UpdateOperator(t.Context(), o.ID, o.Version, "", auth.OperatorChange{Role: &role}); err != nil {
				t.Error(err)
			}
		},
		"the scope": func(t *testing.T, c *console, o *auth.Operator) {
			scope := tenancy.ByIDs(c.b.ID)
			if _, err := c.Auth().UpdateOperator(t.Context(), o.ID, o.Version, "", auth.OperatorChange{Scope: &scope}); err != nil {
				t.Error(err)
			}
		},
		"the session": func(t *testing.T, c *console, o *auth.Operator) {
			if _, err := c.Auth().EndSessions(t.Context(), o.ID, ""); err != nil {
				t.Error(err)
			}
		},
		"the tag": func(t *testing.T, c *console, _ *auth.Operator) {
			if _, err := c.cat.Edit(t.Context(), c.a.ID, func(t *tenancy.Tenant) error { t.Tags = nil; return nil }); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, idempotent := range []bool{false, true} {
				c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
				o, err := c.Auth().CreateOperator(t.Context(), auth.OperatorSpec{Email: "op@example.com", Role: auth.RoleOperator, Scope: tenancy.ByTags("eu"), Password: password})
				if err != nil {
					t.Fatal(err)
				}
				cl := c.client()
				cl.undocumented = true
				cl.do(t, "POST", "auth/sign-in", `{"email":"op@example.com","password":"`+password+`"}`)
				slow := readerFunc(func() { lose(t, c, o) })
				r := cl.request(t, "POST", "tenants/t-aaa/suspend", "", "Idempotency-Key", "k")
				r.Body = io.NopCloser(slow) // chunks of which there are none in the end
				if !idempotent {
					r = cl.request(t, "PUT", "tenants/t-aaa/limits", "{}", "If-Match", etag(c.a, 1))
					r.Body = io.NopCloser(io.MultiReader(slow, strings.NewReader(`{"limits":{"x":1}}`)))
				}
				r.ContentLength = -1
				if a := cl.send(t, r, ""); a.code < 400 {
					t.Errorf("%s: got %d %s, want a refusal", r.URL.Path, a.code, a.body)
				}
				got, err := c.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: "t-aaa"})
				if err != nil || got.Status != tenancy.StatusActive || len(got.Limits) > 0 {
					t.Errorf("%s: got the tenant %+v, %v, want it as it was", r.URL.Path, got, err)
				}
			}
		})
	}
}

// readerFunc is the beginning of a body: before it ends, something happens.
type readerFunc func()

func (f readerFunc) Read([]byte) (int, error) { f(); return 0, io.EOF }

// With an Idempotency-Key the work ends before another request may take the key over.
func TestIdempotentWorkIsBounded(t *testing.T) {
	t.Parallel()
	bounded := false
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) {
		create := o.Create
		o.Create = func(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
			_, bounded = ctx.Deadline()
			return create(ctx, t)
		}
	})
	if a := c.as(t, auth.RoleOwner, tenancy.AllTenants()).do(t, "POST", "tenants", `{"slug":"once"}`, "Idempotency-Key", "k"); a.code != 201 || !bounded {
		t.Errorf("got %d, a deadline %v, want 201 and one", a.code, bounded)
	}
}

// Work that is done is answered although its answer cannot be kept: nobody would be shown the secret in it again.
func TestAnswersThatCannotBeKept(t *testing.T) {
	t.Parallel()
	var c *console
	c = newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) {
		create := o.Create
		o.Create = func(ctx context.Context, in *tenancy.Tenant) (*tenancy.Tenant, error) {
			made, err := create(ctx, in)
			if _, err := c.db.Exec(`ALTER TABLE tenancy_admin_keys RENAME TO tenancy_admin_away`); err != nil {
				t.Error(err)
			}
			return made, err
		}
	})
	a := c.as(t, auth.RoleOwner, tenancy.AllTenants()).do(t, "POST", "tenants", `{"slug":"once"}`, "Idempotency-Key", "k")
	if a.code != 201 || !strings.Contains(a.body, `"once"`) {
		t.Errorf("got %d %s, want the answer", a.code, a.body)
	}
}

// Lists in a query are as long as a database can take, and no longer.
func TestLongListsInQueries(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	id := c.a.ID
	for _, path := range []string{
		"audit?action=", "audit?result=", "audit/export?format=csv&action=", "tenants/" + string(id) + "/audit?action=", "runs?state=", "analytics/activities?type=", "analytics/tenants?spark=",
		"analytics/spread?names=", "analytics/trends?names=", "analytics/change?names=", "analytics/compare?tenants=" + string(id) + "&names=",
	} {
		if a := cl.do(t, "GET", path+strings.Repeat("requests,", 70_000), ""); a.code != 400 {
			t.Errorf("%s: got %d %.200s, want 400", path, a.code, a.body)
		}
	}
	long := strings.Repeat("x", 64)
	if a := cl.do(t, "POST", "views", `{"name":"a","sort":"-`+long+`"}`); a.code != 422 {
		t.Errorf("a long sort: got %d %s, want 422", a.code, a.body)
	}
	if a := cl.do(t, "POST", "views", `{"name":"a","sort":"-`+long[1:]+`"}`); a.code != 201 {
		t.Errorf("a sort as long as the column: got %d %s, want 201", a.code, a.body)
	}
}

// Of a key that another request has taken over, the first request keeps nothing.
func TestLateAnswersAreNotKept(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		var c *console
		c = newConsole(t, s, func(o *admin.Options) {
			create := o.Create
			o.Create = func(ctx context.Context, in *tenancy.Tenant) (*tenancy.Tenant, error) {
				made, err := create(ctx, in)
				// Its time is over, and somebody else has taken the key.
				if _, err := c.db.Exec(`UPDATE tenancy_admin_keys SET running_until = running_until + 1000000`); err != nil {
					t.Error(err)
				}
				return made, err
			}
		})
		c.as(t, auth.RoleOwner, tenancy.AllTenants()).do(t, "POST", "tenants", `{"slug":"once"}`, "Idempotency-Key", "k")
		var kept int
		if err := c.db.Get(&kept, `SELECT COUNT(*) FROM tenancy_admin_keys WHERE status <> 0`); err != nil || kept != 0 {
			t.Errorf("got %d answers, %v, want none", kept, err)
		}
	})
}

// Whatever stands in a path or parameter, the answer is no error of the server.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := newConsole(t, s, nil)
		cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
		cl.undocumented = true
		anyOf := `"v1", "v2", "v3", ` + etag(c.a, 1) + ", " + etag(c.a, 2) + ", " + etag(c.a, 3)
		for _, text := range []string{"\x00", "\xff\xfe", "'\"; DROP TABLE tenancy_runs --", strings.Repeat("x", 10<<10), "é\u202e", "-9223372036854775809"} {
			q := url.QueryEscape(text)
			p := url.PathEscape(text)
			cursor := func(query string, values ...string) string { return string(tenancy.NewCursor(query, values...)) }
			for _, path := range []string{
				"operators/" + p, "runs/" + p, "runs/" + p + "/tenants", "tenants/" + p, "tenants/" + p + "/audit", "analytics/tenant/" + p,
				"runs?task=" + q, "runs?state=" + q, "audit?actor=" + q, "audit?action=" + q, "audit?tenant=" + q, "audit?result=" + q,
				"tenants?filter=" + q, "tenants?filter=" + url.QueryEscape(`plan:"`+text+`"`), "analytics/tenants?filter=" + q, "analytics/tenants?sort=" + q,
				"analytics/activities?type=" + q, "analytics/logins?subject=" + q, "analytics/logins?tenant=" + q, "analytics/trends?names=" + q,
				"live?topics=tenant:" + q, "live?topics=run:" + q, "live?topics=tenants:" + q, "live?topics=tenants:ids:" + q, "lookup?q=" + q, "facets?filter=" + q,
				"audit/" + p, "audit?text=" + q, "pools/" + p, "tokens?operator=" + q, "analytics/logins/subjects?subject=" + q, "analytics/usage?filter=" + q, "analytics/spread?names=" + q,
				"analytics/compare?tenants=" + q + ",t-aaa", "analytics/compare?tenants=t-aaa,t-bbb&names=" + q, "analytics/top?by=" + q, "analytics/neighbours?at=" + q, "analytics/forecast/t-aaa?name=" + q,
				"tokens?cursor=" + cursor("tokens?", text), "tenants/t-aaa/runs?cursor=" + cursor("tenants/t-aaa/runs", text),
				"operators?cursor=" + cursor("operators", text), "runs?cursor=" + cursor("runs?&", text), "audit?cursor=" + cursor("audit?&", text, text),
			} {
				if a := cl.do(t, "GET", path, ""); a.code >= 500 {
					t.Errorf("GET %.60q: got %d %s", path, a.code, a.body)
				}
			}
			for _, row := range [][2]string{
				{"DELETE", "sessions/" + p}, {"DELETE", "operators/" + p + "/sessions"}, {"PUT", "tenants/t-aaa/domains/" + p}, {"POST", "runs/" + p + "/pause"},
				{"DELETE", "tenants/t-aaa/domains/" + p}, {"DELETE", "tenants/t-aaa/keys/" + p}, {"DELETE", "tokens/" + p}, {"DELETE", "invitations/" + p}, {"DELETE", "views/" + p},
				{"POST", "schedules/" + p + "/pause"}, {"POST", "schedules/" + p + "/trigger"}, {"POST", "operators/" + p + "/reset"}, {"DELETE", "operators/" + p + "/sessions/" + p},
			} {
				if a := cl.do(t, row[0], row[1], "", "If-Match", anyOf, "X-Reason", p, "Idempotency-Key", text); a.code >= 500 {
					t.Errorf("%s %.60q: got %d %s", row[0], row[1], a.code, a.body)
				}
			}
			quoted := fmt.Sprintf("%q", strings.ToValidUTF8(text, "?"))
			quoted = strings.NewReplacer(`\x00`, `\u0000`).Replace(quoted)
			for _, row := range [][3]string{
				{"PATCH", "tenants/t-aaa", `{"name":` + quoted + `,"plan":` + quoted + `}`},
				{"PUT", "tenants/t-aaa/limits", `{"limits":{` + quoted + `:1}}`},
				{"POST", "actions/bulk-suspend", `{"dry_run":true,"filter":` + quoted + `}`},
				{"POST", "actions/bulk-suspend", `{"dry_run":true,"ids":[` + quoted + `]}`},
				{"POST", "actions/bulk-limits", `{"dry_run":true,"filter":"status:active","params":{"name":` + quoted + `,"value":` + quoted + `}}`},
				{"POST", "actions/bulk-suspend", `{"plan":` + quoted + `,"confirm":"x"}`},
				{"POST", "invitations", `{"email":"x@example.com","name":` + quoted + `,"role":` + quoted + `}`},
				{"POST", "auth/accept", `{"token":` + quoted + `,"password":` + quoted + `}`},
				{"POST", "auth/setup", `{"token":` + quoted + `,"email":` + quoted + `}`},
				{"POST", "auth/sign-in", `{"email":` + quoted + `,"password":` + quoted + `}`},
			} {
				who := cl
				if strings.HasPrefix(row[1], "auth/") {
					who = c.client()
					who.undocumented = true
				}
				if a := who.do(t, row[0], row[1], row[2], "If-Match", anyOf, "X-Reason", p); a.code >= 500 {
					t.Errorf("%s %s %.60q: got %d %s", row[0], row[1], row[2], a.code, a.body)
				}
			}
		}
	})
}

// A period from the beginning to the end of time is refused, not computed, and so is one of no time.
func TestPeriodsAreBounded(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	for _, path := range []string{"analytics/trends", "analytics/tenants", "analytics/tenant/t-aaa", "analytics/performance", "analytics/tenant/t-aaa/series"} {
		for _, period := range []string{"from=0001-01-02T00:00:00Z", "from=0001-01-02T00:00:00Z&to=9999-12-31T00:00:00Z", "from=1970-01-01T00:00:00Z", "from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z"} {
			if a := cl.do(t, "GET", path+"?"+period, ""); a.code != 400 {
				t.Errorf("%s?%s: got %d %.200s, want 400", path, period, a.code, a.body)
			}
		}
	}
}

// Streams that are refused, and frames that nobody looks at any more, leave nothing behind while others look.
func TestFramesDoNotPileUp(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	server := httptest.NewServer(c.Handler())
	defer server.CloseClientConnections()
	lines := cl.stream(t, server, "overview")
	if lines.code != http.StatusOK {
		t.Fatalf("got %d, want a stream", lines.code)
	}
	lines.Scan()
	for i := range 50 {
		if a := cl.do(t, "GET", fmt.Sprintf("live?topics=run:none%d", i), ""); a.code != 404 {
			t.Fatalf("got %d %s, want 404", a.code, a.body)
		}
	}
	if n := c.Frames(); n > 2 {
		t.Errorf("got %d frames, want those that somebody looks at", n)
	}
}

// What is done to a run leaves one entry, whether the runner writes it in the transaction of the change or the console does; and what fails
// is not on the record as done by a runner that writes its own.
func TestRunsLeaveOneEntry(t *testing.T) {
	t.Parallel()
	for _, audited := range []bool{false, true} {
		c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
		if audited {
			runner, err := runs.New(c.db, c.cat, &runs.Options{Tasks: maintenance.Tasks(c.cat), Audit: c.trail})
			if err != nil {
				t.Fatal(err)
			}
			if c.Admin, err = admin.New(c.db, c.cat, &admin.Options{Runs: runner, Audit: c.trail, Limiter: everything{}, Auth: auth.Options{OptionalSecondFactor: true}}); err != nil {
				t.Fatal(err)
			}
		}
		cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
		var p planned
		cl.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"filter":"tag:eu"}`).into(t, &p)
		if a := cl.do(t, "POST", "actions/bulk-suspend", `{"plan":"`+p.Plan+`","confirm":"`+p.Confirm+`"}`); a.code != 202 {
			t.Fatalf("got %d %s, want 202", a.code, a.body)
		}
		if a := cl.do(t, "POST", "runs/"+p.Plan+"/retry", ""); a.code != 409 { // it has not failed
			t.Fatalf("got %d %s, want 409", a.code, a.body)
		}
		got := map[string]int{}
		for e, err := range c.trail.Entries(t.Context(), audit.Filter{Results: []tenancy.AuditResult{tenancy.AuditDone}}) {
			if err != nil {
				t.Fatal(err)
			}
			got[e.Action]++
		}
		if got["run.start"] != 1 || audited && got["run.retry"] != 0 {
			t.Errorf("audited by the runner %v: got entries %v, want one start and no retry", audited, got)
		}
	}
}

// An unknown server is a mistake in the request. It is answered with 422 before a record is made, and not with a 503 that asks the client to repeat it.
func TestTenantsOnNoServer(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	a := cl.do(t, "POST", "tenants", `{"slug":"lost","server":"nowhere"}`)
	if a.code != 422 || !strings.Contains(a.body, `"/server"`) {
		t.Errorf("got %d %s, want 422 about the server", a.code, a.body)
	}
	if a := cl.do(t, "GET", "audit?action=tenant.create&result=done&text=lost", ""); strings.Contains(a.body, `"tenant.create"`) {
		t.Errorf("got %s, want no record made", a.body)
	}
}

// However many views others share, with everybody or with those of another scope, an operator finds their own and those of their scope.
func TestSharedViewsHideNone(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	wide, scoped := c.as(t, auth.RoleViewer, tenancy.AllTenants()), c.as(t, auth.RoleViewer, tenancy.ByTags("eu"))
	other := c.as(t, auth.RoleViewer, tenancy.ByTags("eu"))
	for cl, body := range map[*client]string{scoped: `{"name":"~ mine"}`, other: `{"name":"~ shared","shared":true}`, wide: `{"name":"! of all","shared":true}`} {
		if a := cl.do(t, "POST", "views", body); a.code != 201 {
			t.Fatalf("got %d %s", a.code, a.body)
		}
	}
	copies := func(name string, n int) {
		for i := range n {
			_, err := c.db.ExecContext(t.Context(), `INSERT INTO tenancy_admin_views (id, operator_id, name, page, filter, column_list, sort, shared, scope, version, updated_at)
				SELECT ?, operator_id, name, page, filter, column_list, sort, shared, scope, version, updated_at FROM tenancy_admin_views WHERE name = ? LIMIT 1`, fmt.Sprintf("%s-%d", strings.Trim(name, "! "), i), name)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	copies("! of all", 1100)
	for _, name := range []string{"~ mine", "~ shared"} {
		if a := scoped.do(t, "GET", "views", ""); !strings.Contains(a.body, name) || strings.Contains(a.body, "! of all") {
			t.Errorf("got %.300s…, want %q and none of all", a.body, name)
		}
	}
	if a := other.do(t, "POST", "views", `{"name":"! many","shared":true}`); a.code != 201 {
		t.Fatalf("got %d %s", a.code, a.body)
	}
	copies("! many", 1100)
	if a := scoped.do(t, "GET", "views", ""); !strings.Contains(a.body, "~ mine") {
		t.Error("one's own view is not there behind those of others")
	}
}

// The record of what was refused, and of a drain, says which tenant it was about, also to those who see that tenant alone.
func TestEntriesNameTheTenant(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	viewer, owner := c.as(t, auth.RoleViewer, tenancy.AllTenants()), c.as(t, auth.RoleOwner, tenancy.ByTags("eu"))
	for _, path := range []string{"tenants/t-aaa/purge", "tenants/t-bbb/purge", "tenants/t-none/purge"} {
		if a := viewer.do(t, "POST", path, `{"confirm":"aaa"}`); a.code != 403 {
			t.Errorf("%s: got %d %s, want 403", path, a.code, a.body)
		}
	}
	if a := owner.do(t, "POST", "tenants/t-aaa/maintenance", `{"mode":"closed"}`); a.code != 200 {
		t.Fatalf("begin: got %d %s", a.code, a.body)
	}
	if a := owner.do(t, "POST", "tenants/t-aaa/maintenance/drain", ""); a.code != 200 {
		t.Fatalf("drain: got %d %s", a.code, a.body)
	}
	for _, path := range []string{"tenants/t-aaa/audit?action=tenant.purge&result=denied", "tenants/t-aaa/audit?action=maintenance.drain", "audit?tenant=t-aaa&action=tenant.purge"} {
		var list struct {
			Entries []struct{ Tenant, Object string }
		}
		if owner.do(t, "GET", path, "").into(t, &list); len(list.Entries) != 1 || list.Entries[0].Tenant != "t-aaa" {
			t.Errorf("%s: got %+v, want one entry of the tenant", path, list.Entries)
		}
	}
	if a := c.as(t, auth.RoleOwner, tenancy.AllTenants()).do(t, "GET", "audit?tenant=t-none", ""); strings.Contains(a.body, "purge") {
		t.Errorf("got %s, want no tenant that does not exist", a.body)
	}
}
