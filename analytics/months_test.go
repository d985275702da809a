package analytics_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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
