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

// eachStore runs fn on every store.
func eachStore(t *testing.T, fn func(t *testing.T, store tenancytest.UsageStore)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		m, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		fn(t, m)
	})
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) { fn(t, migrated(t, s)) })
}

// fleet is eight tenants, t0 to t7, with requests, errors and tags. It returns them and the
// store's minute.
func fleet(t *testing.T, store tenancytest.UsageStore) ([]*tenancy.Tenant, time.Time) {
	t.Helper()
	var tenants []*tenancy.Tenant
	for i := range 8 {
		tenant := tenancytest.NewTenant(fmt.Sprintf("t%d", i))
		tenant.ID, tenant.Name = tenancy.ID(fmt.Sprintf("id-%d", i)), fmt.Sprintf("name %d", (5*i)%8)
		tenant.Version, tenant.Placement.Server, tenant.Plan = 1, serverName, []string{"free", "gold"}[i%2]
		tenant.CreatedAt = time.Date(2026, 1, 1+(3*i)%8, 0, 0, 0, 0, time.UTC)
		tenant.SchemaVersion = int64(i)
		tenant.Tags = []string{[]string{"eu", "us"}[i/4]}
		if i == 7 {
			tenant.Status = tenancy.StatusSuspended
		}
		tenants = append(tenants, tenant)
	}
	now, err := store.Write(t.Context(), &analytics.Batch{Tenants: tenants, Instance: analytics.Instance{ID: 1, Interval: time.Hour, Recorded: analytics.Columns()}})
	if err != nil {
		t.Fatal(err)
	}
	now = now.Truncate(time.Minute)
	var parts []analytics.Part
	for i, tenant := range tenants[:7] { // the last does nothing
		for _, ago := range []time.Duration{0, 100 * time.Minute} {
			p := analytics.Part{Tenant: tenant.ID, Start: now.Add(-ago), Source: 1, Revision: 1}
			p.Counts.Values[analytics.Requests] = int64(10 * (i/2 + 1))
			p.Counts.Values[analytics.Status5xx] = int64((i * 3) % 7)
			parts = append(parts, p)
		}
	}
	if _, err := store.Write(t.Context(), &analytics.Batch{Parts: parts, Instance: analytics.Instance{ID: 1, Interval: time.Hour, Recorded: analytics.Columns()}}); err != nil {
		t.Fatal(err)
	}
	return tenants, now
}

// listed returns the numbers of all tenants of a listing, in pages of that size.
func listed(t *testing.T, reports *analytics.Reports, scope tenancy.Scope, req analytics.TenantsRequest) string {
	t.Helper()
	var out strings.Builder
	for range 10 {
		page, err := reports.Tenants(t.Context(), scope, &req)
		if err != nil {
			t.Fatalf("%+v: %v", req, err)
		}
		for _, tenant := range page.Tenants {
			out.WriteString(strings.TrimPrefix(tenant.Slug, "t"))
		}
		if page.Next == "" {
			return out.String()
		}
		req.After = page.Next
	}
	t.Fatalf("%+v: the listing does not end", req)
	return ""
}

func TestTenants(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		fleet(t, store)
		reports := newReports(t, store)
		filter := func(text string) tenancy.Filter {
			f, err := tenancy.ParseFilter(text, analytics.Fields()...)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		all := tenancy.AllTenants()
		for _, tt := range []struct {
			scope        tenancy.Scope
			filter, sort string
			want         string
		}{
			{all, "", "", "01234567"}, {all, "", "-id", "76543210"}, {all, "", "slug", "01234567"}, {all, "", "name", "05274163"}, {all, "", "-name", "36147250"},
			{all, "", "plan", "02461357"}, {all, "", "-plan", "13570246"}, {all, "", "status", "01234567"}, {all, "", "-created", created(true)},
			{all, "", "created", created(false)}, {all, "", "requests", "70123456"}, {all, "", "-requests", "64523017"}, {all, "", "-errors", errorsOrder()},
			{all, "", "-requests_1h", "64523017"}, {all, "", "storage", "01234567"}, {all, "", "-last_seen", "01234567"},
			{all, "plan:gold", "-requests", "5317"}, {all, "tag:us", "", "4567"}, {all, "id:id-3,id-4", "", "34"}, {all, "status:suspended", "", "7"},
			{all, "NAME", "", "01234567"}, {all, "T3", "", "3"}, {all, "server:" + serverName, "", "01234567"}, {all, "server:other", "", ""},
			{all, "created:>=2026-01-05", "", createdFrom(5)}, {all, "schema:<3", "", "012"}, {all, "schema:2..4 plan:free", "", "24"}, {all, "schema:>5", "", "67"},
			{all, "requests:>40", "", "456"}, {all, "requests_1h:>20", "", "456"}, {all, "requests:40..60", "", "2345"}, {all, "requests:<=20", "", "017"},
			{all, "requests:20,80", "", "016"}, {all, "requests:>40 plan:gold", "-requests", "5"}, {all, "errors:0 requests:>0", "", "0"},
			{all, "requests:19.5..20.5", "", "01"}, {all, "in_flight:<0.5", "", "01234567"}, {all, "storage:<0.5", "", "01234567"},
			{all, "storage:0.5", "", ""}, {all, "requests:<1e30 requests_1h:>20.5", "", "456"}, {all, "requests:>1e30", "", ""}, {all, "requests:0.5,20", "", "01"},
			{tenancy.ByTags("eu"), "", "-requests", "2301"}, {tenancy.ByTags("eu"), "tag:us", "", ""}, {tenancy.ByIDs("id-6", "id-1"), "", "", "16"},
			{tenancy.Scope{}, "", "", ""},
		} {
			for _, size := range []int{0, 1, 3} {
				if got := listed(t, reports, tt.scope, analytics.TenantsRequest{Filter: filter(tt.filter), Sort: tt.sort, Limit: size}); got != tt.want {
					t.Errorf("%v, %q by %q in pages of %d: got %s, want %s", tt.scope, tt.filter, tt.sort, size, got, tt.want)
				}
			}
		}
		var selected []string
		for id, err := range reports.Within(tenancy.ByTags("us")).Select(t.Context(), filter("requests:>40")) {
			if err != nil {
				t.Fatal(err)
			}
			selected = append(selected, string(id))
		}
		if want := []string{"id-4", "id-5", "id-6"}; !slices.Equal(selected, want) {
			t.Errorf("selected: got %q, want %q", selected, want)
		}
	})
}

const serverName = "main"

// created returns the tenants in the order of fleet's days.
func created(descending bool) string {
	type at struct{ day, i int }
	var all []at
	for i := range 8 {
		all = append(all, at{(3 * i) % 8, i})
	}
	slices.SortFunc(all, func(a, b at) int {
		if descending {
			return b.day - a.day
		}
		return a.day - b.day
	})
	out := ""
	for _, each := range all {
		out += fmt.Sprint(each.i)
	}
	return out
}

func createdFrom(day int) (out string) {
	for i := range 8 {
		if 1+(3*i)%8 >= day {
			out += fmt.Sprint(i)
		}
	}
	return out
}

// errorsOrder returns the tenants with most errors first.
func errorsOrder() (out string) {
	all := []int{0, 1, 2, 3, 4, 5, 6, 7}
	of := func(i int) int {
		if i == 7 {
			return 0
		}
		return (i * 3) % 7
	}
	slices.SortStableFunc(all, func(a, b int) int { return of(b) - of(a) })
	for _, i := range all {
		out += fmt.Sprint(i)
	}
	return out
}

// A page has figures, facets of the whole listing, and short series.
func TestTenantsPage(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		_, now := fleet(t, store)
		reports := newReports(t, store)
		page, err := reports.Tenants(t.Context(), tenancy.ByTags("us"), &analytics.TenantsRequest{
			Sort: "-requests", Limit: 2, Spark: []analytics.Column{analytics.Requests, analytics.Status5xx},
			Period: analytics.Period{From: now.Add(-2 * time.Hour), To: now.Add(time.Minute)},
		})
		if err != nil {
			t.Fatal(err)
		}
		if page.Total != 4 || page.Facets.Status[tenancy.StatusSuspended] != 1 || page.Facets.Plan["gold"] != 2 || page.Facets.Server[serverName] != 4 || page.Next == "" || len(page.Tenants) != 2 {
			t.Errorf("got %+v, want two of four, with their facets", page)
		}
		first := page.Tenants[0]
		if got := first.Usage["requests"]; got == nil || got.Value != 80 || first.Usage["errors"].Value != 8 || first.Usage[analytics.FigureStorage] != nil {
			t.Errorf("got %+v, want 80 requests, 8 errors, and no size that was not measured", first.Usage)
		}
		spark := first.Spark["requests"]
		sum := 0.0
		for _, v := range spark {
			sum += v
		}
		if len(spark) < 12 || len(spark) > 24 || sum != 80 || spark[len(spark)-1] != 40 || page.SparkStep != 10*time.Minute {
			t.Errorf("got %v by %v, want at most 24 points, 40 now", spark, page.SparkStep)
		}
	})
}

func TestTenantsRefuses(t *testing.T) {
	t.Parallel()
	store, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	fleet(t, store)
	reports := newReports(t, store)
	page, err := reports.Tenants(t.Context(), tenancy.AllTenants(), &analytics.TenantsRequest{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	byRequests := tenancy.NewCursor("usage\n\nall tenants\nrequests", "x", "id-1")
	for name, tt := range map[string]struct {
		scope tenancy.Scope
		req   analytics.TenantsRequest
	}{
		"an unknown field":             {tenancy.AllTenants(), analytics.TenantsRequest{Sort: "password"}},
		"an unknown end":               {tenancy.AllTenants(), analytics.TenantsRequest{Sort: "requests_8d"}},
		"SQL":                          {tenancy.AllTenants(), analytics.TenantsRequest{Sort: "id; DROP TABLE x"}},
		"too large a page":             {tenancy.AllTenants(), analytics.TenantsRequest{Limit: 501}},
		"a negative page":              {tenancy.AllTenants(), analytics.TenantsRequest{Limit: -1}},
		"a cursor that is none":        {tenancy.AllTenants(), analytics.TenantsRequest{After: "x"}},
		"a cursor of another order":    {tenancy.AllTenants(), analytics.TenantsRequest{After: page.Next, Sort: "name"}},
		"a cursor of another scope":    {tenancy.ByTags("eu"), analytics.TenantsRequest{After: page.Next}},
		"a cursor whose key is a text": {tenancy.AllTenants(), analytics.TenantsRequest{After: byRequests, Sort: "requests"}},
		"a condition on no field":      {tenancy.AllTenants(), analytics.TenantsRequest{Filter: tenancy.Filter{Terms: []tenancy.Term{{Field: "x", Kind: tenancy.FieldNumber, Op: tenancy.OpMore, Values: []string{"1"}}}}}},
		"a condition on a text":        {tenancy.AllTenants(), analytics.TenantsRequest{Filter: tenancy.Filter{Terms: []tenancy.Term{{Field: "slug", Kind: tenancy.FieldText, Op: tenancy.OpIs, Values: []string{"1"}}}}}},
		"a condition without a value":  {tenancy.AllTenants(), analytics.TenantsRequest{Filter: tenancy.Filter{Terms: []tenancy.Term{{Field: "requests", Kind: tenancy.FieldNumber, Op: tenancy.OpMore}}}}},
		"an unknown series":            {tenancy.AllTenants(), analytics.TenantsRequest{Spark: []analytics.Column{200}}},
		"a reversed period":            {tenancy.AllTenants(), analytics.TenantsRequest{Period: analytics.Period{From: time.Now(), To: time.Now().Add(-time.Hour)}}},
	} {
		if got, err := reports.Tenants(t.Context(), tt.scope, &tt.req); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %+v, %v, want %v", name, got, err, tenancy.ErrInvalid)
		}
	}
}

// A scope may name thousands of tenants, whatever a report is made of.
func TestManyIDs(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		_, now := fleet(t, store)
		reports := newReports(t, store)
		ids := []tenancy.ID{"id-4", "id-5"}
		for i := range 9_000 {
			ids = append(ids, tenancy.ID(fmt.Sprintf("nobody-%d", i)))
		}
		scope, p := tenancy.ByIDs(ids...), analytics.Period{From: now.Add(-80 * day), To: now.Add(time.Minute)}
		o, err := reports.Overview(t.Context(), scope)
		if err != nil || o.Requests.Value != 120 || len(o.TopActiveTenants) != 2 {
			t.Errorf("overview: got %+v, %v", o, err)
		}
		top, err := reports.Top(t.Context(), scope, analytics.TopRequest{By: analytics.Requests, Period: p})
		if err != nil || len(top) != 2 || top[0].ID != "id-4" {
			t.Errorf("top: got %+v, %v", top, err)
		}
		series, err := reports.Series(t.Context(), scope, &analytics.SeriesRequest{Names: []string{"requests"}, Period: p})
		if err != nil || len(series.Series["requests"].Points) == 0 {
			t.Errorf("series: got %+v, %v", series, err)
		}
		page, err := reports.Tenants(t.Context(), scope, &analytics.TenantsRequest{Sort: "-requests", Period: p, Spark: []analytics.Column{analytics.Requests}})
		if err != nil || page.Total != 2 || page.Tenants[0].Usage["requests"].Value != 60 {
			t.Errorf("tenants: got %+v, %v", page, err)
		}
		if _, err := reports.Neighbours(t.Context(), scope, time.Time{}); err != nil {
			t.Errorf("neighbours: got %v", err)
		}
	})
}

// An ID that no tenant can have is one that is not there, whatever the store takes.
func TestImpossibleIDs(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		fleet(t, store)
		reports := newReports(t, store)
		ctx, all := t.Context(), tenancy.AllTenants()
		names := []string{"requests"}
		for _, id := range []tenancy.ID{"a\x00b", "\xff", tenancy.ID(strings.Repeat("x", 5000)), "(nobody)"} {
			for name, call := range map[string]func() error{
				"tenant": func() error { _, err := reports.Tenant(ctx, all, id, analytics.Period{}); return err },
				"series": func() error {
					_, err := reports.Series(ctx, all, &analytics.SeriesRequest{Tenant: id, Names: names})
					return err
				},
				"patterns": func() error { _, err := reports.Patterns(ctx, all, &analytics.PatternsRequest{Tenant: id}); return err },
				"storage":  func() error { _, err := reports.Storage(ctx, all, id, analytics.Period{}); return err },
				"forecast": func() error {
					_, err := reports.Forecast(ctx, all, &analytics.ForecastRequest{Tenant: id, Name: "requests"})
					return err
				},
				"compare": func() error {
					_, err := reports.Compare(ctx, all, &analytics.CompareRequest{Tenants: []tenancy.ID{"id-1", id}, Names: names})
					return err
				},
				"periods": func() error {
					_, err := reports.ComparePeriods(ctx, all, &analytics.SeriesRequest{Tenant: id, Names: names})
					return err
				},
			} {
				if err := call(); !errors.Is(err, tenancy.ErrNotFound) {
					t.Errorf("%s of %.20q: got %v, want %v", name, string(id), err, tenancy.ErrNotFound)
				}
			}
		}
	})
}
