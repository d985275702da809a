package analytics_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// decades is a store with usage of t0 to t3 over 100 days, in rows of hours as if they had been rolled up, and in minutes of
// the last two hours. Ready reads sums that are kept ready, exact adds up.
type decades struct {
	db           *sqlx.DB
	ready, exact *analytics.SQL
	tenants      []*tenancy.Tenant
	now          time.Time
}

func newDecades(t *testing.T, s *tenancytest.Server) *decades {
	t.Helper()
	d := &decades{db: s.Database(t)}
	var err error
	if d.ready, err = analytics.NewSQL(d.db, patient(1)); err == nil {
		d.exact, err = analytics.NewSQL(d.db, patient(-1))
	}
	if err == nil {
		err = d.ready.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		tenant := tenancytest.NewTenant(fmt.Sprintf("t%d", i))
		tenant.ID, tenant.Tags = tenancy.ID(tenant.Slug), []string{[]string{"eu", "us"}[i%2]}
		d.tenants = append(d.tenants, tenant)
	}
	now, err := d.ready.Write(t.Context(), &analytics.Batch{Tenants: d.tenants, Instance: analytics.Instance{ID: 1, Interval: time.Hour, Recorded: analytics.Columns()}})
	if err != nil {
		t.Fatal(err)
	}
	d.now = now
	random := rand.New(rand.NewPCG(1, 2)) // a test
	hour := now.Truncate(time.Hour)
	for i := range 400 {
		at := hour.Add(-time.Duration(3+random.IntN(24*100)) * time.Hour)
		partition(t, d.db, "tenancy_usage_1h", at)
		_, err := d.db.ExecContext(t.Context(), d.db.Rebind(`INSERT INTO tenancy_usage_1h (tenant_key, bucket, requests, in_flight)
			SELECT tenant_key, ?, ?, ? FROM tenancy_usage_tenants WHERE id = ? AND NOT EXISTS (SELECT 1 FROM (SELECT 1 FROM tenancy_usage_1h h JOIN tenancy_usage_tenants k ON k.tenant_key = h.tenant_key WHERE k.id = ? AND h.bucket = ?) x)`),
			at.UnixMicro(), 1+random.IntN(1000), random.IntN(50), d.tenants[i%3].ID, d.tenants[i%3].ID, at.UnixMicro())
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = d.db.ExecContext(t.Context(), `INSERT INTO tenancy_usage_fleet (step, bucket, tenants, requests, in_flight)
		SELECT 3600000000, bucket, COUNT(*), SUM(requests), MAX(in_flight) FROM tenancy_usage_1h GROUP BY bucket`)
	if err != nil {
		t.Fatal(err)
	}
	var parts []analytics.Part
	for i := range 100 {
		p := usageOf(d.tenants[i%4].ID, now.Truncate(time.Minute).Add(-time.Duration(i)*time.Minute), int64(random.IntN(30)), 1, time.Duration(random.IntN(1000))*time.Millisecond)
		parts = append(parts, p)
	}
	for i := range 20 {
		p := usageOf(d.tenants[i%4].ID, hour.Add(-time.Duration(5+random.IntN(24*80))*time.Hour), int64(random.IntN(30)), 1, time.Second)
		p.Hour = true
		parts = append(parts, p)
	}
	d.write(t, parts...)
	return d
}

// write writes parts of an instance that is not missing, however long the test takes.
func (d *decades) write(t *testing.T, parts ...analytics.Part) {
	t.Helper()
	if _, err := d.ready.Write(t.Context(), &analytics.Batch{Parts: parts, Instance: analytics.Instance{ID: 1, Interval: time.Hour, Recorded: analytics.Columns()}}); err != nil {
		t.Fatal(err)
	}
}

func (d *decades) keep(t *testing.T) *analytics.State {
	t.Helper()
	keeper, err := analytics.NewKeeper(d.ready, tenancytest.NewCatalog(t, d.tenants...), nil)
	if err == nil {
		err = keeper.Keep(t.Context())
	}
	state, err2 := d.ready.State(t.Context())
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return state
}

// present returns the store's present time.
func (d *decades) present(t *testing.T) time.Time {
	t.Helper()
	state, err := d.ready.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state.Now
}

// sumText returns what the store says as text.
func sumText(t *testing.T, store *analytics.SQL, q analytics.SumQuery) string {
	t.Helper()
	rows, err := store.Sum(t.Context(), &q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	var out strings.Builder
	for i := range rows {
		fmt.Fprintln(&out, rows[i].Tenant, rows[i].Start.Unix(), rows[i].Counts.Values, rows[i].Counts.Latency, rows[i].Counts.Own)
	}
	return out.String()
}

// Sums that are kept ready, and those of all tenants together, are what the rows that they are made of add up to; making
// them again changes nothing, and a late flush is in them.
func TestSums(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := newDecades(t, s)
		if state, err := d.ready.State(t.Context()); err != nil || len(state.Sums) != 0 {
			t.Errorf("before the keeper: got %+v, %v, want no sums", state.Sums, err)
		}
		check := func(when string, state *analytics.State) {
			t.Helper()
			if len(state.Sums) != 5 {
				t.Fatalf("%s: got %+v, want five spans", when, state.Sums)
			}
			for span, p := range state.Sums {
				if length := p.To.Sub(p.From); length < span || length >= span+24*time.Hour || d.now.Sub(p.To) > 70*time.Minute {
					t.Errorf("%s: %v: got the period %+v", when, span, p)
				}
				for _, scope := range []tenancy.Scope{tenancy.AllTenants(), tenancy.ByTags("us"), {}} {
					for _, q := range []analytics.SumQuery{{ByTenant: true, Latency: true}, {ByTenant: true}, {}, {ByTenant: true, Top: 2, Order: analytics.Requests}} {
						q.Scope = scope
						q.Period = p
						want := sumText(t, d.exact, q)
						q.Span = span
						if got := sumText(t, d.ready, q); got != want {
							t.Errorf("%s: %v of %v (%+v):\n got %.500s\nwant %.500s", when, span, scope, q, got, want)
						}
						if scope.IsZero() != (want == "") {
							t.Errorf("%v: got %q", scope, want)
						}
					}
				}
			}
			for _, step := range []time.Duration{0, time.Minute, time.Hour, day} {
				for _, latency := range []bool{false, true} {
					q := analytics.SumQuery{Scope: tenancy.AllTenants(), Period: analytics.Period{From: d.now.Add(-95 * day), To: d.now}, Step: step, Latency: latency}
					if step == time.Minute {
						q.Period.From = d.now.Add(-30 * time.Hour)
					}
					want := sumText(t, d.exact, q)
					q.Fleet = true
					if got := sumText(t, d.ready, q); got != want {
						t.Errorf("%s: all together by %v:\n got %.500s\nwant %.500s", when, step, got, want)
					}
				}
			}
		}
		for range 2 {
			check("kept", d.keep(t))
		}
		d.write(t, usageOf("t3", d.now.Truncate(time.Hour).Add(-20*time.Minute), 5000, 7, time.Second))
		check("after a late flush", d.keep(t))
		if _, err := d.ready.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Span: time.Minute}); err == nil {
			t.Error("another span: got no error")
		}
		if err := d.ready.Forget(t.Context(), "t3"); err != nil {
			t.Fatal(err)
		}
		if got := sumText(t, d.ready, analytics.SumQuery{Scope: tenancy.ByIDs("t3"), ByTenant: true, Span: day}); got != "" {
			t.Errorf("forgotten: got %s", got)
		}
	})
}

// Reports of whole spans say the same whether they read sums or add up, except for the times of
// measuring; and they say which period they are of.
func TestReportsOfSums(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := newDecades(t, s)
		state := d.keep(t)
		ready, exact := newReports(t, d.ready), newReports(t, d.exact)
		text := func(report any, err error) string {
			t.Helper()
			b, err2 := json.MarshalIndent(report, "", " ")
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			return someTime.ReplaceAllString(string(b), `"T"`)
		}
		type ask func(ctx context.Context, r *analytics.Reports, scope tenancy.Scope, p analytics.Period) (any, error)
		for name, ask := range map[string]ask{
			"top": func(ctx context.Context, r *analytics.Reports, scope tenancy.Scope, p analytics.Period) (any, error) {
				return r.Top(ctx, scope, analytics.TopRequest{By: analytics.Requests, Period: p})
			},
			"compare": func(ctx context.Context, r *analytics.Reports, scope tenancy.Scope, p analytics.Period) (any, error) {
				return r.Compare(ctx, scope, &analytics.CompareRequest{Tenants: []tenancy.ID{"t0", "t2"}, Names: []string{"requests", analytics.FigureP95}, Period: p})
			},
			"tenants": func(ctx context.Context, r *analytics.Reports, scope tenancy.Scope, p analytics.Period) (any, error) {
				return r.Tenants(ctx, scope, &analytics.TenantsRequest{Sort: "-requests", Period: p, Limit: 3, Spark: []analytics.Column{analytics.Requests}})
			},
		} {
			for span, p := range state.Sums {
				for _, scope := range []tenancy.Scope{tenancy.AllTenants(), tenancy.ByTags("eu")} {
					for range 2 { // the second time from what was kept
						now := d.present(t) // sums are of spans that end now
						got := text(ask(t.Context(), ready, scope, analytics.Period{From: now.Add(-span), To: now}))
						if want := text(ask(t.Context(), exact, scope, p)); got != want && name != "tenants" {
							t.Errorf("%s of %v in %v:\n got %s\nwant %s", name, span, scope, got, want)
						} else if name == "tenants" && sortedIDs(got) != sortedIDs(want) {
							t.Errorf("%s of %v in %v:\n got %s\nwant %s", name, span, scope, got, want)
						}
					}
				}
			}
		}
		o, err := ready.Overview(t.Context(), tenancy.AllTenants())
		if err != nil || o.Period != state.Sums[day] || o.Requests.MeasuredAt.After(o.Period.To) {
			t.Errorf("overview: got %+v, %v, want the period %+v", o, err, state.Sums[day])
		}
		rows, err := d.exact.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Period: o.Period})
		if err != nil || float64(rows[0].Counts.Get(analytics.Requests)) != o.Requests.Value || o.Requests.Value == 0 {
			t.Errorf("overview: got %v, %v, want %v", o.Requests, err, rows)
		}
		perf, err := ready.Performance(t.Context(), tenancy.AllTenants(), analytics.Period{})
		if err != nil || perf.Period != state.Sums[time.Hour] || perf.Before != state.Sums[day] {
			t.Errorf("performance: got %+v, %v", perf, err)
		}
		q := "requests_7d:>0"
		filter, err := tenancy.ParseFilter(q, analytics.Fields()...)
		if err != nil {
			t.Fatal(err)
		}
		page, err := ready.Tenants(t.Context(), tenancy.AllTenants(), &analytics.TenantsRequest{Filter: filter, Sort: "-requests_30d"})
		if err != nil || len(page.Tenants) == 0 || page.Period != state.Sums[day] {
			t.Errorf("tenants: got %+v, %v", page, err)
		}
	})
}

// sortedIDs returns the IDs of a page in its order.
func sortedIDs(page string) (ids string) {
	for line := range strings.Lines(page) {
		if _, id, ok := strings.Cut(line, `"id": `); ok {
			ids += id
		}
	}
	return ids
}

// How hours are spread over all tenants was kept; over some it is worked out, to the same.
func TestSpread(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := newDecades(t, s)
		d.keep(t)
		reports := newReports(t, d.ready)
		end := d.now.Truncate(time.Hour)
		p := analytics.Period{From: end.Add(-2 * time.Hour), To: end} // of minutes that were rolled up
		names := []string{"requests", analytics.FigureP95}
		kept, err := reports.Spread(t.Context(), tenancy.AllTenants(), names, p)
		if err != nil || len(kept.Series["requests"]) == 0 || kept.Series["requests"][0].Tenants == 0 || kept.Series["requests"][0].P99 == 0 {
			t.Fatalf("got %+v, %v", kept, err)
		}
		made, err := reports.Spread(t.Context(), tenancy.ByTags("eu", "us"), names, p)
		if diff := cmp.Diff(kept, made); err != nil || diff != "" {
			t.Errorf("got %v, want what was kept (-kept +made):\n%s", err, diff)
		}
		if got, err := reports.Spread(t.Context(), tenancy.ByIDs("t0"), names, p); err != nil || got.Series["requests"][0].Tenants != 1 {
			t.Errorf("of one tenant: got %+v, %v", got, err)
		}
		for _, bad := range []analytics.Period{{From: end.Add(-9 * day), To: end}, {From: end, To: end}} {
			if _, err := reports.Spread(t.Context(), tenancy.ByTags("eu"), names, bad); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%+v: got %v, want %v", bad, err, tenancy.ErrInvalid)
			}
		}
		if _, err := reports.Spread(t.Context(), tenancy.AllTenants(), []string{"x"}, p); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("another name: got %v, want %v", err, tenancy.ErrInvalid)
		}
	})
}

// Reports that have read sums see that they were made anew, up to the same hour.
func TestLateFlushIsInReports(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := newDecades(t, s)
		reports := newReports(t, d.ready)
		requests := func() float64 {
			t.Helper()
			d.keep(t)
			o, err := reports.Overview(t.Context(), tenancy.AllTenants())
			if err != nil {
				t.Fatal(err)
			}
			return o.Requests.Value
		}
		before := requests()
		late := usageOf("t3", d.now.Truncate(time.Hour).Add(-20*time.Minute), 5000, 7, time.Second)
		late.Source = 99
		d.write(t, late)
		if after := requests(); after != before+5000 {
			t.Errorf("got %v requests, and %v before, want 5,000 more", after, before)
		}
	})
}

// A tenant that was purged is in no report of sums: at once where Renew was called, and where it was not once the keeper
// has compared the tenants with the catalog.
func TestPurgedTenantIsInNoReport(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := newDecades(t, s)
		d.keep(t)
		here, elsewhere := newReports(t, d.ready), newReports(t, d.ready)
		requests := func(reports *analytics.Reports) float64 {
			t.Helper()
			o, err := reports.Overview(t.Context(), tenancy.AllTenants())
			if err != nil {
				t.Fatal(err)
			}
			return o.Requests.Value
		}
		before := requests(here)
		if got := requests(elsewhere); got != before {
			t.Fatalf("got %v and %v requests", before, got)
		}
		one, err := here.Tenant(t.Context(), tenancy.AllTenants(), "t0", analytics.Period{})
		if err != nil || one.Usage["requests"].Value == 0 {
			t.Fatalf("got %+v, %v", one, err)
		}
		if err := d.ready.Forget(t.Context(), "t0"); err != nil {
			t.Fatal(err)
		}
		here.Renew()
		after := requests(here)
		if after >= before {
			t.Errorf("renewed: got %v requests, and %v before, want fewer", after, before)
		}
		d.tenants = d.tenants[1:]
		d.keep(t)
		if got := requests(elsewhere); got >= before {
			t.Errorf("after the keeper: got %v requests, and %v before, want %v", got, before, after)
		}
	})
}

// A filter of a span whose sums are too old adds up that span, and reads no sums of the page's.
func TestFilterOfStaleSums(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := newDecades(t, s)
		early := usageOf("t3", d.now.Truncate(time.Hour).Add(-5*time.Hour), 5000, 0, time.Second)
		early.Hour, early.Source = true, 99
		d.write(t, early)
		d.keep(t)
		reports := newReports(t, d.ready)
		total := func(text string) int64 {
			t.Helper()
			f, err := tenancy.ParseFilter(text, analytics.Fields()...)
			if err != nil {
				t.Fatal(err)
			}
			page, err := reports.Tenants(t.Context(), tenancy.AllTenants(), &analytics.TenantsRequest{Filter: f, Sort: "-requests_1h"})
			if err != nil {
				t.Fatal(err)
			}
			return page.Total
		}
		if got := total("requests_24h:>4000"); got != 1 {
			t.Fatalf("of the day: got %d tenants, want one", got)
		}
		if _, err := d.db.ExecContext(t.Context(), d.db.Rebind(`UPDATE tenancy_usage_state SET value = value - ? WHERE name = 'sums_1h'`), (40 * time.Minute).Microseconds()); err != nil {
			t.Fatal(err)
		}
		if state, err := d.ready.State(t.Context()); err != nil || len(state.Sums) != 4 {
			t.Fatalf("got %+v, %v, want the sums of all spans but the shortest", state, err)
		}
		if got := total("requests_1h:>4000"); got != 0 {
			t.Errorf("of the hour: got %d tenants, want none", got)
		}
	})
}

// An export has each tenant once, with what it did in the same period, whatever becomes of the sums while it is written.
func TestExportWhileSumsChange(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := newDecades(t, s)
		latest := usageOf("t3", d.now.Truncate(time.Minute), 90_000, 0, time.Second) // behind the end of the sums
		latest.Source = 99
		d.write(t, latest)
		d.keep(t)
		now := d.present(t)
		filter, err := tenancy.ParseFilter("requests_90d:>0", analytics.Fields()...)
		if err != nil {
			t.Fatal(err)
		}
		req := &analytics.TenantsRequest{Filter: filter, Period: analytics.Period{From: now.Add(-day), To: now}, Sort: "-requests", Limit: 1}
		var want, got strings.Builder
		if err := newReports(t, d.exact).ExportTenants(t.Context(), tenancy.AllTenants(), &want, analytics.FormatCSV, req); err != nil {
			t.Fatal(err)
		}
		out := writerFunc(func(b []byte) (int, error) {
			_, err := d.db.ExecContext(t.Context(), d.db.Rebind(`UPDATE tenancy_usage_state SET value = value - ? WHERE name LIKE 'sums!_%' ESCAPE '!'`), (4 * time.Hour).Microseconds())
			if err != nil {
				return 0, err
			}
			return got.Write(b)
		})
		if err := newReports(t, d.ready).ExportTenants(t.Context(), tenancy.AllTenants(), out, analytics.FormatCSV, req); err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() || strings.Count(want.String(), "\r\n") != 5 {
			t.Errorf("got\n%s\nwant\n%s", got.String(), want.String())
		}
	})
}

type writerFunc func(b []byte) (int, error)

func (w writerFunc) Write(b []byte) (int, error) { return w(b) }

// A scope of thousands of tenants, and a query that names as many, are read over any period, to the same as one that names none.
func TestSumsOfManyNames(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := newDecades(t, s)
		if state := d.keep(t); state.Months.IsZero() {
			t.Fatal("got no sums of months")
		}
		var ids []tenancy.ID
		for i := range 2500 {
			ids = append(ids, tenancy.ID(fmt.Sprintf("t%d", 2500-i))) // most are not there
		}
		ids = append(ids, "t0", "t2500") // and one twice
		p := analytics.Period{From: d.now.AddDate(0, -24, 0), To: d.now}
		for _, q := range []analytics.SumQuery{
			{Latency: true}, {ByTenant: true}, {ByTenant: true, Top: 2, Order: analytics.Requests}, {ByTenant: true, Top: 2, Order: analytics.Requests, Columns: []analytics.Column{analytics.Requests}},
			{ByTenant: true, Top: 2, Order: analytics.Requests, Columns: []analytics.Column{analytics.Status5xx}},
		} {
			q.Period, q.Scope = p, tenancy.AllTenants()
			want := sumText(t, d.exact, q)
			if want == "" {
				t.Fatal("got nothing")
			}
			for name, change := range map[string]func(q *analytics.SumQuery){
				"a scope": func(q *analytics.SumQuery) { q.Scope = tenancy.ByIDs(ids...) },
				"names":   func(q *analytics.SumQuery) { q.Tenants = ids },
				"both":    func(q *analytics.SumQuery) { q.Scope, q.Tenants = tenancy.ByIDs(ids...), ids },
			} {
				own := q
				change(&own)
				if got := sumText(t, d.exact, own); got != want {
					t.Errorf("%s, top %d of %v:\n got %.500s\nwant %.500s", name, q.Top, q.Columns, got, want)
				}
			}
			q.Scope, q.Tenants = tenancy.ByIDs(ids[:2500]...), []tenancy.ID{"t0"}
			if got := sumText(t, d.exact, q); got != "" {
				t.Errorf("a tenant that is not in the scope: got %s", got)
			}
		}
	})
}
