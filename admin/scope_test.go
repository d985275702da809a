package admin_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// An operator whose scope is of tags sees a tenant no more once it has lost its tag, in any report, before the keeper hears of it.
func TestReportsOfATenantThatLeftTheScope(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	left := c.tenant(t, "ccc", "eu")
	c.keep(t)
	instance := analytics.Instance{ID: 1, Interval: time.Second, Recorded: analytics.Columns()}
	now, err := c.store.Write(t.Context(), &analytics.Batch{Instance: instance})
	if err != nil {
		t.Fatal(err)
	}
	b := &analytics.Batch{Instance: instance}
	for _, tenant := range []*tenancy.Tenant{c.a, left} {
		p := analytics.Part{Tenant: tenant.ID, Start: now.Truncate(time.Minute), Source: 1, Revision: 1}
		p.Counts.Values[analytics.Requests], p.Counts.Values[analytics.Status5xx], p.Counts.Values[analytics.MemoryBytes] = 100, 50, 1000
		for range 100 {
			p.Counts.Latency.Observe(time.Second)
		}
		b.Parts = append(b.Parts, p)
		b.Activities = append(b.Activities, analytics.Activity{
			Key: string(tenant.ID), Tenant: tenant.ID, Type: "login", Address: "192.0.2.1", CreatedAt: now, Login: &analytics.Login{Subject: "jo of " + string(tenant.ID), OK: true}, Times: 1,
		})
	}
	if _, err := c.store.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	cl := c.as(t, auth.RoleOperator, tenancy.ByTags("eu"))
	paths := []string{
		"analytics/overview", "analytics/tenants", "analytics/memory", "analytics/performance", "analytics/health", "analytics/health?unhealthy=yes", "analytics/top", "analytics/usage",
		"analytics/activities", "analytics/logins", "analytics/logins/subjects", "analytics/tenants/export", "analytics/usage/export", "analytics/usage/months/export",
	}
	for _, when := range []string{"before", "after"} {
		for _, path := range paths {
			a := cl.do(t, "GET", path, "")
			if a.code != 200 || !strings.Contains(a.body, string(c.a.ID)) || strings.Contains(a.body, string(left.ID)) != (when == "before") {
				t.Errorf("%s %s: got %d %s", when, path, a.code, a.body)
			}
		}
		for _, path := range []string{"analytics/compare?tenants=" + string(c.a.ID) + "," + string(left.ID), "analytics/logins?tenant=" + string(left.ID)} {
			if a := cl.do(t, "GET", path, ""); (a.code == 200) != (when == "before") {
				t.Errorf("%s %s: got %d %s", when, path, a.code, a.body)
			}
		}
		if _, err := c.cat.Edit(t.Context(), left.ID, func(t *tenancy.Tenant) error { t.Tags = nil; return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

// Reports that do not know what tags tenants have now are no reports of a console.
func TestReportsNeedACatalog(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	reports, err := analytics.NewReports(c.store, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.New(c.db, c.cat, &admin.Options{Reports: reports}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("got %v, want %v", err, tenancy.ErrInvalid)
	}
}
