package lifecycle_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// BenchmarkDoctor looks at healthy tenants on two servers: 100, or as many as
// TENANCY_BENCH_TENANTS says. It reports how many megabytes the heap has grown by.
func BenchmarkDoctor(b *testing.B) {
	for engine, env := range map[string]string{"sqlite": "", "postgres": tenancytest.PostgresEnv, "mysql": tenancytest.MySQLEnv} {
		b.Run(engine, func(b *testing.B) {
			if env != "" && os.Getenv(env) == "" {
				b.Skip("no server")
			}
			benchDoctor(b, engine, os.Getenv(env))
		})
	}
}

func benchDoctor(b *testing.B, name, dsn string) {
	tenants := 100
	if n, err := strconv.Atoi(os.Getenv("TENANCY_BENCH_TENANTS")); err == nil {
		tenants = n
	}
	dir := b.TempDir()
	engines := map[string]driver.Engine{}
	for _, server := range []string{"one", "two"} { // of a server's databases only those with our prefix count
		var err error
		switch name {
		case "sqlite":
			engines[server], err = sqlite.New(filepath.Join(dir, server))
		case "mysql":
			engines[server], err = mysql.New(dsn, nil)
		default:
			engines[server], err = postgres.New(dsn, nil)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	pool, err := dbpool.New(engines, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	db, err := sqlite.Open(filepath.Join(dir, "catalog.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	cat, err := catalog.New(db, nil)
	if err == nil {
		err = cat.Migrate(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	migrator, err := migrate.New(pool, fstest.MapFS{"00001_notes.sql": {Data: []byte(makeNotes)}}, &migrate.Options{Records: cat})
	if err != nil {
		b.Fatal(err)
	}
	life, err := lifecycle.New(cat, pool, migrator, nil)
	if err != nil {
		b.Fatal(err)
	}
	benchTenants(b, name, life, dir, db, tenants)
	defer func() {
		if name != "sqlite" {
			for id, err := range cat.Select(b.Context(), tenancy.Filter{}) {
				if err == nil {
					t, _ := cat.Find(b.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
					_ = pool.Drop(b.Context(), t)
				}
			}
		}
	}()
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / 1e6
	}
	before := heap()
	b.ResetTimer()
	for b.Loop() {
		doc, err := life.Doctor(b.Context(), &lifecycle.DoctorOptions{Context: dbpool.LowPriority})
		if err != nil || doc.Tenants != tenants || doc.Databases < tenants {
			b.Fatalf("got %+v, %v", doc, err)
		}
		if name == "sqlite" && !doc.Healthy() {
			b.Fatalf("got %+v", doc.Counts)
		}
	}
	b.ReportMetric(heap()-before, "MB")
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/float64(tenants), "ms/tenant")
}

// benchTenants makes the tenants. Of SQLite's, all but the first are copies of its file.
func benchTenants(b *testing.B, name string, life *lifecycle.Lifecycle, dir string, db *sqlx.DB, n int) {
	b.Helper()
	server := func(i int) string { return []string{"one", "two"}[i%2] }
	if name != "sqlite" {
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := w; i < n; i += 4 {
					if _, err := life.Create(b.Context(), &tenancy.Tenant{Slug: fmt.Sprintf("t%d", i), Placement: tenancy.Placement{Server: server(i)}}); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		return
	}
	first, err := life.Create(b.Context(), &tenancy.Tenant{Slug: "t0", Placement: tenancy.Placement{Server: "one"}})
	if err != nil {
		b.Fatal(err)
	}
	file := func(server, database string) string {
		all, err := filepath.Glob(filepath.Join(dir, server, "*"))
		if err != nil || len(all) == 0 {
			b.Fatalf("no file below %s: %v", dir, err)
		}
		return filepath.Join(dir, server, database+filepath.Ext(all[0]))
	}
	source := file("one", first.Placement.Database)
	template, err := sqlx.Open("sqlite", source)
	if err == nil {
		_, err = template.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
	}
	if err != nil {
		b.Fatal(err)
	}
	_ = template.Close()
	data, err := os.ReadFile(source) // the benchmark's own
	if err != nil {
		b.Fatal(err)
	}
	_ = os.MkdirAll(filepath.Join(dir, "two"), 0o700)
	tx := db.MustBegin()
	for i := 1; i < n; i++ {
		id := tenancy.NewID()
		where := filepath.Join(dir, server(i), "tenant_"+string(id)+filepath.Ext(source))
		if err := os.WriteFile(where, data, 0o600); err != nil {
			b.Fatal(err)
		}
		copied, err := sql.Open("sqlite", where)
		if err == nil {
			_, err = copied.Exec(`PRAGMA synchronous = 0; UPDATE tenancy_marker SET tenant_id = ?`, id)
		}
		if err != nil {
			b.Fatal(err)
		}
		_ = copied.Close()
		tx.MustExec(`INSERT INTO tenancy_tenants (id, slug, name, status, server, database_name, plan, limits, settings, guards, tags, schema_version, search_text, version, created_at, updated_at)
			SELECT ?, ?, name, status, ?, ?, plan, limits, settings, guards, tags, schema_version, '', version, created_at, updated_at FROM tenancy_tenants WHERE id = ?`,
			id, fmt.Sprintf("t%d", i), server(i), "tenant_"+string(id), first.ID)
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}
