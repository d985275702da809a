//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/internal/bench"
)

// rollUps measures the roll-up of an hour of minutes, in which each tenant did something.
func (g *ground) rollUps(ctx context.Context) error {
	hour := g.now.Truncate(time.Hour).Add(-time.Hour)
	if err := g.fill(ctx, "tenancy_usage_1m", hour, hour.Add(time.Hour), time.Minute, 1); err != nil {
		return err
	}
	if err := g.exec(ctx, `UPDATE tenancy_usage_state SET value = ? WHERE name = 'hours'`, hour.UnixMicro()); err != nil {
		return err
	}
	took, err := g.rollUp(ctx)
	if err != nil {
		return err
	}
	row(fmt.Sprintf("roll-up of an hour of %d tenants, and all sums", g.tenants), took, "5 s without sums")
	if err := g.exec(ctx, `UPDATE tenancy_usage_state SET value = ? WHERE name = 'hours'`, hour.UnixMicro()); err != nil {
		return err
	}
	if took, err = g.rollUp(ctx); err != nil { // the sums are there, up to the same hour
		return err
	}
	row("the same without sums", took, "5 s")
	return g.exec(ctx, `VACUUM ANALYZE`)
}

func (g *ground) rollUp(ctx context.Context) (text string, err error) {
	err = g.store.Hold(ctx, func(ctx context.Context, up analytics.Upkeep) error {
		began, own := time.Now(), processorTime()
		err := up.RollUp(ctx)
		text = fmt.Sprintf("%v, own %v", round(time.Since(began)), round(processorTime()-own))
		return err
	})
	return text, err
}

// sizes measures the bytes of a row.
func (g *ground) sizes(ctx context.Context) error {
	for _, table := range []string{"tenancy_usage_1h", "tenancy_usage_1d", "tenancy_usage_sums"} {
		var bytes float64
		if err := g.db.GetContext(ctx, &bytes, `SELECT (SELECT SUM(pg_total_relation_size(c.oid)) FROM pg_class c WHERE c.oid = '`+table+`'::regclass OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = '`+table+`'::regclass))::float8 / GREATEST(1, (SELECT COUNT(*) FROM `+table+`))`); err != nil {
			return err
		}
		row("bytes a row of "+table+", with indexes", fmt.Sprintf("%.0f", bytes), "200")
	}
	return nil
}

// ask is a report.
type ask struct {
	name, goal string
	call       func(context.Context, *analytics.Reports) error
}

func asks(g *ground) []ask {
	all, vip := tenancy.AllTenants(), tenancy.ByTags("vip")
	last := func(d time.Duration) analytics.Period {
		return analytics.Period{From: time.Now().Add(-d), To: time.Now()}
	}
	one := g.ids()[g.tenants/2]
	of := func(_ any, err error) error { return err }
	page := func(sort, filter string) func(context.Context, *analytics.Reports) error {
		f, err := tenancy.ParseFilter(filter, analytics.Fields()...)
		return func(ctx context.Context, r *analytics.Reports) error {
			_, err2 := r.Tenants(ctx, all, &analytics.TenantsRequest{Sort: sort, Filter: f, Spark: []analytics.Column{analytics.Requests, analytics.CPUTime}})
			return errors.Join(err, err2)
		}
	}
	return []ask{
		{"overview", "5 ms", func(ctx context.Context, r *analytics.Reports) error { return of(r.Overview(ctx, all)) }},
		{"a page by name", "10 ms", page("name", "")},
		{"a page by requests", "10 ms", page("-requests", "")},
		{"a page with requests_7d:>1000 by errors_30d", "10 ms", page("-errors_30d", "requests_7d:>1000")},
		{"one tenant, by hour", "20 ms", func(ctx context.Context, r *analytics.Reports) error {
			return of(r.Series(ctx, all, &analytics.SeriesRequest{Tenant: one, Names: []string{"requests", analytics.FigureP95}, Period: last(time.Duration(g.days) * day), Points: 600}))
		}},
		{"one tenant: the report of a day", "20 ms", func(ctx context.Context, r *analytics.Reports) error { return of(r.Tenant(ctx, all, one, last(day))) }},
		{"memory", "10 ms", func(ctx context.Context, r *analytics.Reports) error { return of(r.Memory(ctx, all)) }},
		{"performance", "10 ms", func(ctx context.Context, r *analytics.Reports) error {
			return of(r.Performance(ctx, all, analytics.Period{}))
		}},
		{"neighbours", "50 ms", func(ctx context.Context, r *analytics.Reports) error { return of(r.Neighbours(ctx, all, time.Time{})) }},
		{"compare 6 tenants, 30 days", "30 ms", func(ctx context.Context, r *analytics.Reports) error {
			return of(r.Compare(ctx, all, &analytics.CompareRequest{Tenants: g.ids()[:6], Names: []string{"requests", "cpu_time", analytics.FigureP95}, Period: last(30 * day)}))
		}},
		{"trend of all tenants, 30 days", "10 ms", func(ctx context.Context, r *analytics.Reports) error {
			return of(r.Trend(ctx, all, &analytics.SeriesRequest{Names: []string{"requests"}, Period: last(30 * day), Points: 30}))
		}},
		{"top 10 of 7 days", "5 ms", func(ctx context.Context, r *analytics.Reports) error {
			return of(r.Top(ctx, all, analytics.TopRequest{By: analytics.Requests, Period: last(7 * day)}))
		}},
		{"top 10 of 90 days", "5 ms", func(ctx context.Context, r *analytics.Reports) error {
			return of(r.Top(ctx, all, analytics.TopRequest{By: analytics.BytesOut, Period: last(90 * day)}))
		}},
		{"top 10 of three days, which no sums are of", "50 ms", func(ctx context.Context, r *analytics.Reports) error {
			return of(r.Top(ctx, all, analytics.TopRequest{By: analytics.Requests, Period: last(3 * day)}))
		}},
		{"activities", "10 ms", func(ctx context.Context, r *analytics.Reports) error { return of(r.Activities(ctx, all, nil)) }},
		{"usage of this month, 50 tenants", "50 ms", func(ctx context.Context, r *analytics.Reports) error { return of(r.Months(ctx, all, nil)) }},
		{"forecast of one tenant", "10 ms", func(ctx context.Context, r *analytics.Reports) error {
			return of(r.Forecast(ctx, all, &analytics.ForecastRequest{Tenant: one, Name: "requests"}))
		}},
		{"scope of 500: overview", "50 ms", func(ctx context.Context, r *analytics.Reports) error { return of(r.Overview(ctx, vip)) }},
		{"scope of 500: series of 7 days", "50 ms", func(ctx context.Context, r *analytics.Reports) error {
			return of(r.Series(ctx, vip, &analytics.SeriesRequest{Names: []string{"requests"}, Period: last(7 * day)}))
		}},
	}
}

// reports measures each report: the first call of new reports, the next, and then many by eight callers, each with an answer
// of its own. The last figure is that of eight callers who share answers, as by default.
func (g *ground) reports(ctx context.Context) error {
	for _, a := range asks(g) {
		apart, err := analytics.NewReports(g.store, &analytics.ReportsOptions{Share: -1})
		if err != nil {
			return err
		}
		together, err := analytics.NewReports(g.store, nil)
		if err != nil {
			return err
		}
		var alone [2]time.Duration
		for i := range alone {
			began := time.Now()
			if err := a.call(ctx, apart); err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			alone[i] = time.Since(began)
		}
		own, err := callers(ctx, a, apart)
		if err != nil {
			return err
		}
		shared, err := callers(ctx, a, together)
		if err != nil {
			return err
		}
		row(a.name, fmt.Sprintf("first %v, alone %v; of 8: p50 %v, p99 %v; shared: p99 %v", round(alone[0]), round(alone[1]),
			round(bench.Percentile(own, 50)), round(bench.Percentile(own, 99)), round(bench.Percentile(shared, 99))), a.goal)
	}
	return nil
}

// callers returns what the calls of eight callers take, in ascending order.
func callers(ctx context.Context, a ask, reports *analytics.Reports) ([]time.Duration, error) {
	const callers, each = 8, 12
	var mu sync.Mutex // guards times and failed
	var times []time.Duration
	var failed error
	var working sync.WaitGroup
	for range callers {
		working.Go(func() {
			for range each {
				began := time.Now()
				err := a.call(ctx, reports)
				took := time.Since(began)
				mu.Lock()
				times, failed = append(times, took), errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	working.Wait()
	if failed != nil {
		return nil, fmt.Errorf("%s: %w", a.name, failed)
	}
	slices.Sort(times)
	return times, nil
}

// exports measures how many rows a second are written.
func (g *ground) exports(ctx context.Context) error {
	reports, err := analytics.NewReports(g.store, nil)
	if err != nil {
		return err
	}
	var lines counter
	began := time.Now()
	p := analytics.Period{From: g.now.Add(-7 * day), To: g.now}
	if err := reports.ExportUsage(ctx, tenancy.ByTags("vip"), &lines, analytics.FormatCSV, &analytics.UsageExport{Period: p}); err != nil {
		return err
	}
	took := time.Since(began)
	row(fmt.Sprintf("export of %d rows by tenant and hour", lines.n), fmt.Sprintf("%.0f rows/s, heap %d to %d MB", float64(lines.n)/took.Seconds(), lines.least>>20, lines.most>>20), "flat")
	lines, began = counter{}, time.Now()
	if err := reports.ExportTenants(ctx, tenancy.AllTenants(), &lines, analytics.FormatCSV, nil); err != nil {
		return err
	}
	took = time.Since(began)
	row(fmt.Sprintf("export of %d tenants", lines.n), fmt.Sprintf("%.0f rows/s", float64(lines.n)/took.Seconds()), "")
	return nil
}

// counter counts lines, and looks at the heap now and then.
type counter struct {
	n           int
	least, most uint64 // bytes of the heap
}

var _ io.Writer = (*counter)(nil)

func (c *counter) Write(p []byte) (int, error) {
	before := c.n
	c.n += bytes.Count(p, []byte{'\n'})
	if before/10_000 != c.n/10_000 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		if c.most = max(c.most, m.HeapAlloc); c.least == 0 || m.HeapAlloc < c.least {
			c.least = m.HeapAlloc
		}
	}
	return len(p), nil
}

// forecasts measures those of all tenants.
func (g *ground) forecasts(ctx context.Context) error {
	return g.store.Hold(ctx, func(ctx context.Context, up analytics.Upkeep) error {
		store := up.(analytics.ForecastStore)
		began := time.Now()
		n := 0
		for {
			tenants, err := store.Unforecast(ctx, analytics.DefaultLimits(), 200)
			if err != nil {
				return err
			}
			if len(tenants) == 0 {
				break
			}
			all := make([]analytics.LimitForecast, 0, len(tenants))
			for i := range tenants {
				all = append(all, tenants[i].First(analytics.DefaultLimits()))
			}
			if err := store.Forecasted(ctx, all); err != nil {
				return err
			}
			n += len(all)
		}
		row(fmt.Sprintf("forecasts of two figures of %d tenants", n), round(time.Since(began)).String(), "5 s")
		return nil
	})
}

// logs measures the schema with a row for each tenant, hour and metric.
func (g *ground) logs(ctx context.Context) error {
	hour := g.now.Truncate(time.Hour)
	from := hour.Add(-time.Duration(g.logsDays) * day)
	for _, query := range []string{
		`CREATE TABLE usage_logs (id BIGSERIAL PRIMARY KEY, tenant_id VARCHAR(36) NOT NULL, metric_type VARCHAR(20) NOT NULL, value DECIMAL(20,2) NOT NULL, unit VARCHAR(20) NOT NULL, recorded_at TIMESTAMP NOT NULL)`,
		fmt.Sprintf(`INSERT INTO usage_logs (tenant_id, metric_type, value, unit, recorded_at) SELECT t.id, m, u.requests, 'count', to_timestamp(u.bucket / 1000000) FROM tenancy_usage_1h u JOIN tenancy_usage_tenants t ON t.tenant_key = u.tenant_key,
			unnest(ARRAY['memory', 'cpu', 'storage', 'requests']) m WHERE u.bucket >= %d`, from.UnixMicro()),
		`CREATE INDEX ON usage_logs (tenant_id, metric_type, recorded_at)`, `CREATE INDEX ON usage_logs (recorded_at)`, `VACUUM ANALYZE usage_logs`,
	} {
		if err := g.exec(ctx, query); err != nil {
			return err
		}
	}
	var n, bytes float64
	if err := g.db.QueryRowContext(ctx, `SELECT COUNT(*), pg_total_relation_size('usage_logs') FROM usage_logs`).Scan(&n, &bytes); err != nil {
		return err
	}
	row(fmt.Sprintf("one row for each metric: %.0f rows of %d days", n, g.logsDays), fmt.Sprintf("%.0f bytes a row, %.0f for what one row of hours has", bytes/n, 4*bytes/n), "baseline")
	for name, query := range map[string]string{
		"one row for each metric: top 10 of a day":          `SELECT tenant_id, SUM(value) FROM usage_logs WHERE metric_type = 'requests' AND recorded_at >= (SELECT MAX(recorded_at) - INTERVAL '1 day' FROM usage_logs) GROUP BY tenant_id ORDER BY 2 DESC LIMIT 10`,
		"one row for each metric: sums of a day for a page": `SELECT metric_type, SUM(value) FROM usage_logs WHERE recorded_at >= (SELECT MAX(recorded_at) - INTERVAL '1 day' FROM usage_logs) GROUP BY metric_type`,
		"one row for each metric: one tenant, by hour":      `SELECT recorded_at, metric_type, value FROM usage_logs WHERE tenant_id = 'tenant-000001' ORDER BY recorded_at`,
	} {
		var times []time.Duration
		for range 5 {
			began := time.Now()
			rows, err := g.db.QueryContext(ctx, query)
			if err != nil {
				return err
			}
			for rows.Next() {
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				return err
			}
			times = append(times, time.Since(began))
		}
		row(name, "p50 "+round(bench.Percentile(times, 50)).String(), "baseline")
	}
	return nil
}
