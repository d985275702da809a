package dbpool_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// countingEngine counts what costs a round trip beside the application's own queries.
type countingEngine struct {
	driver.Engine
	identified atomic.Int64
}

func (e *countingEngine) Identify(ctx context.Context, conn sqldriver.Conn) (driver.Identity, error) {
	e.identified.Add(1)
	return e.Engine.Identify(ctx, conn)
}

// A warm connection is not asked again whose it is.
func TestWarmQueriesAreNotChecked(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		engine := &countingEngine{Engine: s.Engine}
		s.Engine = engine
		ctx := tenancy.NewContext(t.Context(), tenant)
		pool := s.Pool(t, nil)
		for range 100 {
			db, err := pool.DB(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.GetContext(ctx, new(int), `SELECT 1`); err != nil {
				t.Fatal(err)
			}
		}
		if n := engine.identified.Load(); n != 1 {
			t.Errorf("got %d checks in 100 queries, want 1", n)
		}
	})
}

// BenchmarkQuery compares DB(ctx) and a query for one row with the same query
// on a bare *sqlx.DB, without an observer and with one.
func BenchmarkQuery(b *testing.B) {
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		b.Run(name, func(b *testing.B) {
			s := tenancytest.NewServer(b, name)
			tenant := s.Tenant(b, "acme")
			pool := s.Pool(b, nil)
			ctx := tenancy.NewContext(b.Context(), tenant)
			c, err := s.Engine.Connector(tenant.Placement.Database)
			if err != nil {
				b.Fatal(err)
			}
			bare := sqlx.NewDb(sql.OpenDB(c), s.Engine.DriverName())
			defer func() { _ = bare.Close() }()
			query := func(b *testing.B, db *sqlx.DB) {
				var id string
				if err := db.GetContext(ctx, &id, `SELECT tenant_id FROM tenancy_marker`); err != nil {
					b.Fatal(err)
				}
			}
			b.Run("baseline", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					query(b, bare)
				}
			})
			b.Run("pool", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					db, err := pool.DB(ctx)
					if err != nil {
						b.Fatal(err)
					}
					query(b, db)
				}
			})
			watched := s.Pool(b, &dbpool.Options{Observer: unseen{}})
			b.Run("observed", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					db, err := watched.DB(ctx)
					if err != nil {
						b.Fatal(err)
					}
					query(b, db)
				}
			})
		})
	}
}

// unseen observes and keeps nothing.
type unseen struct{}

func (unseen) ObserveWait(context.Context, tenancy.ID, time.Duration, error)            {}
func (unseen) ObserveStatement(context.Context, tenancy.ID, time.Duration, bool, error) {}
func (unseen) ObserveRelease(tenancy.ID, time.Duration)                                 {}

// BenchmarkDB is the look-up of a handle alone.
func BenchmarkDB(b *testing.B) {
	s := tenancytest.NewServer(b, "sqlite")
	pool := s.Pool(b, nil)
	ctx := tenancy.NewContext(b.Context(), s.Tenant(b, "acme"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pool.DB(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
