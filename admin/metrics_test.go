package admin_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { o.MeterProvider = sdk.NewMeterProvider(sdk.WithReader(reader)) })
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	cl.do(t, "GET", "tenants/t-aaa", "")
	cl.do(t, "GET", "tenants/t-bbb", "")
	cl.do(t, "GET", "tenants/t-none", "")
	c.client().do(t, "POST", "auth/sign-in", `{"email":"nobody@example.com","password":"`+password+`"}`)
	got := map[string]float64{}
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					route, _ := p.Attributes.Value("http.route")
					status, _ := p.Attributes.Value("http.response.status_code")
					got[fmt.Sprint(m.Name, " ", strings.TrimPrefix(route.AsString(), api), " ", status.AsInt64())] += float64(p.Count)
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					result, _ := p.Attributes.Value("tenancy.admin.result")
					got[strings.TrimSpace(m.Name+" "+result.AsString())] += float64(p.Value)
				}
			case metricdata.Gauge[int64]:
				got[m.Name] = float64(data.DataPoints[0].Value)
			case metricdata.Gauge[float64]:
				got[m.Name] = data.DataPoints[0].Value
			}
		}
	}
	want := map[string]float64{
		"tenancy.admin.request.duration tenants/{id} 200": 2, "tenancy.admin.request.duration tenants/{id} 404": 1,
		"tenancy.admin.request.duration auth/sign-in 200": 1, "tenancy.admin.request.duration auth/sign-in 401": 1,
		"tenancy.admin.sign_ins done": 1, "tenancy.admin.sign_ins denied": 1, "tenancy.admin.streams": 0, "tenancy.admin.exports": 0,
		"tenancy.admin.audit.pending": 0, "tenancy.admin.audit.pending.age": 0,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v of %q, want %v", got, slices.Sorted(maps.Keys(got)), want)
	}
}

// An audit that nobody seals needs attention.
func TestASealerThatIsBehind(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := newConsole(t, s, nil)
		cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
		if _, err := c.db.Exec(c.db.Rebind(`UPDATE tenancy_audit SET time = ? WHERE number IS NULL`), time.Now().Add(-time.Hour).UnixMicro()); err != nil {
			t.Fatal(err)
		}
		c.RunOnce(t.Context())
		if a := cl.do(t, "GET", "analytics/overview", ""); !strings.Contains(a.body, `"kind":"sealer-behind"`) {
			t.Errorf("got %s, want it to need attention", a.body)
		}
		cl.do(t, "POST", "audit/verify", "") // seals
		c.RunOnce(t.Context())
		if a := cl.do(t, "GET", "health", ""); strings.Contains(a.body, "sealed") {
			t.Errorf("got %s, want no warning", a.body)
		}
	})
}
