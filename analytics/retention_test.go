package analytics_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// What is kept no longer goes, in more than one step; what was not rolled up, and what is young, stays.
func TestRetention(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		store := migratedIn(t, db)
		acme := tenancytest.NewTenant("acme")
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme}})
		if err != nil {
			t.Fatal(err)
		}
		insert := func(head string, n int, row func(i int) string) {
			t.Helper()
			for done := 0; done < n; done += 1000 {
				var rows []string
				for i := done; i < min(n, done+1000); i++ {
					rows = append(rows, row(i))
				}
				if _, err := db.ExecContext(t.Context(), head+` VALUES `+strings.Join(rows, `, `)); err != nil {
					t.Fatal(err)
				}
			}
		}
		const many = 5200                                         // more than one step
		minutes := now.Truncate(time.Minute).Add(-80 * time.Hour) // the day's partition is over for long enough
		partition(t, db, "tenancy_usage_1m", minutes)
		insert(`INSERT INTO tenancy_usage_1m (tenant_key, bucket, requests)`, many, func(i int) string { return fmt.Sprintf(`(%d, %d, 1)`, 1000+i, minutes.UnixMicro()) })
		young := now.Truncate(time.Minute).Add(-49*time.Hour - 30*time.Minute) // reports read 49 hours of minutes
		partition(t, db, "tenancy_usage_1m", young)
		insert(`INSERT INTO tenancy_usage_1m (tenant_key, bucket, requests)`, 7, func(i int) string { return fmt.Sprintf(`(%d, %d, 1)`, 1000+i, young.UnixMicro()) })
		insert(`INSERT INTO tenancy_usage_spread (bucket, measure, tenants, median, p90, p99)`, 10, func(i int) string {
			return fmt.Sprintf(`(%d, 'requests', 1, 1, 1, 1)`, now.Add(-time.Duration(i*20)*day).UnixMicro())
		})
		insert(`INSERT INTO tenancy_usage_patterns (tenant_key, bucket, source, pattern, revision, requests, errors)`, 10, func(i int) string {
			return fmt.Sprintf(`(101, %d, 1, '/', 1, 1, 0)`, now.Add(-time.Duration(i*10)*day).UnixMicro())
		})
		insert(`INSERT INTO tenancy_usage_storage (tenant_key, bucket, bytes)`, 10, func(i int) string { return fmt.Sprintf(`(101, %d, 1)`, now.Add(-time.Duration(i*100)*day).UnixMicro()) })
		keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, acme), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := keeper.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
			for query, want := range map[string]int{
				`SELECT COUNT(*) FROM tenancy_usage_1m`: 7, `SELECT COUNT(*) FROM tenancy_usage_1h`: many + 7, `SELECT COUNT(*) FROM tenancy_usage_1d`: many + 7,
				`SELECT COUNT(*) FROM tenancy_usage_spread WHERE measure = 'requests' AND tenants = 1`: 5, `SELECT COUNT(*) FROM tenancy_usage_patterns`: 3, `SELECT COUNT(*) FROM tenancy_usage_storage`: 8,
			} {
				var got int
				if err := db.GetContext(t.Context(), &got, query); err != nil {
					t.Fatal(err)
				}
				if got != want {
					t.Errorf("%s: got %d, want %d", query, got, want)
				}
			}
		}
	})
}
