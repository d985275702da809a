package analytics_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// monthly plants usage of t0 to t4 in this month and in the two before, and returns the begins of the three months.
func monthly(t *testing.T, store tenancytest.UsageStore) (months [3]time.Time) {
	t.Helper()
	var tenants []*tenancy.Tenant
	for i := range 5 {
		tenant := tenancytest.NewTenant(fmt.Sprintf("t%d", i))
		tenant.ID, tenant.Tags = tenancy.ID(tenant.Slug), []string{[]string{"eu", "us"}[i%2]}
		tenants = append(tenants, tenant)
	}
	now, err := store.Write(t.Context(), &analytics.Batch{Tenants: tenants})
	if err != nil {
		t.Fatal(err)
	}
	this := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	months = [3]time.Time{this.AddDate(0, -2, 0), this.AddDate(0, -1, 0), this}
	var parts []analytics.Part
	for i, tenant := range tenants {
		for m, start := range months {
			hour := func(at time.Time, n int64) {
				p := usageOf(tenant.ID, at, n, 1, 10*time.Millisecond)
				p.Hour, p.Counts.Own = true, map[string]int64{"emails": n}
				parts = append(parts, p)
			}
			hour(start, int64(i+1)) // the first hour, and the last, which is not over in this month
			if m < 2 {
				hour(start.AddDate(0, 1, 0).Add(-time.Hour), int64(100*(m+1)))
			}
		}
	}
	write(t, store, parts...)
	return months
}

func TestMonths(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		months := monthly(t, store)
		reports := newReports(t, store)
		err := hold(t, store, func(up analytics.SizeStore) error {
			at := months[1].Add(36 * time.Hour)
			for i, size := range []int64{500, 900, 700} {
				if err := up.Sized(t.Context(), []analytics.Size{{Tenant: "t2", Bytes: size, At: at.Add(time.Duration(i) * 24 * time.Hour)}}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		name := func(i int) string { return months[i].Format("2006-01") }
		req := analytics.MonthsRequest{From: months[0].Add(time.Hour), To: months[2], Limit: 2}
		var seen []string
		for {
			page, err := reports.Months(t.Context(), tenancy.AllTenants(), &req)
			if err != nil || len(page.Months) != 3 || page.Total != 5 || page.Months[2].Complete || page.Months[0].Name != name(0) {
				t.Fatalf("got %+v, %v, want three months, of which this one is not complete", page, err)
			}
			for i, tenant := range page.Tenants {
				k := float64(len(seen) + 1)
				for m, want := range []float64{k + 100, k + 200, k} {
					got, errs := tenant.Usage[name(m)]["requests"], 2.0
					if m == 2 {
						errs = 1
					}
					if got == nil || got.Value != want || tenant.Usage[name(m)]["errors"].Value != errs || tenant.Own[name(m)]["emails"].Value != want || tenant.Usage[name(m)][analytics.FigureP95] == nil {
						t.Errorf("%s in %s: got %+v, want %v requests and %v errors", tenant.ID, name(m), tenant.Usage[name(m)], want, errs)
					}
				}
				if tenant.ID == "t2" && (tenant.Usage[name(1)][analytics.FigureStorageMax].Value != 900 || tenant.Usage[name(0)][analytics.FigureStorageMax] != nil) {
					t.Errorf("t2: got %+v, want the largest size in the month before", page.Tenants[i].Usage)
				}
				seen = append(seen, string(tenant.ID))
			}
			if req.After = page.Next; req.After == "" {
				break
			}
		}
		if strings.Join(seen, " ") != "t0 t1 t2 t3 t4" {
			t.Errorf("got %v, want all five", seen)
		}
		if page, err := reports.Months(t.Context(), tenancy.ByTags("us"), nil); err != nil || page.Total != 2 || len(page.Tenants) != 2 || len(page.Months) != 1 || page.Tenants[0].Usage[name(2)]["requests"].Value != 2 {
			t.Errorf("us: got %+v, %v, want t1 and t3 in this month", page, err)
		}
		for _, bad := range []analytics.MonthsRequest{
			{From: months[2], To: months[1]}, {To: months[2].AddDate(0, 1, 0)}, {From: months[2].AddDate(0, -25, 0)}, {Limit: -1}, {After: "x"}, {From: months[2].AddDate(-3000, 0, 0)},
		} {
			if _, err := reports.Months(t.Context(), tenancy.AllTenants(), &bad); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%+v: got %v, want %v", bad, err, tenancy.ErrInvalid)
			}
		}
		if page, err := reports.Months(t.Context(), tenancy.AllTenants(), &analytics.MonthsRequest{From: months[2].AddDate(0, -24, 0)}); err != nil || len(page.Months) != 25 {
			t.Errorf("25 months: got %v", err)
		}
		exportedMonths(t, reports, months)
	})
}

func exportedMonths(t *testing.T, reports *analytics.Reports, months [3]time.Time) {
	t.Helper()
	var out bytes.Buffer
	req := &analytics.MonthsRequest{From: months[1], Limit: 2}
	if err := reports.ExportMonths(t.Context(), tenancy.AllTenants(), &out, analytics.FormatCSV, req); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 11 || rows[0][8] != "month" || rows[0][9] != "requests" || rows[9][0] != "t4" || rows[9][9] != "205" || rows[9][len(rows[9])-1] != "emails=205" {
		t.Errorf("got %q, %v, want two months of five tenants", rows, err)
	}
	out.Reset()
	if err := reports.ExportMonths(t.Context(), tenancy.ByIDs("t1"), &out, analytics.FormatJSONLines, req); err != nil {
		t.Fatal(err)
	}
	var row analytics.MonthRow
	if err := json.NewDecoder(&out).Decode(&row); err != nil || row.ID != "t1" || row.Usage["requests"].Value != 202 || row.Own["emails"].Value != 202 {
		t.Errorf("got %+v, %v", row, err)
	}
	if err := reports.ExportMonths(t.Context(), tenancy.AllTenants(), &out, "xml", req); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("got %v, want %v", err, tenancy.ErrInvalid)
	}
}

// yearly is a store with days of t0 to t2, and of the application, in the 14 months before this one, and in this one.
type yearly struct {
	db      *sqlx.DB
	store   *analytics.SQL
	tenants []*tenancy.Tenant
	this    time.Time // the begin of this month
}

func newYearly(t *testing.T, s *tenancytest.Server) *yearly {
	t.Helper()
	y := &yearly{db: s.Database(t)}
	var err error
	if y.store, err = analytics.NewSQL(y.db, patient(0)); err == nil {
		err = y.store.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		tenant := tenancytest.NewTenant(fmt.Sprintf("t%d", i))
		tenant.ID, tenant.Tags = tenancy.ID(tenant.Slug), []string{[]string{"eu", "us"}[i%2]}
		y.tenants = append(y.tenants, tenant)
	}
	now, err := y.store.Write(t.Context(), &analytics.Batch{Tenants: y.tenants, Instance: analytics.Instance{ID: 1, Interval: time.Hour, Recorded: analytics.Columns()}})
	if err != nil {
		t.Fatal(err)
	}
	y.this = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	var keys []int64
	if err := y.db.SelectContext(t.Context(), &keys, `SELECT tenant_key FROM tenancy_usage_tenants WHERE id IN ('(application)', 't0', 't1', 't2') ORDER BY tenant_key`); err != nil {
		t.Fatal(err)
	}
	var rows []string
	n := 0
	for at := y.this.AddDate(0, -14, 0); at.Before(now.Truncate(day)); at = at.Add(day) {
		partition(t, y.db, "tenancy_usage_1d", at)
		for i, key := range keys {
			if n++; n%7 > 0 { // some did nothing
				rows = append(rows, fmt.Sprintf(`(%d, %d, %d, %d, '{"emails":%d}')`, key, at.UnixMicro(), n*31%1000, n%(50*(i+1)), 1+i))
			}
		}
	}
	for chunk := range slices.Chunk(rows, 500) {
		if _, err := y.db.ExecContext(t.Context(), `INSERT INTO tenancy_usage_1d (tenant_key, bucket, requests, in_flight, own) VALUES `+strings.Join(chunk, `, `)); err != nil {
			t.Fatal(err)
		}
	}
	return y
}

func (y *yearly) keep(t *testing.T) {
	t.Helper()
	keeper, err := analytics.NewKeeper(y.store, tenancytest.NewCatalog(t, y.tenants...), nil)
	if err == nil {
		err = keeper.Keep(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (y *yearly) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := y.db.ExecContext(t.Context(), y.db.Rebind(query), args...); err != nil {
		t.Fatal(err)
	}
}

// sums returns what the store says of many periods.
func (y *yearly) sums(t *testing.T) (out string) {
	t.Helper()
	ago := func(months, days int) time.Time { return y.this.AddDate(0, -months, days) }
	for _, p := range []analytics.Period{
		{From: ago(12, 0), To: ago(0, 0)}, {From: ago(12, 0), To: ago(0, 20)}, {From: ago(14, 3), To: ago(2, 0)}, {From: ago(3, 0), To: ago(2, 0)}, {From: ago(3, 9), To: ago(1, 9)}, {From: ago(40, 0), To: ago(0, 0)},
		{From: ago(5, 2), To: ago(5, 9)}, {From: ago(2, 0).Add(time.Hour), To: ago(1, 0).Add(time.Minute)},
	} {
		for _, q := range []analytics.SumQuery{
			{}, {ByTenant: true}, {ByTenant: true, Latency: true}, {Latency: true, Tenants: []tenancy.ID{"t1"}}, {Tenants: []tenancy.ID{analytics.Application}, Latency: true},
			{ByTenant: true, Top: 2, Order: analytics.Requests}, {Fleet: true}, {Step: day, Tenants: []tenancy.ID{"t2"}},
		} {
			for _, scope := range []tenancy.Scope{tenancy.AllTenants(), tenancy.ByTags("us")} {
				q.Period, q.Scope = p, scope
				out += fmt.Sprintf("%v %v %v %+v:\n%s", p.From, p.To, scope, q, sumText(t, y.store, q))
			}
		}
	}
	return out
}

// A year is read from the sums of its months, which say what its days say.
func TestMonthSums(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		y := newYearly(t, s)
		y.keep(t)
		state, err := y.store.State(t.Context())
		if err != nil || !state.Months.Equal(y.this) {
			t.Fatalf("got months up to %v, %v, want %v", state.Months, err, y.this)
		}
		got := y.sums(t)
		y.exec(t, `UPDATE tenancy_usage_state SET value = 0 WHERE name = 'months'`)
		want := y.sums(t)
		if got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		for range 2 {
			y.keep(t)
			var rows int
			if err := y.db.GetContext(t.Context(), &rows, `SELECT COUNT(*) FROM tenancy_usage_sums WHERE span = 'month'`); err != nil || rows != 14*4 {
				t.Errorf("got %d rows of months, %v, want 14 of three tenants and the application", rows, err)
			}
		}
		reports := newReports(t, y.store)
		text := func() string {
			t.Helper()
			var out bytes.Buffer
			if err := reports.ExportMonths(t.Context(), tenancy.AllTenants(), &out, analytics.FormatCSV, &analytics.MonthsRequest{From: y.this.AddDate(0, -12, 0), To: y.this.AddDate(0, -1, 0)}); err != nil {
				t.Fatal(err)
			}
			return out.String()
		}
		before := text()
		y.exec(t, `DELETE FROM tenancy_usage_1d WHERE bucket < ?`, y.this.UnixMicro()) // nobody needs them now
		if after := text(); after != before || !strings.Contains(before, "emails=") {
			t.Errorf("without days: got %s\nwant %s", after, before)
		}
		if err := y.store.Forget(t.Context(), "t0"); err != nil {
			t.Fatal(err)
		}
		var rows int
		if err := y.db.GetContext(t.Context(), &rows, `SELECT COUNT(*) FROM tenancy_usage_sums WHERE span = 'month'`); err != nil || rows != 14*3 {
			t.Errorf("after one was forgotten: got %d rows of months, %v", rows, err)
		}
	})
}

// A flush that opens a day again opens its month, too.
func TestMonthIsOpenedAgain(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		y := newYearly(t, s)
		y.exec(t, `UPDATE tenancy_usage_state SET value = ? WHERE name IN ('minutes', 'hours', 'days', 'months')`, y.this.AddDate(0, 1, 0).UnixMicro()) // as if this one were over
		now, err := y.store.Write(t.Context(), &analytics.Batch{})
		if err != nil {
			t.Fatal(err)
		}
		write(t, y.store, usageOf("t1", now.Truncate(time.Minute), 7, 0, time.Millisecond))
		if state, err := y.store.State(t.Context()); err != nil || !state.Months.Equal(y.this) {
			t.Errorf("got months up to %v, %v, want %v", state.Months, err, y.this)
		}
	})
}
