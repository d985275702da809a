package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Operators who ask the same share an answer. One who changes something gets another one afterwards.
func TestOwnChangeIsInTheNextAnswer(t *testing.T) {
	t.Parallel()
	store, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) {
		o.Reports, err = analytics.NewReports(store, &analytics.ReportsOptions{Share: time.Hour, Catalog: tenancytest.NewCatalog(t)})
		if err != nil {
			t.Fatal(err)
		}
	})
	viewer, operator := c.as(t, auth.RoleViewer, tenancy.AllTenants()), c.as(t, auth.RoleOperator, tenancy.AllTenants())
	tenants := 0
	write := func() {
		t.Helper()
		tenants++
		if _, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{tenancytest.NewTenant(fmt.Sprintf("new-%d", tenants))}}); err != nil {
			t.Fatal(err)
		}
	}
	total := func(cl *client, want int) {
		t.Helper()
		if a := cl.do(t, "GET", "analytics/overview", ""); a.code != 200 || !strings.Contains(a.body, fmt.Sprintf(`"total_tenants":{"value":%d,`, want)) {
			t.Errorf("got %d %.300s, want %d tenants", a.code, a.body, want)
		}
	}
	change := func(cl *client, code int) {
		t.Helper()
		if a := cl.do(t, "POST", "tenants/t-aaa/suspend", ""); a.code != code {
			t.Errorf("got %d %s, want %d", a.code, a.body, code)
		}
	}
	write()
	total(viewer, 1)
	write()
	total(viewer, 1)
	total(operator, 1)
	change(viewer, 403) // which changed nothing
	total(viewer, 1)
	change(operator, 200)
	total(operator, 2)
	write()
	total(viewer, 2)
}
