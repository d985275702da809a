package analytics_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A tenant that the store has not heard of yet has reports without figures, if the catalog knows it.
func TestFreshTenant(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		tenants, _ := fleet(t, store)
		fresh := tenancytest.NewTenant("fresh")
		fresh.Tags, fresh.Limits = []string{"eu"}, map[string]int64{"requests.day": 5}
		reports, err := analytics.NewReports(store, &analytics.ReportsOptions{Catalog: tenancytest.NewCatalog(t, append(tenants, fresh)...)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, eu := t.Context(), tenancy.ByTags("eu")
		names := []string{"requests", analytics.FigureP95}
		report, err := reports.Tenant(ctx, eu, fresh.ID, analytics.Period{})
		if err != nil || report.Slug != "fresh" || report.Status != tenancy.StatusActive || !slices.Equal(report.Tags, fresh.Tags) || len(report.Usage) != 0 || report.Limits["requests.day"] != 5 || len(report.Activities) != 0 || report.Period.From.IsZero() {
			t.Errorf("got %+v, %v, want what the record says, and no figures", report, err)
		}
		series, err := reports.Series(ctx, eu, &analytics.SeriesRequest{Tenant: fresh.ID, Names: names})
		if err != nil || len(series.Series) != 0 || series.Step == 0 {
			t.Errorf("series: got %+v, %v, want none", series, err)
		}
		patterns, err := reports.Patterns(ctx, eu, &analytics.PatternsRequest{Tenant: fresh.ID})
		if err != nil || patterns.Patterns == nil || len(patterns.Patterns) != 0 {
			t.Errorf("patterns: got %+v, %v, want none", patterns, err)
		}
		storage, err := reports.Storage(ctx, eu, fresh.ID, analytics.Period{})
		if err != nil || storage.Days == nil || len(storage.Days) != 0 {
			t.Errorf("storage: got %+v, %v, want no days", storage, err)
		}
		forecast, err := reports.Forecast(ctx, eu, &analytics.ForecastRequest{Tenant: fresh.ID, Name: "requests"})
		if err != nil || forecast.Refused == "" {
			t.Errorf("forecast: got %+v, %v, want it refused", forecast, err)
		}
		compared, err := reports.Compare(ctx, eu, &analytics.CompareRequest{Tenants: []tenancy.ID{"id-1", fresh.ID}, Names: names})
		if err != nil || len(compared.Tenants) != 2 || compared.Tenants[0].Figures["requests"].Figure == nil || compared.Tenants[1].Slug != "fresh" || compared.Tenants[1].Figures["requests"].Figure != nil {
			t.Errorf("compare: got %+v, %v, want figures of one", compared, err)
		}
		change, err := reports.ComparePeriods(ctx, eu, &analytics.SeriesRequest{Tenant: fresh.ID, Names: names})
		if err != nil || change.Change["requests"].Now != nil || change.Change["requests"].Before != nil {
			t.Errorf("periods: got %+v, %v, want no figures", change, err)
		}
		for scope, id := range map[*tenancy.Scope]tenancy.ID{new(tenancy.ByTags("us")): fresh.ID, {}: fresh.ID, &eu: tenancy.NewID()} {
			if got, err := reports.Tenant(ctx, *scope, id, analytics.Period{}); !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("%v of %v: got %+v, %v, want %v", id, scope, got, err, tenancy.ErrNotFound)
			}
		}
		if _, err := newReports(t, store).Tenant(ctx, eu, fresh.ID, analytics.Period{}); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("without a catalog: got %v, want %v", err, tenancy.ErrNotFound)
		}
	})
}
