package analytics_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// hold calls fn with the store's sizes.
func hold(t *testing.T, store tenancytest.UsageStore, fn func(analytics.SizeStore) error) error {
	t.Helper()
	return store.Hold(t.Context(), func(_ context.Context, up analytics.Upkeep) error { return fn(up.(analytics.SizeStore)) })
}

func TestStorageReport(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
		acme.Tags = []string{"eu"}
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme, globex}})
		if err != nil {
			t.Fatal(err)
		}
		today := now.UTC().Truncate(day)
		err = hold(t, store, func(up analytics.SizeStore) error {
			for ago := range 40 {
				at := today.Add(-time.Duration(ago) * day)
				grown := int64(1000 - 10*ago)
				sizes := []analytics.Size{{Tenant: acme.ID, Bytes: 5, At: at}, {Tenant: acme.ID, Bytes: -1, At: at}, {Tenant: globex.ID, Bytes: 1, At: at}, {Tenant: "nobody", Bytes: 1, At: at}}
				if err := up.Sized(t.Context(), sizes); err != nil {
					return err
				}
				if err := up.Sized(t.Context(), []analytics.Size{{Tenant: acme.ID, Bytes: grown, At: at.Add(time.Minute)}}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		reports := newReports(t, store)
		for _, tt := range []struct {
			scope   tenancy.Scope
			id      tenancy.ID
			plus    int64
			tenants int64
		}{{tenancy.AllTenants(), acme.ID, 0, 1}, {tenancy.AllTenants(), "", 1, 2}, {tenancy.ByTags("eu"), "", 0, 1}} {
			got, err := reports.Storage(t.Context(), tt.scope, tt.id, analytics.Period{})
			if err != nil || len(got.Days) != 30 || got.Days[29] != (analytics.StorageDay{Day: today, Bytes: 1000 + tt.plus, Tenants: tt.tenants}) || got.Days[0].Bytes != 710+tt.plus {
				t.Errorf("%v %s: got %+v, %v, want 30 days up to 1,000 bytes", tt.scope, tt.id, got, err)
			}
		}
		if got, err := reports.Storage(t.Context(), tenancy.Scope{}, "", analytics.Period{}); err != nil || len(got.Days) != 0 {
			t.Errorf("no scope: got %+v, %v", got, err)
		}
		if _, err := reports.Storage(t.Context(), tenancy.ByTags("eu"), globex.ID, analytics.Period{}); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("out of scope: got %v, want %v", err, tenancy.ErrNotFound)
		}
		if _, err := reports.Storage(t.Context(), tenancy.AllTenants(), "", analytics.Period{From: now.Add(-4 * 366 * day)}); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("too long: got %v, want %v", err, tenancy.ErrInvalid)
		}
		// It has 10 bytes more each day: 1,200 in three weeks.
		f, err := reports.Forecast(t.Context(), tenancy.AllTenants(), &analytics.ForecastRequest{Tenant: acme.ID, Name: analytics.FigureStorage, Limit: 1195})
		if err != nil || f.Refused != "" || f.Unit != analytics.UnitBytes || f.Reached == nil || !f.Reached.Earliest.Equal(today.Add(20*day)) {
			t.Errorf("forecast: got %+v, %v, want the limit reached in 20 days", f, err)
		}
		keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, acme, globex), nil)
		if err == nil {
			err = keeper.Keep(t.Context())
		}
		if err == nil {
			err = store.Forget(t.Context(), acme.ID)
		}
		if got, err2 := reports.Storage(t.Context(), tenancy.AllTenants(), "", analytics.Period{}); err != nil || err2 != nil || len(got.Days) != 30 || got.Days[29].Bytes != 1 {
			t.Errorf("after forgetting: got %+v, %v %v, want what globex has", got, err, err2)
		}
	})
}
