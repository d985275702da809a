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

func TestStoreConforms(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		tenancytest.TestUsageStore(t, func(t *testing.T) tenancytest.UsageStore {
			m, err := analytics.NewMemory(nil)
			if err != nil {
				t.Fatal(err)
			}
			return m
		})
	})
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenancytest.TestUsageStore(t, func(t *testing.T) tenancytest.UsageStore { return migrated(t, s) })
	})
}

// What was rolled up is read from the longer rows, and one keeper works at a time.
func TestKeeper(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		store := migratedIn(t, db)
		acme := tenancytest.NewTenant("acme")
		now, err := store.Write(t.Context(), &analytics.Batch{})
		if err != nil {
			t.Fatal(err)
		}
		var parts []analytics.Part
		for i := range int64(118) {
			p := analytics.Part{Tenant: acme.ID, Start: now.Truncate(time.Minute).Add(-time.Duration(i+1) * time.Minute), Source: 1, Revision: 1}
			p.Counts.Values[analytics.Requests] = 1
			parts = append(parts, p)
		}
		if _, err := store.Write(t.Context(), &analytics.Batch{Parts: parts}); err != nil {
			t.Fatal(err)
		}
		keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, acme), nil)
		if err != nil {
			t.Fatal(err)
		}
		err = store.Hold(t.Context(), func(ctx context.Context, _ analytics.Upkeep) error {
			if err := keeper.Keep(ctx); !errors.Is(err, tenancy.ErrLimited) {
				t.Errorf("while another keeps: got %v, want %v", err, tenancy.ErrLimited)
			}
			return nil
		})
		if err == nil {
			err = keeper.Keep(t.Context())
		}
		state, err2 := store.State(t.Context())
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if state.Minutes.Before(now.Add(-3*time.Minute)) || state.Hours.Before(now.Add(-65*time.Minute)) || state.Days.IsZero() {
			t.Errorf("got %+v, want it rolled up until now", state)
		}
		for query, until := range map[string]time.Time{
			`DELETE FROM tenancy_usage_parts WHERE bucket < ?`: state.Minutes, `DELETE FROM tenancy_usage_1m WHERE bucket < ?`: state.Hours,
		} {
			if _, err := db.ExecContext(t.Context(), db.Rebind(query), until.UnixMicro()); err != nil {
				t.Fatal(err)
			}
		}
		rows, err := store.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Period: analytics.Period{From: now.Truncate(time.Hour).Add(-4 * time.Hour), To: now}})
		if err != nil || len(rows) != 1 || rows[0].Counts.Get(analytics.Requests) != 118 {
			t.Errorf("from the longer rows: got %+v, %v, want 118 requests", rows, err)
		}
	})
}
