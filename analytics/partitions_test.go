package analytics_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// partition makes the partition of a table for that time, where tables have such.
func partition(t testing.TB, db *sqlx.DB, table string, at time.Time) {
	t.Helper()
	if db.DriverName() != "pgx" {
		return
	}
	if _, err := db.ExecContext(t.Context(), `SELECT tenancy_usage_partition($1, $2)`, table, at.UnixMicro()); err != nil {
		t.Fatal(err)
	}
}

// partitionsOf returns the names of the partitions of a table, without the table's.
func partitionsOf(t *testing.T, db *sqlx.DB, table string) []string {
	t.Helper()
	var names []string
	if err := db.SelectContext(t.Context(), &names, `SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = $1::regclass ORDER BY 1`, table); err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], table+"_")
	}
	return names
}

// Rows that were there before there were partitions, and a view of them, stay.
func TestPartitionsOfWhatIsThere(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	db := s.Database(t)
	before := t.TempDir()
	files, err := filepath.Glob("migrations/postgres/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "PARTITION BY") {
			break // later ones come after it
		}
		if err := os.WriteFile(filepath.Join(before, filepath.Base(name)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sqlkit.Up(t.Context(), db.DB, sqlkit.Postgres, os.DirFS(before), "tenancy_usage_version"); err != nil {
		t.Fatal(err)
	}
	store, err := analytics.NewSQL(db, patient(0))
	if err == nil {
		err = store.CreateViews(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	acme := tenancytest.NewTenant("acme")
	now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme}, Parts: []analytics.Part{usageOf(acme.ID, time.Now().Add(-time.Minute).Truncate(time.Minute), 3, 0, time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	hour := now.Truncate(time.Hour)
	for table, step := range map[string]time.Duration{"tenancy_usage_1m": time.Minute, "tenancy_usage_1h": time.Hour, "tenancy_usage_1d": day} {
		query := fmt.Sprintf(`INSERT INTO %s (tenant_key, bucket, requests) SELECT tenant_key, $1::bigint - n * $2::bigint, n FROM tenancy_usage_tenants, generate_series(1, 300) n WHERE id = $3`, table)
		if _, err := db.ExecContext(t.Context(), query, hour.UnixMicro(), step.Microseconds(), acme.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{
		`SELECT SUM(requests) FROM tenancy_usage_1m`: 45150, `SELECT SUM(requests) FROM tenancy_usage_1h`: 45150, `SELECT SUM(requests) FROM tenancy_usage_1d`: 45150,
		`SELECT SUM(requests) FROM tenancy_usage_parts`: 3, `SELECT SUM(value)::bigint FROM tenant_usage_logs WHERE metric_type = 'requests'`: 45150,
	} {
		var got int
		if err := db.GetContext(t.Context(), &got, query); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", query, got, err, want)
		}
	}
	for table, want := range map[string]int{"tenancy_usage_parts": 1, "tenancy_usage_1m": 1, "tenancy_usage_1h": 2, "tenancy_usage_1d": 4} {
		if got := partitionsOf(t, db, table); len(got) < want || len(got) > want+1 {
			t.Errorf("%s: got the partitions %v, want about %d", table, got, want)
		}
	}
}

// Who misses a partition makes it, the keeper makes them ahead, and what is kept no longer
// goes with its partition, once nobody reads it.
func TestPartitions(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	db := s.Database(t)
	store := migratedIn(t, db)
	acme := tenancytest.NewTenant("acme")
	now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme}, Instance: analytics.Instance{ID: 1, Interval: time.Hour, Recorded: analytics.Columns()}})
	if err != nil {
		t.Fatal(err)
	}
	if got := partitionsOf(t, db, "tenancy_usage_parts"); len(got) != 0 {
		t.Fatalf("got the partitions %v, want none before there is a row", got)
	}
	minute := now.Truncate(time.Minute)
	written := make(chan error)
	for source := range int64(4) {
		go func() {
			parts := []analytics.Part{usageOf(acme.ID, minute.Add(-90*time.Minute), 3, 0, time.Second), usageOf(acme.ID, minute, 3, 0, time.Second)}
			parts[0].Source, parts[1].Source = source, source
			_, err := store.Write(t.Context(), &analytics.Batch{Parts: parts})
			written <- err
		}()
	}
	for range 4 {
		if err := <-written; err != nil {
			t.Error(err)
		}
	}
	if got := partitionsOf(t, db, "tenancy_usage_parts"); len(got) != 2 {
		t.Errorf("got the partitions %v, want two", got)
	}
	old := now.Truncate(day).Add(-4 * day)
	partition(t, db, "tenancy_usage_1m", old)
	if _, err := db.ExecContext(t.Context(), `INSERT INTO tenancy_usage_1m (tenant_key, bucket, requests) SELECT tenant_key, $1, 5 FROM tenancy_usage_tenants WHERE id = $2`, old.UnixMicro(), acme.ID); err != nil {
		t.Fatal(err)
	}
	name := old.Format("2006010215")
	reader, err := db.BeginTxx(t.Context(), nil)
	if err == nil {
		err = reader.GetContext(t.Context(), new(int), `SELECT COUNT(*) FROM tenancy_usage_1m`)
	}
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, acme), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Keep(t.Context()); err != nil {
		t.Fatalf("while somebody reads: %v", err)
	}
	if got := partitionsOf(t, db, "tenancy_usage_1m"); !slices.Contains(got, name) {
		t.Errorf("got the partitions %v, want %s to stay while somebody reads it", got, name)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := keeper.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := partitionsOf(t, db, "tenancy_usage_1m"); slices.Contains(got, name) || !slices.Contains(got, now.Add(day).Format("20060102")+"00") {
			t.Errorf("got the partitions %v, want one ahead, and not %s", got, name)
		}
	}
	reports := newReports(t, store)
	got, err := reports.Tenant(t.Context(), tenancy.AllTenants(), acme.ID, analytics.Period{From: old, To: now.Add(time.Minute)})
	if err != nil || value(t, got.Usage, "requests") != 29 {
		t.Errorf("got %+v, %v, want 24 requests of now, and 5 that were rolled up", got, err)
	}
}
