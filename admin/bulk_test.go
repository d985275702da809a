package admin_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

type planned struct {
	Plan, Confirm     string
	Eligible, Skipped int
}

func TestBulk(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := newConsole(t, s, nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.runner.Run(ctx) }()
		defer func() {
			stop()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		}()
		cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
		var p planned
		if a := cl.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"filter":"tag:eu"}`); a.code != 200 {
			t.Fatalf("plan: got %d %s", a.code, a.body)
		} else if a.into(t, &p); p.Eligible != 1 || p.Confirm != "suspend 1" {
			t.Fatalf("plan: got %+v, want one tenant", p)
		}
		late := c.tenant(t, "late", "eu") // begins to match after the plan
		start := `{"plan":"` + p.Plan + `","confirm":"` + p.Confirm + `"}`
		for body, want := range map[string]string{
			`{"plan":"` + p.Plan + `","confirm":"suspend 2"}`: "validation",
			`{"plan":"` + p.Plan + `"}`:                       "validation",
			`{"plan":"none","confirm":"suspend 1"}`:           "unknown",
			`{"filter":"tag:eu"}`:                             "validation",
			`{"dry_run":true}`:                                "validation",
			`{"dry_run":true,"filter":"  "}`:                  "validation",
			`{"dry_run":true,"filter":"staus:x"}`:             "validation",
			`{"dry_run":true,"filter":"tag:eu","ids":["x"]}`:  "validation",
			`{"dry_run":true,"filter":"tag:none"}`:            "validation",
		} {
			if a := cl.do(t, "POST", "actions/bulk-suspend", body); a.problem() != want {
				t.Errorf("%s: got %d %s, want %s", body, a.code, a.body, want)
			}
		}
		for body, want := range map[string]string{
			`{"dry_run":true,"filter":"tag:none"}`: `"pointer":"/filter","code":"nobody","text":"No tenant matches the filter."`,
		} {
			if a := cl.do(t, "POST", "actions/bulk-suspend", body); !strings.Contains(string(a.body), want) {
				t.Errorf("%s: got %s, want %s", body, a.body, want)
			}
		}
		if a := cl.do(t, "POST", "actions/bulk-block", start); a.problem() != "unknown" {
			t.Errorf("a plan of another action: got %d %s, want unknown", a.code, a.body)
		}
		if a := c.as(t, auth.RoleOperator, tenancy.AllTenants()).do(t, "POST", "actions/bulk-suspend", start); a.problem() != "unknown" {
			t.Errorf("somebody else's plan: got %d %s, want unknown", a.code, a.body)
		}
		a := cl.do(t, "POST", "actions/bulk-suspend", start)
		if a.code != 202 || a.header.Get("Location") != "../runs/"+p.Plan {
			t.Fatalf("start: got %d %s, want 202", a.code, a.body)
		}
		for _, err := range c.runner.Follow(t.Context(), p.Plan) { // to its end
			if err != nil {
				t.Fatal(err)
			}
		}
		var run struct{ State string }
		if cl.do(t, "GET", "runs/"+p.Plan, "").into(t, &run); run.State != "done" {
			t.Errorf("got the run %q, want done", run.State)
		}
		for id, want := range map[tenancy.ID]tenancy.Status{c.a.ID: tenancy.StatusSuspended, c.b.ID: tenancy.StatusActive, late.ID: tenancy.StatusActive} {
			if found, err := c.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(id)}); err != nil || found.Status != want {
				t.Errorf("%s: got %+v, %v, want %s", id, found, err, want)
			}
		}
		if a := cl.do(t, "GET", "runs/"+p.Plan+"/tenants", ""); !strings.Contains(a.body, `"slug":"aaa","state":"done"`) {
			t.Errorf("got %s, want the tenant done", a.body)
		}
		if a := cl.do(t, "GET", "audit?action=run.start", ""); !strings.Contains(a.body, p.Plan) {
			t.Errorf("got %s, want the entry of the start", a.body)
		}
		// For operators of the other tenant there is no such run.
		if a := c.as(t, auth.RoleOperator, tenancy.ByIDs(c.b.ID)).do(t, "GET", "runs/"+p.Plan, ""); a.code != 404 {
			t.Errorf("out of scope: got %d %s, want 404", a.code, a.body)
		}
	})
}

// Plans and settings of many tenants are changed at once. Limits are not, which have a permission of their own, and settings that may be secrets are not shown.
func TestBulkUpdate(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
	for params, want := range map[string]string{
		`{"limit.seats":"1"}`:              "validation",
		`{"plan":"pro","limit.seats":"1"}`: "validation",
		`{"name":"pro"}`:                   "validation",
		`{}`:                               "validation",
		`{"plan":"pro"}`:                   "",
		`{"setting.smtp":"word"}`:          "",
	} {
		a := cl.do(t, "POST", "actions/bulk-update", `{"dry_run":true,"filter":"tag:eu","params":`+params+`}`)
		if got := a.problem(); got != want {
			t.Errorf("%s: got %d %s, want %q", params, a.code, a.body, want)
		}
		if want != "" {
			continue
		}
		var p planned
		if a.into(t, &p); p.Confirm != "update 1" {
			t.Errorf("%s: got %+v, want one tenant", params, p)
		}
		if a := cl.do(t, "GET", "runs/"+p.Plan, ""); a.code != 200 || strings.Contains(a.body, "word") {
			t.Errorf("%s: got %d %s, want no value of a setting", params, a.code, a.body)
		}
	}
	if a := c.as(t, auth.RoleSupport, tenancy.AllTenants()).do(t, "POST", "actions/bulk-update", `{"dry_run":true,"filter":"tag:eu","params":{"plan":"pro"}}`); a.code != 403 {
		t.Errorf("as support: got %d %s, want 403", a.code, a.body)
	}
}

// A filter with figures, as lists of tenants take it, selects for a plan where the runner can tell; elsewhere the answer says why it does not.
func TestBulkByFigures(t *testing.T) {
	t.Parallel()
	var opts *admin.Options
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) {
		opts, o.Auth.Roles = o, map[string]auth.Permissions{"blind": auth.NewPermissions(auth.TenantsRead, auth.TenantsStatus, auth.BulkStart)}
	})
	cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
	for filter, want := range map[string]string{
		"tag:eu requests:<=5": `"pointer":"/filter","code":"filter","text":"Actions cannot select tenants by figures`,
		"tag:eu staus:x":      `"pointer":"/filter","code":"filter","text":"\"staus:x\" at character 8: there is no such field`,
	} {
		if a := cl.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"filter":"`+filter+`"}`); a.problem() != "validation" || !strings.Contains(string(a.body), want) {
			t.Errorf("%s: got %d %s, want %s", filter, a.code, a.body, want)
		}
	}
	var err error
	if opts.Runs, err = runs.New(c.db, c.cat, &runs.Options{Tasks: maintenance.Tasks(c.cat), Selector: opts.Reports.Within(tenancy.AllTenants()), Fields: analytics.Fields()}); err != nil {
		t.Fatal(err)
	}
	if c.Admin, err = admin.New(c.db, c.cat, opts); err != nil {
		t.Fatal(err)
	}
	cl = c.as(t, auth.RoleOperator, tenancy.AllTenants())
	if _, err := c.store.Write(t.Context(), &analytics.Batch{Instance: analytics.Instance{ID: 1, Recorded: analytics.Columns()}, Tenants: []*tenancy.Tenant{c.a, c.b}}); err != nil {
		t.Fatal(err)
	}
	for filter, want := range map[string]int{"requests:<=5": 2, "tag:eu requests:<=5": 1} {
		var p planned
		if a := cl.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"filter":"`+filter+`"}`); a.code != 200 {
			t.Errorf("%s: got %d %s", filter, a.code, a.body)
		} else if a.into(t, &p); p.Eligible != want {
			t.Errorf("%s: got %d tenants, want %d", filter, p.Eligible, want)
		}
	}
	blind := c.as(t, "blind", tenancy.AllTenants())
	if a := blind.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"filter":"requests:<=5"}`); a.problem() != "validation" || strings.Contains(a.body, "eligible") {
		t.Errorf("who may not see figures: got %d %s, want validation", a.code, a.body)
	}
	if a := blind.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"filter":"tag:eu"}`); a.code != 200 {
		t.Errorf("who may not see figures: got %d %s, want a plan by tags", a.code, a.body)
	}
	if a := cl.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"filter":"requests:>=5"}`); !strings.Contains(a.body, `"code":"nobody"`) {
		t.Errorf("got %d %s, want nobody", a.code, a.body)
	}
}

// A plan that was made is not started by somebody whose role was taken away, nor without fresh credentials when it is large.
func TestBulkNeedsRightsAtTheStart(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { o.BulkThreshold = 1 })
	o, err := c.Auth().CreateOperator(t.Context(), auth.OperatorSpec{Email: "op@example.com", Role: auth.RoleOperator, Scope: tenancy.AllTenants(), Password: password})
	if err != nil {
		t.Fatal(err)
	}
	cl := c.client()
	cl.do(t, "POST", "auth/sign-in", `{"email":"op@example.com","password":"`+password+`"}`)
	var p planned
	cl.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"filter":"status:active"}`).into(t, &p)
	if p.Eligible != 2 {
		t.Fatalf("got %+v, want two tenants", p)
	}
	start := `{"plan":"` + p.Plan + `","confirm":"` + p.Confirm + `"}`
	if _, err := c.db.Exec(`UPDATE tenancy_auth_sessions SET data = REPLACE(data, '"authenticated":"2', '"authenticated":"1')`); err != nil {
		t.Fatal(err)
	}
	if a := cl.do(t, "POST", "actions/bulk-suspend", start); a.problem() != "step-up" {
		t.Errorf("got %d %s, want a step-up", a.code, a.body)
	}
	role, narrow := auth.RoleViewer, tenancy.ByIDs(c.a.ID)
	scoped, err := c.Auth().UpdateOperator(t.Context(), o.ID, o.Version, "", auth.OperatorChange{Scope: &narrow})
	if err != nil {
		t.Fatal(err)
	}
	cl.do(t, "POST", "auth/step-up", `{"password":"`+password+`"}`)
	if a := cl.do(t, "POST", "actions/bulk-suspend", start); a.problem() != "validation" { // they see one of the two
		t.Errorf("with a narrower scope: got %d %s, want another count", a.code, a.body)
	}
	if a := cl.do(t, "POST", "actions/bulk-suspend", `{"plan":"`+p.Plan+`","confirm":"suspend 1"}`); a.code != 403 {
		t.Errorf("with a narrower scope: got %d %s, want 403", a.code, a.body)
	}
	if _, err := c.Auth().UpdateOperator(t.Context(), o.ID, scoped.Version, "", auth.OperatorChange{Role: &role}); err != nil {
		t.Fatal(err)
	}
	if a := cl.do(t, "POST", "actions/bulk-suspend", start); a.code != 403 {
		t.Errorf("as a viewer: got %d %s, want 403", a.code, a.body)
	}
}

// Keys of many tenants are revoked with fresh credentials, as those of one: few tenants in a run are no way around.
func TestRevokingKeysWantsFreshCredentials(t *testing.T) {
	t.Parallel()
	var opts *admin.Options
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { opts = o })
	var err error
	if opts.Runs, err = runs.New(c.db, c.cat, &runs.Options{Tasks: map[string]tenancy.Task{"revoke-keys": opts.Keys.RevokeTask()}}); err != nil {
		t.Fatal(err)
	}
	if c.Admin, err = admin.New(c.db, c.cat, opts); err != nil {
		t.Fatal(err)
	}
	cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
	if a := cl.do(t, "POST", "tenants/t-aaa/keys", `{"name":"k"}`); a.code != 201 {
		t.Fatalf("got %d %s", a.code, a.body)
	}
	if _, err := c.db.Exec(`UPDATE tenancy_auth_sessions SET data = REPLACE(data, '"authenticated":"2', '"authenticated":"1')`); err != nil {
		t.Fatal(err)
	}
	var p struct {
		planned
		StepUp bool `json:"step_up"`
	}
	a := cl.do(t, "POST", "actions/bulk-revoke-keys", `{"dry_run":true,"ids":["t-aaa"],"params":{"all":"yes"}}`)
	if a.into(t, &p); p.Eligible != 1 || !p.StepUp {
		t.Fatalf("got %s, want a plan for one that asks for a step-up", a.body)
	}
	start := `{"plan":"` + p.Plan + `","confirm":"` + p.Confirm + `"}`
	if a := cl.do(t, "POST", "actions/bulk-revoke-keys", start); a.problem() != "step-up" {
		t.Errorf("got %d %s, want a step-up", a.code, a.body)
	}
	cl.do(t, "POST", "auth/step-up", `{"password":"`+password+`"}`)
	if a := cl.do(t, "POST", "actions/bulk-revoke-keys", start); a.code != 202 {
		t.Errorf("got %d %s, want it started", a.code, a.body)
	}
	if a := cl.do(t, "POST", "runs/"+p.Plan+"/pause", ""); a.code != 200 {
		t.Fatalf("pause: got %d %s", a.code, a.body)
	}
	if _, err := c.db.Exec(`UPDATE tenancy_auth_sessions SET data = REPLACE(data, '"authenticated":"2', '"authenticated":"1')`); err != nil {
		t.Fatal(err)
	}
	if a := cl.do(t, "POST", "runs/"+p.Plan+"/resume", ""); a.problem() != "step-up" {
		t.Errorf("resume: got %d %s, want a step-up", a.code, a.body)
	}
	if a := cl.do(t, "POST", "runs/"+p.Plan+"/cancel", ""); a.code != 200 {
		t.Errorf("cancel, which does no more: got %d %s", a.code, a.body)
	}
}

// Maintenance of many tenants names the addresses and paths that are served all the same.
func TestBulkMaintenance(t *testing.T) {
	t.Parallel()
	var gate *maintenance.Gate
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { gate = o.Gate })
	runner, err := runs.New(c.db, c.cat, &runs.Options{Tasks: runs.Tasks{"maintenance-on": gate.BeginTask()}, Poll: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin, err = admin.New(c.db, c.cat, &admin.Options{Runs: runner, Limiter: everything{}, Auth: auth.Options{OptionalSecondFactor: true}}); err != nil {
		t.Fatal(err)
	}
	cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
	var p planned
	if a := cl.do(t, "POST", "actions/bulk-maintenance", `{"dry_run":true,"ids":["t-aaa"],"params":{"allow":"here"}}`); a.problem() != "validation" {
		t.Errorf("no address: got %d %s, want validation", a.code, a.body)
	}
	a := cl.do(t, "POST", "actions/bulk-maintenance", `{"dry_run":true,"ids":["t-aaa"],"params":{"message":"Later.","allow":"192.0.2.7","paths":"/status"}}`)
	if a.into(t, &p); p.Eligible != 1 {
		t.Fatalf("plan: got %d %s, want one tenant", a.code, a.body)
	}
	if a := cl.do(t, "POST", "actions/bulk-maintenance", `{"plan":"`+p.Plan+`","confirm":"`+p.Confirm+`"}`); a.code != 202 {
		t.Fatalf("start: got %d %s, want 202", a.code, a.body)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	for _, err := range runner.Follow(t.Context(), p.Plan) { // to its end
		if err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	found, err := c.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(c.a.ID)})
	if err != nil {
		t.Fatal(err)
	}
	m := found.Access.Maintenance
	if m == nil || m.Message != "Later." || fmt.Sprint(m.Allow) != "[192.0.2.7/32]" || !slices.Equal(m.Paths, []string{"/status"}) {
		t.Errorf("got %+v, want what was asked for", m)
	}
}

// Somebody with a scope of tags does nothing to a tenant that has left it, and does not see it, in runs of before as everywhere.
func TestRunsOfTenantsThatLeftTheScope(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	c.tenant(t, "ccc", "eu")
	cl := c.as(t, auth.RoleOperator, tenancy.ByTags("eu"))
	plan := func() (id, start string) {
		t.Helper()
		var p planned
		a := cl.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"ids":["t-aaa","t-ccc"]}`)
		if a.into(t, &p); p.Eligible != 2 {
			t.Fatalf("plan: got %d %s, want two tenants", a.code, a.body)
		}
		return p.Plan, `{"plan":"` + p.Plan + `","confirm":"` + p.Confirm + `"}`
	}
	paused, start := plan()
	if a := cl.do(t, "POST", "actions/bulk-suspend", start); a.code != 202 {
		t.Fatalf("start: got %d %s", a.code, a.body)
	}
	if a := cl.do(t, "POST", "runs/"+paused+"/pause", ""); a.code != 200 {
		t.Fatalf("pause: got %d %s", a.code, a.body)
	}
	late, start := plan()
	if _, err := c.cat.Edit(t.Context(), "t-ccc", func(t *tenancy.Tenant) error { t.Tags = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{paused, late} {
		for path, want := range map[string]string{"runs/" + id + "/tenants": "t-aaa", "runs/" + id: `"total":1`, "runs": `"total":1`} {
			if a := cl.do(t, "GET", path, ""); a.code != 200 || !strings.Contains(a.body, want) || strings.Contains(a.body, "ccc") || strings.Contains(a.body, `"total":2`) {
				t.Errorf("%s: got %d %s, want one tenant", path, a.code, a.body)
			}
		}
	}
	if a := cl.do(t, "POST", "runs/"+paused+"/resume", ""); a.code != 403 {
		t.Errorf("resume: got %d %s, want 403", a.code, a.body)
	}
	if a := cl.do(t, "POST", "actions/bulk-suspend", start); a.problem() != "validation" { // they see one of the two
		t.Errorf("start: got %d %s, want another count", a.code, a.body)
	}
	if a := cl.do(t, "POST", "actions/bulk-suspend", strings.ReplaceAll(start, "suspend 2", "suspend 1")); a.code != 403 {
		t.Errorf("start: got %d %s, want 403", a.code, a.body)
	}
}

// Who triggers a schedule may do what its task does, with fresh credentials where the task asks for them.
func TestTriggeringAScheduleWantsWhatItsTaskWants(t *testing.T) {
	t.Parallel()
	var opts *admin.Options
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { opts = o })
	var err error
	opts.Auth.Roles = map[string]auth.Permissions{"timetables": auth.NewPermissions(auth.RunsRead, auth.SchedulesWrite)}
	opts.Runs, err = runs.New(c.db, c.cat, &runs.Options{
		Tasks:     map[string]tenancy.Task{"revoke-keys": opts.Keys.RevokeTask()},
		Schedules: []runs.Schedule{{Name: "yearly", Cron: "0 3 1 1 *", Task: "revoke-keys", Spec: runs.Spec{Params: tenancy.Params{"all": "yes"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin, err = admin.New(c.db, c.cat, opts); err != nil {
		t.Fatal(err)
	}
	if a := c.as(t, "timetables", tenancy.AllTenants()).do(t, "POST", "schedules/yearly/trigger", ""); a.code != 403 || a.problem() == "step-up" {
		t.Errorf("without the permission of the task: got %d %s, want 403", a.code, a.body)
	}
	cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
	if _, err := c.db.Exec(`UPDATE tenancy_auth_sessions SET data = REPLACE(data, '"authenticated":"2', '"authenticated":"1')`); err != nil {
		t.Fatal(err)
	}
	if a := cl.do(t, "POST", "schedules/yearly/trigger", ""); a.problem() != "step-up" {
		t.Errorf("got %d %s, want a step-up", a.code, a.body)
	}
	cl.do(t, "POST", "auth/step-up", `{"password":"`+password+`"}`)
	if a := cl.do(t, "POST", "schedules/yearly/trigger", ""); a.code != 202 {
		t.Errorf("got %d %s, want it started", a.code, a.body)
	}
}
