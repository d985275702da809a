package analytics_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestExport(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		tenants, now := fleet(t, store)
		evil := tenants[0].Clone()
		evil.Version, evil.Name, evil.Plan = 2, `=cmd|' /C calc'!A0, "x"`, "+1"
		if _, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{evil}}); err != nil {
			t.Fatal(err)
		}
		reports := newReports(t, store)
		for _, limit := range []int{0, 3} {
			var out bytes.Buffer
			err := reports.ExportTenants(t.Context(), tenancy.AllTenants(), &out, analytics.FormatCSV, &analytics.TenantsRequest{Sort: "-requests", Limit: limit})
			rows, err2 := csv.NewReader(&out).ReadAll()
			if err := errors.Join(err, err2); err != nil || len(rows) != 9 {
				t.Fatalf("got %d rows, %v, want a header and eight", len(rows), err)
			}
			column := func(name string) int { return slices.Index(rows[0], name) }
			if rows[1][column("slug")] != "t6" || rows[1][column("requests")] != "80" || rows[8][column("requests")] != "0" || rows[1][column("storage")] != "" {
				t.Errorf("got %q ... %q, want t6 first, and no size that was not measured", rows[1], rows[8])
			}
			for _, row := range rows {
				if row[0] == "id-0" && (row[column("name")] != "'"+evil.Name || row[column("plan")] != "'+1") {
					t.Errorf("got %q, want texts that are no formulas", row)
				}
			}
		}
		var out bytes.Buffer
		if err := reports.ExportTenants(t.Context(), tenancy.ByTags("us"), &out, analytics.FormatJSONLines, nil); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "\n"); n != 4 || strings.Contains(out.String(), "id-0") {
			t.Errorf("within a scope: got %d lines, want its four: %s", n, out.String())
		}
		var line analytics.TenantEntry
		if err := json.NewDecoder(&out).Decode(&line); err != nil || line.ID != "id-4" || line.Usage["requests"].Value != 60 {
			t.Errorf("got %+v, %v, want id-4 with 60 requests", line, err)
		}

		out.Reset()
		export := &analytics.UsageExport{Step: time.Minute, Period: analytics.Period{From: now.Add(-2 * time.Hour), To: now.Add(time.Minute)}}
		if err := reports.ExportUsage(t.Context(), tenancy.ByIDs("id-4", "id-7"), &out, analytics.FormatJSONLines, export); err != nil {
			t.Fatal(err)
		}
		var rows []analytics.UsageRow
		for d := json.NewDecoder(&out); d.More(); {
			var row analytics.UsageRow
			if err := d.Decode(&row); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
		if len(rows) != 2 || rows[0].Tenant != "id-4" || rows[0].Counts["requests"] != 30 || !rows[1].Start.Equal(now) {
			t.Errorf("got %+v, want two minutes of id-4", rows)
		}
		out.Reset()
		if err := reports.ExportUsage(t.Context(), tenancy.AllTenants(), &out, analytics.FormatCSV, export); err != nil || strings.Count(out.String(), "\r\n") != 15 {
			t.Errorf("got %v, %s, want a header and 14 rows", err, out.String())
		}
		for name, err := range map[string]error{
			"a format": reports.ExportTenants(t.Context(), tenancy.AllTenants(), &out, "xlsx", nil),
			"a sort":   reports.ExportTenants(t.Context(), tenancy.AllTenants(), &out, analytics.FormatCSV, &analytics.TenantsRequest{Sort: "x"}),
			"a step":   reports.ExportUsage(t.Context(), tenancy.AllTenants(), &out, analytics.FormatCSV, &analytics.UsageExport{Step: 90 * time.Second}),
		} {
			if !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%s: got %v, want %v", name, err, tenancy.ErrInvalid)
			}
		}
		out.Reset()
		if err := reports.ExportUsage(t.Context(), tenancy.Scope{}, &out, analytics.FormatJSONLines, nil); err != nil || out.Len() != 0 {
			t.Errorf("nobody: got %v, %s, want nothing", err, out.String())
		}
	})
}

// An export of a time of which there are only days has days, or says that it cannot have hours; how hours are spread is not known then, either.
func TestUsageOfLongAgo(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		store := migratedIn(t, db)
		acme := tenancytest.NewTenant("acme")
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme}, Instance: analytics.Instance{ID: 1, Interval: time.Hour, Recorded: analytics.Columns()}})
		if err != nil {
			t.Fatal(err)
		}
		at := now.Truncate(day).Add(-200 * day)
		partition(t, db, "tenancy_usage_1d", at)
		if _, err := db.ExecContext(t.Context(), db.Rebind(`INSERT INTO tenancy_usage_1d (tenant_key, bucket, requests) SELECT tenant_key, ?, 77 FROM tenancy_usage_tenants WHERE id = ?`), at.UnixMicro(), acme.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), db.Rebind(`UPDATE tenancy_usage_state SET value = ? WHERE name IN ('minutes', 'hours', 'days')`), now.Truncate(day).UnixMicro()); err != nil {
			t.Fatal(err)
		}
		reports := newReports(t, store)
		p := analytics.Period{From: at, To: at.Add(day)}
		for step, want := range map[time.Duration]error{0: nil, day: nil, time.Hour: tenancy.ErrInvalid, time.Minute: tenancy.ErrInvalid, -time.Hour: tenancy.ErrInvalid} {
			var out strings.Builder
			err := reports.ExportUsage(t.Context(), tenancy.AllTenants(), &out, analytics.FormatJSONLines, &analytics.UsageExport{Period: p, Step: step})
			if !errors.Is(err, want) || strings.Contains(out.String(), `"requests":77`) != (want == nil) {
				t.Errorf("by %v: got %q, %v, want %v", step, out.String(), err, want)
			}
		}
		for _, scope := range []tenancy.Scope{tenancy.AllTenants(), tenancy.ByIDs(acme.ID)} {
			if _, err := reports.Spread(t.Context(), scope, []string{"requests"}, p); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("spread over %v: got %v, want %v", scope, err, tenancy.ErrInvalid)
			}
		}
	})
}
