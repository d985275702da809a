package analytics_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// usageOf returns a part of n requests, errors of which failed, that took so long.
func usageOf(id tenancy.ID, start time.Time, n, failed int64, latency time.Duration) analytics.Part {
	p := analytics.Part{Tenant: id, Start: start, Source: 1, Revision: 1}
	p.Counts.Values[analytics.Requests], p.Counts.Values[analytics.Status5xx] = n, failed
	for range n {
		p.Counts.Latency.Observe(latency)
	}
	return p
}

func write(t *testing.T, store analytics.Sink, parts ...analytics.Part) {
	t.Helper()
	recorded := []analytics.Column{analytics.Requests, analytics.Status5xx, analytics.LatencyTime}
	if _, err := store.Write(t.Context(), &analytics.Batch{Parts: parts, Instance: analytics.Instance{ID: 1, Interval: time.Hour, Recorded: recorded}}); err != nil {
		t.Fatal(err)
	}
}

// No peak is lost in a series, and what nobody counted is not in it.
func TestSeries(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme, globex}})
		if err != nil {
			t.Fatal(err)
		}
		end := now.Truncate(5 * time.Minute)
		at := end.Add(-30 * time.Minute)
		write(t, store, usageOf(acme.ID, at, 10, 0, time.Millisecond), usageOf(acme.ID, at.Add(time.Minute), 100, 5, time.Second),
			usageOf(globex.ID, at, 1000, 0, time.Second))
		reports := newReports(t, store)
		req := analytics.SeriesRequest{
			Tenant: acme.ID, Names: []string{"requests", "errors", analytics.FigureP95, "cpu_time"}, Points: 12,
			Period: analytics.Period{From: end.Add(-time.Hour), To: end},
		}
		got, err := reports.Series(t.Context(), tenancy.AllTenants(), &req)
		if err != nil {
			t.Fatal(err)
		}
		requests := got.Series["requests"].Points
		if _, ok := got.Series["cpu_time"]; ok || len(got.Series) != 3 || len(requests) != 12 || got.Step != 5*time.Minute || got.Fine != time.Minute {
			t.Fatalf("got %+v, want three series of 12 points", got)
		}
		p := requests[6]
		if !p.At.Equal(at) || *p.Value != 110 || *p.Min != 0 || *p.Mean != 22 || *p.Max != 100 || *requests[5].Value != 0 {
			t.Errorf("got %v %v %v %v, want 110, and 0, 22 and 100 in its minutes", *p.Value, *p.Min, *p.Mean, *p.Max)
		}
		p95 := got.Series[analytics.FigureP95]
		if p95.Points[5].Value != nil || p95.Error == 0 || math.Abs(*p95.Points[6].Value-1e6) > 1e5 || *p95.Points[6].Min > 2000 {
			t.Errorf("got %+v, want a second, and less in the minute before", p95)
		}
		req.Tenant = ""
		for scope, want := range map[*tenancy.Scope]float64{ptr(tenancy.AllTenants()): 1110, ptr(tenancy.ByIDs(acme.ID)): 110, {}: 0} {
			got, err := reports.Series(t.Context(), *scope, &req)
			if err != nil || *got.Series["requests"].Points[6].Value != want {
				t.Errorf("%v: got %+v, %v, want %v", scope, got, err, want)
			}
		}
		req.Tenant = globex.ID
		if _, err := reports.Series(t.Context(), tenancy.ByIDs(acme.ID), &req); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("out of scope: got %v, want %v", err, tenancy.ErrNotFound)
		}
		for _, bad := range []analytics.SeriesRequest{{}, {Names: []string{"x"}}, {Names: []string{"requests"}, Points: 601}, {Names: []string{"requests"}, Points: -1}} {
			if _, err := reports.Series(t.Context(), tenancy.AllTenants(), &bad); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%+v: got %v, want %v", bad, err, tenancy.ErrInvalid)
			}
		}
	})
}

// Series, short ones and exports say what there was a week ago, of which there are no minutes, and by steps of many days.
func TestOldSeries(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := newDecades(t, s)
		d.keep(t)
		reports := newReports(t, d.exact)
		sum := func(p analytics.Period) float64 {
			t.Helper()
			rows, err := d.exact.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Tenants: []tenancy.ID{"t0"}, Period: p})
			if err != nil || len(rows) == 0 {
				t.Fatalf("%+v: got %+v, %v", p, rows, err)
			}
			return float64(rows[0].Counts.Get(analytics.Requests))
		}
		add := func(values []float64) (all float64) {
			for _, v := range values {
				all += v
			}
			return all
		}
		end := d.now.Truncate(time.Hour).Add(-7 * day)
		for _, p := range []analytics.Period{{From: end.Add(-day), To: end}, {From: end.Add(-3 * day), To: end.Add(-20 * time.Minute)}, {From: end.Add(-20 * day), To: end}} {
			series, err := reports.Series(t.Context(), tenancy.AllTenants(), &analytics.SeriesRequest{Tenant: "t0", Names: []string{"requests"}, Period: p})
			if err != nil {
				t.Fatal(err)
			}
			var values []float64
			for _, point := range series.Series["requests"].Points {
				values = append(values, *point.Value)
			}
			if got, want := add(values), sum(series.Period); got != want || want == 0 {
				t.Errorf("%+v: got %v requests by %v, want %v", p, got, series.Step, want)
			}
		}
		for _, p := range []analytics.Period{{From: end.Add(-18 * time.Hour), To: end}, {From: end.Add(-83 * day), To: d.now}} {
			page, err := reports.Tenants(t.Context(), tenancy.ByIDs("t0"), &analytics.TenantsRequest{Period: p, Spark: []analytics.Column{analytics.Requests}})
			if err != nil || len(page.Tenants) != 1 {
				t.Fatal(page, err)
			}
			first := p.From.Add(page.SparkStep - 1).Truncate(page.SparkStep)
			if got, want := add(page.Tenants[0].Spark["requests"]), sum(analytics.Period{From: first, To: p.To}); got != want || want == 0 {
				t.Errorf("%+v: short series: got %v requests by %v, want %v", p, got, page.SparkStep, want)
			}
		}
		var out bytes.Buffer
		p := analytics.Period{From: d.now.Add(-50 * day), To: d.now}
		if err := reports.ExportUsage(t.Context(), tenancy.ByIDs("t0"), &out, analytics.FormatJSONLines, &analytics.UsageExport{Step: 7 * day, Period: p}); err != nil {
			t.Fatal(err)
		}
		var values []float64
		for lines := json.NewDecoder(&out); lines.More(); {
			var row analytics.UsageRow
			if err := lines.Decode(&row); err != nil {
				t.Fatal(err)
			}
			values = append(values, float64(row.Counts["requests"]))
			if got, want := values[len(values)-1], sum(analytics.Period{From: row.Start, To: row.Start.Add(7 * day)}); row.Start.Weekday() != time.Monday || got != want {
				t.Errorf("export: got %v requests in the week of %v, want %v in one from Monday on", got, row.Start, want)
			}
		}
		if want := sum(analytics.Period{From: p.From.Truncate(7 * day), To: p.To}); add(values) != want {
			t.Errorf("export: got %v requests, want %v", add(values), want)
		}
	})
}

func ptr[T any](v T) *T { return &v }

// A trend finds a slope in spite of outliers, and says when there is none.
func TestTrend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
		if _, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme, globex}}); err != nil {
			t.Fatal(err)
		}
		now := time.Now().Truncate(time.Hour)
		for i := range int64(24) {
			at := now.Add(-time.Duration(24-i) * time.Hour)
			n := 100 + 10*i
			if i == 7 {
				n = 100_000
			}
			write(t, store, usageOf(acme.ID, at, n, 0, 1), usageOf(globex.ID, at, 50+(i*7)%5, 0, 1))
		}
		reports := newReports(t, store)
		req := analytics.SeriesRequest{Tenant: acme.ID, Names: []string{"requests"}, Points: 30, Period: analytics.Period{From: now.Add(-24 * time.Hour), To: now.Add(time.Minute)}}
		got, err := reports.Trend(t.Context(), tenancy.AllTenants(), &req)
		if err != nil || got.Direction != "rising" || math.Abs(got.PerDay-240) > 10 || got.Low > 240 || got.High < 240 {
			t.Errorf("acme: got %+v, %v, want 240 more a day", got, err)
		}
		req.Tenant = globex.ID
		if got, err = reports.Trend(t.Context(), tenancy.AllTenants(), &req); err != nil || got.Direction != "steady" || got.Low > 0 || got.High < 0 {
			t.Errorf("globex: got %+v, %v, want it steady", got, err)
		}
		req.Period.From = now.Add(-5 * time.Minute)
		if _, err := reports.Trend(t.Context(), tenancy.AllTenants(), &req); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("too few points: got %v, want %v", err, tenancy.ErrInvalid)
		}
	})
}

func TestPerformance(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		var tenants []*tenancy.Tenant
		for _, slug := range []string{"slow", "broken", "worse", "rare"} {
			tenant := tenancytest.NewTenant(slug)
			tenant.ID, tenant.Tags = tenancy.ID(slug), []string{slug}
			tenants = append(tenants, tenant)
		}
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: tenants})
		if err != nil {
			t.Fatal(err)
		}
		now = now.Truncate(time.Minute)
		before := now.Add(-90 * time.Minute)
		write(t, store,
			usageOf("slow", now, 30, 0, 10*time.Second), usageOf("slow", before, 30, 0, 10*time.Second),
			usageOf("broken", now, 30, 7, time.Millisecond), usageOf("broken", before, 30, 0, time.Millisecond),
			usageOf("worse", now, 30, 0, 100*time.Millisecond), usageOf("worse", before, 30, 0, 10*time.Millisecond),
			usageOf("rare", now, 19, 0, time.Minute),
		)
		reports := newReports(t, store)
		got, err := reports.Performance(t.Context(), tenancy.AllTenants(), analytics.Period{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Slowest) != 3 || got.Slowest[0].ID != "slow" || len(got.MostErrors) != 1 || got.MostErrors[0].ID != "broken" || got.MostWaiting != nil {
			t.Errorf("got %+v, want slow and broken first, and no waits that nobody counts", got)
		}
		if len(got.MostWorsened) != 1 || got.MostWorsened[0].ID != "worse" || got.MostWorsened[0].Factor < 8 || got.MostWorsened[0].Factor > 12 || got.MostWorsened[0].Before == nil {
			t.Errorf("worsened: got %+v, want worse, ten times", got.MostWorsened)
		}
		if got, err = reports.Performance(t.Context(), tenancy.ByTags("worse"), analytics.Period{}); err != nil || len(got.Slowest) != 1 || len(got.MostErrors) != 0 {
			t.Errorf("within a scope: got %+v, %v, want worse alone", got, err)
		}
		top, err := reports.Top(t.Context(), tenancy.AllTenants(), analytics.TopRequest{By: analytics.Status5xx})
		if err != nil || len(top) != 1 || top[0].ID != "broken" || top[0].Usage["errors"].Value != 7 {
			t.Errorf("top: got %+v, %v, want broken alone", top, err)
		}
	})
}

// held is a source of bytes.
type held map[tenancy.ID]int64

func (h held) TenantBytes(yield func(tenancy.ID, int64) bool) {
	for id, n := range h {
		if !yield(id, n) {
			return
		}
	}
}

func TestMemoryReport(t *testing.T) {
	t.Parallel()
	store, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
	acme.Tags = []string{"eu"}
	rec := newRecorder(t, store, nil)
	for _, tenant := range []*tenancy.Tenant{acme, globex} {
		rec.Changed(t.Context(), nil, tenant, nil)
	}
	if err := rec.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	reports := newReports(t, store)
	if got, err := reports.Memory(t.Context(), tenancy.AllTenants()); err != nil || got.Tenants.Total != nil {
		t.Errorf("without a source: got %+v, %v, want no figure", got, err)
	}
	rec.Attach(held{acme.ID: 5, globex.ID: 7}, held{acme.ID: 20})
	if err := rec.Flush(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	got, err := reports.Memory(t.Context(), tenancy.AllTenants())
	if err != nil || got.Tenants.Total == nil || got.Tenants.Total.Value != 32 || len(got.Tenants.Tenants) != 2 || got.Tenants.Tenants[0].Figure.Value != 25 {
		t.Errorf("got %+v, %v, want 25 and 7 bytes", got, err)
	}
	if len(got.Instances) != 1 || got.Instances[0].RSS != nil && got.Instances[0].RSS.Value < 1<<20 {
		t.Errorf("instances: got %+v, want this one", got.Instances)
	}
	if kinds := got.Instances[0].Kinds; len(kinds) != 2 || kinds[analytics.MemoryApplication].Value != 32 || kinds[analytics.MemoryBodies].Value != 0 || kinds[analytics.MemoryApplication].Method != analytics.Estimated {
		t.Errorf("kinds: got %+v, want 32 bytes of the application", kinds)
	}
	if got, err = reports.Memory(t.Context(), tenancy.ByTags("eu")); err != nil || got.Tenants.Total.Value != 25 || got.Instances != nil {
		t.Errorf("within a scope: got %+v, %v, want acme alone", got, err)
	}
}

// A point is in a trend if its whole step is over and in the period, also of a period that is over.
func TestTrendOfAPeriodThatIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		acme := tenancytest.NewTenant("acme")
		if _, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme}}); err != nil {
			t.Fatal(err)
		}
		now := time.Now().Truncate(time.Hour)
		for i := range int64(12) {
			write(t, store, usageOf(acme.ID, now.Add(-time.Duration(12-i)*time.Hour), 100+10*i, 0, 1))
		}
		reports := newReports(t, store)
		for name, tt := range map[string]struct {
			from, to time.Duration
			err      error
		}{
			"eight hours":                 {-10 * time.Hour, -2 * time.Hour, nil},
			"and half of another":         {-10 * time.Hour, -90 * time.Minute, nil},
			"seven and a half":            {-10 * time.Hour, -150 * time.Minute, tenancy.ErrInvalid},
			"seven and one that ends now": {-8 * time.Hour, 0, tenancy.ErrInvalid}, // not all instances have written it
		} {
			req := analytics.SeriesRequest{Tenant: acme.ID, Names: []string{"requests"}, Points: 12, Period: analytics.Period{From: now.Add(tt.from), To: now.Add(tt.to)}}
			got, err := reports.Trend(t.Context(), tenancy.AllTenants(), &req)
			if !errors.Is(err, tt.err) || err == nil && (got.Step != time.Hour || math.Abs(got.PerDay-240) > 1) {
				t.Errorf("%s: got %+v, %v, want 240 more a day, or %v", name, got, err, tt.err)
			}
		}
	})
}
