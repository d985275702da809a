package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestUsageByMonth(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t, tenancytest.NewServer(t, name), nil)
			c.keep(t)
			c.used(t, c.a.ID, 100, 50)
			c.used(t, c.b.ID, 1000, 0)
			var logins []analytics.Activity
			for i, id := range []tenancy.ID{c.a.ID, c.b.ID} {
				logins = append(logins, analytics.Activity{Key: string(id), Tenant: id, Type: "login", CreatedAt: time.Now(), Times: int64(i + 1), Address: "192.0.2.1", Login: &analytics.Login{Subject: "jo"}})
			}
			if _, err := c.store.Write(t.Context(), &analytics.Batch{Instance: analytics.Instance{ID: 1, Recorded: analytics.Columns()}, Activities: logins}); err != nil {
				t.Fatal(err)
			}
			cl := c.as(t, auth.RoleOperator, tenancy.ByTags("eu"))
			month := time.Now().UTC().Format("2006-01")
			for query, want := range map[string]int{
				"usage": 200, "usage?filter=aaa&limit=1": 200, "usage?from=2026-01&to=2025-01": 400, "usage?from=" + month: 200, "usage?from=2020-01": 400, "usage?to=x": 400, "usage?cursor=x": 400, "usage?window=1h": 422,
				"usage/months/export": 200, "usage/months/export?format=jsonl&from=" + month: 200, "usage/months/export?format=x": 400, "usage/months/export?from=2030-01": 400,
				"spread": 200, "spread?names=requests,latency_p95&window=24h": 200, "spread?names=x": 400, "spread?window=90d": 400, "spread?limit=1": 422, "patterns": 200, "patterns/t-aaa?sort=latency_p95&limit=5": 200, "patterns/t-bbb": 404, "patterns?sort=x": 400, "patterns?limit=0": 400, "storage": 200, "storage/t-aaa": 200, "storage/t-bbb": 404, "storage?window=90d": 200, "storage?window=1m": 400,
				"logins/subjects": 200, "logins/subjects?sort=-failures&limit=1&window=24h": 200, "logins/subjects?sort=x": 400, "logins/subjects?tenant=t-bbb": 404, "logins/subjects?tenant=t-aaa&subject=jo": 200, "logins/subjects?cursor=x": 400,
			} {
				if a := cl.do(t, "GET", "analytics/"+query, ""); a.code != want || strings.Contains(a.body, `"t-bbb"`) {
					t.Errorf("%s: got %d %s, want %d", query, a.code, a.body, want)
				}
			}
			if a := cl.do(t, "GET", "analytics/usage", ""); !strings.Contains(a.body, `"`+month+`":{`) || !strings.Contains(a.body, `"requests":{"value":100,`) {
				t.Errorf("got %s, want 100 requests in %s", a.body, month)
			}
			if a := cl.do(t, "GET", "analytics/usage/months/export", ""); !strings.Contains(a.body, month+",100,") || strings.Contains(a.body, "t-bbb") {
				t.Errorf("got %s, want a row of t-aaa", a.body)
			}
			if a := cl.do(t, "GET", "analytics/logins/subjects", ""); !strings.Contains(a.body, `"failures":1,`) || !strings.Contains(a.body, `"addresses":["192.0.2.1"]`) {
				t.Errorf("got %s, want jo", a.body)
			}
		})
	}
}

// A tenant that was made a moment ago has reports, without figures.
func TestUsageOfFreshTenant(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleViewer, tenancy.ByTags("eu"))
	for query, want := range map[string]string{
		"tenant/t-aaa": `"usage":{}`, "tenant/t-aaa/series": `"series":{}`, "patterns/t-aaa": `"patterns":[]`, "storage/t-aaa": `"days":[]`, "forecast/t-aaa": `"refused":`,
		"change/t-aaa?names=requests": `"now":null`, "compare?tenants=t-aaa,t-bbb&names=requests": `#unknown"`, "tenant/t-bbb": `#unknown"`,
	} {
		status := 200
		if want == `#unknown"` {
			status = 404
		}
		if a := cl.do(t, "GET", "analytics/"+query, ""); a.code != status || !strings.Contains(a.body, want) {
			t.Errorf("%s: got %d %s, want %d and %s", query, a.code, a.body, status, want)
		}
	}
}
