package analytics_test

import (
	"errors"
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
