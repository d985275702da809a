package analytics_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		_, now := fleet(t, store) // t0 to t6 have 20, 20, 40, 40, 60, 60 and 80 requests
		reports := newReports(t, store)
		req := analytics.CompareRequest{
			Tenants: []tenancy.ID{"id-6", "id-0"}, Names: []string{"requests", "errors", analytics.FigureP95},
			Period: analytics.Period{From: now.Add(-2 * time.Hour), To: now.Add(time.Minute)},
		}
		got, err := reports.Compare(t.Context(), tenancy.AllTenants(), &req)
		if err != nil {
			t.Fatal(err)
		}
		if s := got.Scope["requests"]; s.Tenants != 7 || s.Median != 40 || s.P99 != 80 {
			t.Errorf("scope: got %+v, want a median of 40", s)
		}
		first, second := got.Tenants[0].Figures["requests"], got.Tenants[1].Figures["requests"]
		if first.Figure.Value != 80 || *first.Normalised != 2 || first.Rank != 6.0/7 || second.Rank != 0 || *second.Normalised != 0.5 {
			t.Errorf("got %+v and %+v, want twice and half the median", first, second)
		}
		if p95 := got.Tenants[0].Figures[analytics.FigureP95]; p95.Figure != nil {
			t.Errorf("got %+v, want no percentile of nothing", p95)
		}
		if got, err = reports.Compare(t.Context(), tenancy.ByIDs("id-6", "id-0"), &req); err != nil || got.Scope["requests"].Tenants != 2 || got.Scope["requests"].Median != 50 {
			t.Errorf("within a scope: got %+v, %v, want the median of its two", got, err)
		}
		if _, err := reports.Compare(t.Context(), tenancy.ByIDs("id-6"), &req); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("out of scope: got %v, want %v", err, tenancy.ErrNotFound)
		}
		req.Tenants = req.Tenants[:1]
		if _, err := reports.Compare(t.Context(), tenancy.AllTenants(), &req); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("one tenant: got %v, want %v", err, tenancy.ErrInvalid)
		}
	})
}

func TestComparePeriods(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		_, now := fleet(t, store)
		reports := newReports(t, store)
		write(t, store, usageOf("id-0", now.Add(-50*time.Minute), 5, 0, time.Second))
		req := &analytics.SeriesRequest{Tenant: "id-0", Names: []string{"requests", analytics.FigureP95}, Period: analytics.Period{From: now.Add(-30 * time.Minute), To: now.Add(time.Minute)}}
		got, err := reports.ComparePeriods(t.Context(), tenancy.AllTenants(), req)
		if err != nil {
			t.Fatal(err)
		}
		if c := got.Change["requests"]; c.Now.Value != 10 || c.Before.Value != 5 || *c.Factor != 2 {
			t.Errorf("got %+v, want twice the 5 before", c)
		}
		if c := got.Change[analytics.FigureP95]; c.Now != nil || c.Before == nil || c.Factor != nil {
			t.Errorf("got %+v, want no factor of what is absent", c)
		}
		if got, err = reports.ComparePeriods(t.Context(), tenancy.ByTags("us"), req); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("out of scope: got %+v, %v, want that it is not found", got, err)
		}
	})
}

// The day before the last one is read by the minute, too, and is no longer.
func TestCompareDays(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		store := migratedIn(t, db)
		acme := tenancytest.NewTenant("acme")
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme}, Instance: analytics.Instance{ID: 1, Interval: time.Hour, Recorded: analytics.Columns()}})
		if err != nil {
			t.Fatal(err)
		}
		var key int64
		if err := db.GetContext(t.Context(), &key, `SELECT tenant_key FROM tenancy_usage_tenants WHERE tenant_key > 2`); err != nil {
			t.Fatal(err)
		}
		var rows []string
		for ago := range 51 * 60 { // minutes
			at := now.Truncate(time.Minute).Add(-time.Duration(ago+1) * time.Minute)
			if ago%60 == 0 {
				partition(t, db, "tenancy_usage_1m", at)
				partition(t, db, "tenancy_usage_1m", at.Add(-time.Hour))
			}
			rows = append(rows, fmt.Sprintf(`(%d, %d, 1)`, key, at.UnixMicro()))
		}
		for chunk := range slices.Chunk(rows, 1000) {
			if _, err := db.ExecContext(t.Context(), `INSERT INTO tenancy_usage_1m (tenant_key, bucket, requests) VALUES `+strings.Join(chunk, `, `)); err != nil {
				t.Fatal(err)
			}
		}
		keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, acme), nil)
		if err == nil {
			err = keeper.Keep(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := newReports(t, store).ComparePeriods(t.Context(), tenancy.AllTenants(), &analytics.SeriesRequest{Tenant: acme.ID, Names: []string{"requests"}, Period: analytics.Period{From: now.Add(-day), To: now}})
		if err != nil {
			t.Fatal(err)
		}
		// The present minute has no row, and the one before may not be rolled up yet.
		if c := got.Change["requests"]; c.Before.Value != got.Before.To.Sub(got.Before.From).Minutes() || c.Before.Value > 24*60+1 || c.Now.Value < c.Before.Value-2 || c.Now.Value > c.Before.Value {
			t.Errorf("got %v requests, and %v before, want one each minute of %+v and %+v", c.Now.Value, c.Before.Value, got.Period, got.Before)
		}
	})
}
