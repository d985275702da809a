package analytics_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Each day the keeper says which limit of a tenant is reached first; the tenants' table shows it, and sorts by it.
func TestNightlyForecasts(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		store := migratedIn(t, db)
		limits := map[string]map[string]int64{
			"soon": {"storage.bytes": 1195, "requests.day": 1_000_000}, "never": {"storage.bytes": 1_000_000}, "none": nil, "requests": {"requests.day": 555, "storage.bytes": 3000}, "young": {"storage.bytes": 1100},
		}
		var tenants []*tenancy.Tenant
		for _, name := range slices.Sorted(maps.Keys(limits)) { // the one without limits is between others
			tenant := tenancytest.NewTenant(name)
			tenant.ID, tenant.Limits = tenancy.ID(name), limits[name]
			tenants = append(tenants, tenant)
		}
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: tenants, Instance: analytics.Instance{ID: 1, Interval: time.Hour, Recorded: analytics.Columns()}})
		if err != nil {
			t.Fatal(err)
		}
		today := now.Truncate(day)
		err = hold(t, store, func(up analytics.SizeStore) error {
			for ago := 40; ago > 0; ago-- {
				at := today.Add(-time.Duration(ago) * day)
				var sizes []analytics.Size
				for name := range limits {
					if name != "young" || ago < 5 {
						bytes := int64(1000 - 10*ago)
						if name == "none" {
							bytes *= 10_000 // beyond the limit of each other one
						}
						sizes = append(sizes, analytics.Size{Tenant: tenancy.ID(name), Bytes: bytes, At: at})
					}
				}
				if err := up.Sized(t.Context(), sizes); err != nil {
					return err
				}
			}
			return nil
		})
		for ago := 40; ago > 0 && err == nil; ago-- {
			partition(t, db, "tenancy_usage_1h", today.Add(-time.Duration(ago)*day))
			_, err = db.ExecContext(t.Context(), db.Rebind(`INSERT INTO tenancy_usage_1h (tenant_key, bucket, requests) SELECT tenant_key, ?, ? FROM tenancy_usage_tenants WHERE id = 'requests'`),
				today.Add(-time.Duration(ago)*day).UnixMicro(), 500-5*ago)
		}
		if err != nil {
			t.Fatal(err)
		}
		reports := newReports(t, store)
		keep := func() {
			t.Helper()
			keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, tenants...), &analytics.KeeperOptions{Interval: time.Hour})
			if err == nil {
				err = keeper.Keep(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			keep()
			page, err := reports.Tenants(t.Context(), tenancy.AllTenants(), &analytics.TenantsRequest{Sort: "limit_reached"})
			if err != nil || len(page.Tenants) != 5 {
				t.Fatalf("got %+v, %v", page, err)
			}
			for _, tenant := range page.Tenants {
				got := tenant.Reaches
				switch tenant.ID {
				case "soon":
					if got == nil || got.Figure != "storage" || got.Limit != 1195 || !got.Made.Equal(today) || !got.Earliest.Equal(today.Add(20*day)) || got.Latest.Before(got.Earliest) {
						t.Errorf("soon: got %+v, want the limit of storage in 20 days", got)
					}
				case "requests":
					if got == nil || got.Figure != "requests" || !got.Earliest.Equal(today.Add(11*day)) {
						t.Errorf("requests: got %+v, want the limit of requests in 11 days", got)
					}
				case "none":
					if got != nil {
						t.Errorf("none: got %+v, want nothing", got)
					}
				default:
					if got == nil || got.Figure != "" || got.Reached != nil {
						t.Errorf("%s: got %+v, want no limit that is reached", tenant.ID, got)
					}
				}
			}
			if a, b := page.Tenants[0].ID, page.Tenants[1].ID; a != "requests" || b != "soon" {
				t.Errorf("got %s and %s first, want those whose limits are reached first", a, b)
			}
		}
		// What was forecast today is not forecast again; on the next day it is.
		err = store.Hold(t.Context(), func(ctx context.Context, up analytics.Upkeep) error {
			left, err := up.(analytics.ForecastStore).Unforecast(ctx, analytics.DefaultLimits(), 10)
			if len(left) != 0 {
				t.Errorf("got %+v, want nobody left", left)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for id, limits := range map[tenancy.ID]map[string]int64{"soon": {"storage.bytes": 1_000_000}, "requests": nil} {
			i := slices.IndexFunc(tenants, func(t *tenancy.Tenant) bool { return t.ID == id })
			changed := tenants[i].Clone()
			changed.Limits, changed.Version = limits, changed.Version+1
			tenants[i] = changed
		}
		if _, err := db.ExecContext(t.Context(), `UPDATE tenancy_usage_tenants SET forecast_at = 1`); err != nil {
			t.Fatal(err)
		}
		keep()
		page, err := reports.Tenants(t.Context(), tenancy.ByIDs("soon"), nil)
		if err != nil || page.Tenants[0].Reaches == nil || page.Tenants[0].Reaches.Reached != nil {
			t.Errorf("with a higher limit: got %+v, %v, want it not reached", page.Tenants[0].Reaches, err)
		}
		if page, err = reports.Tenants(t.Context(), tenancy.ByIDs("requests"), nil); err != nil || page.Tenants[0].Reaches == nil || page.Tenants[0].Reaches.Reached != nil {
			t.Errorf("without limits: got %+v, %v, want none that is reached", page.Tenants[0].Reaches, err)
		}
	})
	for _, name := range []string{"x", "latency_p95", "in_flight", "requests_7d", "name"} {
		store, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t), &analytics.KeeperOptions{Limits: map[string]string{name: "x"}}); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, fmt.Sprint(err), tenancy.ErrInvalid)
		}
	}
}
