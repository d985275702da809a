package migrate_test

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestFresh(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool, tenant := s.Pool(t, nil), s.Tenant(t, "acme")
		m := migrator(t, pool, tables(3, 0))
		if _, err := m.UpTo(t.Context(), tenant, 2); err != nil {
			t.Fatal(err)
		}
		db, err := pool.For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{`CREATE TABLE by_hand (n INT)`, `INSERT INTO t1 VALUES (1)`} {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		fresh := func(what string) {
			t.Helper()
			res, err := m.Fresh(t.Context(), tenant)
			if err != nil || res.Version != 3 || len(res.Up) != 3 {
				t.Fatalf("%s: got %+v, %v, want three migrations applied", what, res, err)
			}
			if db, err = pool.For(t.Context(), tenant); err != nil {
				t.Fatal(err)
			}
			var n int
			if err := db.Get(&n, `SELECT COUNT(*) FROM t1`); err != nil || n != 0 {
				t.Errorf("%s: got %d rows, %v", what, n, err)
			}
			if err := db.Get(&n, `SELECT COUNT(*) FROM by_hand`); err == nil {
				t.Errorf("%s: the table that was there before is there", what)
			}
		}
		fresh("first")
		gone := tenant.Clone()
		gone.Status = tenancy.StatusPurging
		if err := pool.Drop(t.Context(), gone); err != nil { // as a process that died leaves it
			t.Fatal(err)
		}
		fresh("without a database")
		in := func(statement string) { // which no pool opens without a mark
			t.Helper()
			c, err := s.Engine.Connector(tenant.Placement.Database)
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(c)
			defer func() { _ = db.Close() }()
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		if err := errors.Join(pool.Drop(t.Context(), gone), pool.Create(t.Context(), tenant)); err != nil {
			t.Fatal(err)
		}
		in(`DROP TABLE tenancy_marker`) // as a process that died between the two leaves it
		fresh("a database that was not marked yet")
		in(`ALTER TABLE tenancy_marker RENAME TO precious`)
		if _, err := m.Fresh(t.Context(), tenant); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("without a mark, and not empty: got %v, want ErrForbidden", err)
		}
		if there, err := pool.Exists(t.Context(), tenant); err != nil || !there {
			t.Errorf("without a mark, and not empty: is it there: got %v, %v, want true", there, err)
		}
		in(`ALTER TABLE precious RENAME TO tenancy_marker`)
		for _, status := range []tenancy.Status{tenancy.StatusProvisioning, tenancy.StatusArchived, tenancy.StatusPurging} {
			other := tenant.Clone()
			other.Status = status
			if _, err := m.Fresh(t.Context(), other); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%s: got %v, want ErrInvalid", status, err)
			}
		}
		foreign := tenancytest.NewTenant("foreign")
		foreign.Placement = tenant.Placement
		if _, err := m.Fresh(t.Context(), foreign); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("another's database: got %v, want ErrForbidden", err)
		}
		if st, err := m.Status(t.Context(), tenant); err != nil || !st.UpToDate() {
			t.Errorf("afterwards: got %+v, %v", st, err)
		}
		only := migrator(t, &counting{}, tables(1, 0))
		if _, err := only.Fresh(t.Context(), tenant); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("without the ability: got %v, want ErrInvalid", err)
		}
		var _ interface {
			migrate.Maker
			migrate.Claimer
		} = pool
	})
}
