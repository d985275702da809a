package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// keep lets a keeper work until the reports know the tenants.
func (c *console) keep(t *testing.T) {
	t.Helper()
	keeper, err1 := analytics.NewKeeper(c.store, c.cat, nil)
	reports, err2 := analytics.NewReports(c.store, &analytics.ReportsOptions{Share: -1})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- keeper.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v", err)
		}
	}()
	until(t, "the keeper has listed all tenants", func() bool { // until then totals say that they are partial
		o, err := reports.Overview(t.Context(), tenancy.AllTenants())
		return err == nil && !o.TotalTenants.Partial
	})
}

func TestSeries(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleViewer, tenancy.ByIDs(c.a.ID))
	c.keep(t)
	for query, want := range map[string]int{
		"":                                      200,
		"?names=requests,latency_p95&window=7d": 200,
		"?names=requests&points=10":             200,
		"?names=nothing":                        400,
		"?points=0":                             400,
		"?points=x":                             400,
		"?points=601":                           400,
		"?window=2m":                            400,
		"?names=" + strings.Repeat("requests,", 9): 400,
		"?unknown=1": 422,
	} {
		if a := cl.do(t, "GET", "analytics/tenant/"+string(c.a.ID)+"/series"+query, ""); a.code != want {
			t.Errorf("%s: got %d %s, want %d", query, a.code, a.body, want)
		}
	}
	// A tenant outside of the scope is like one that does not exist, in reports and in streams.
	for _, path := range []string{"analytics/tenant/%/series", "live?topics=tenant:%"} {
		other := cl.do(t, "GET", strings.Replace(path, "%", string(c.b.ID), 1), "")
		none := cl.do(t, "GET", strings.Replace(path, "%", "none", 1), "")
		if other.code != 404 || other.problem() != none.problem() || none.code != 404 {
			t.Errorf("%s: got %d %s and %d %s, want the same 404", path, other.code, other.body, none.code, none.body)
		}
	}
}

// A plan has the waves that were asked for, and a reason may be in any script.
func TestBulkWaves(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	var p planned
	cl.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"filter":"status:active","canary":1,"then":"1","parallel":2,"budget":"50%"}`).into(t, &p)
	var run struct {
		Waves []struct{ Number, Total int }
	}
	cl.do(t, "GET", "runs/"+p.Plan, "").into(t, &run)
	if p.Eligible < 2 || len(run.Waves) != p.Eligible || run.Waves[0].Total != 1 {
		t.Errorf("got %+v of %d tenants, want a wave for each", run.Waves, p.Eligible)
	}
	for _, body := range []string{`{"dry_run":true,"filter":"status:active","canary":-1}`, `{"dry_run":true,"filter":"status:active","then":"x"}`,
		`{"plan":"` + p.Plan + `","confirm":"` + p.Confirm + `","canary":1}`} {
		if a := cl.do(t, "POST", "actions/bulk-suspend", body); a.problem() != "validation" {
			t.Errorf("%s: got %d %s, want validation", body, a.code, a.body)
		}
	}
	cl.do(t, "POST", "tenants/"+string(c.a.ID)+"/suspend", "", "X-Reason", "nicht bezahlt seit M%C3%A4rz, 100%")
	cl.do(t, "POST", "tenants/"+string(c.b.ID)+"/suspend", "", "X-Reason", "nicht bezahlt seit M%C3%A4rz")
	if a := cl.do(t, "GET", "audit?action=tenant.status", ""); !strings.Contains(a.body, `"nicht bezahlt seit März"`) {
		t.Errorf("got %s, want the reason as it was written", a.body)
	}
}
