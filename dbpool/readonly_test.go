package dbpool_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func prepared(ctx context.Context, db *sqlx.DB, statement string) error {
	st, err := db.PreparexContext(ctx, statement)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	_, err = st.ExecContext(ctx)
	return err
}

// In a read-only context nothing is written, whatever way it is tried.
func TestReadOnlyContext(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, &dbpool.Options{Budget: 2, MaxConns: 2})
		tenant := s.Tenant(t, "acme")
		ctx := tenancy.NewContext(t.Context(), tenant)
		reading := tenancy.WithReadOnly(ctx)
		get := func(ctx context.Context) *sqlx.DB {
			t.Helper()
			db, err := pool.DB(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return db
		}
		db := get(ctx)
		db.MustExec(`CREATE TABLE notes (id INT)`)
		db.MustExec(`INSERT INTO notes (id) VALUES (1)`)
		ro := get(reading)
		if ro == db || ro != get(reading) || db != get(ctx) {
			t.Error("want one handle that writes, and another that does not")
		}
		if again, err := pool.For(reading, tenant); err != nil || again != ro {
			t.Errorf("For: got %v, %v, want what DB returns", again, err)
		}
		refused := func(when string) {
			t.Helper()
			for _, statement := range []string{
				`INSERT INTO notes (id) VALUES (2)`, `UPDATE notes SET id = 2`, `DELETE FROM notes`, `CREATE TABLE other (id INT)`, `DROP TABLE notes`,
				`ALTER TABLE notes ADD COLUMN x INT`, `CREATE INDEX i ON notes (id)`,
			} {
				if _, err := ro.ExecContext(reading, statement); err == nil {
					t.Errorf("%s: %s: got no error", when, statement)
				}
				if prepared(reading, ro, statement) == nil {
					t.Errorf("%s: %s, prepared: got no error", when, statement)
				}
				err := pool.Tx(reading, nil, func(tx *sqlx.Tx) error {
					_, err := tx.ExecContext(reading, statement)
					return err
				})
				if err == nil {
					t.Errorf("%s: %s in a transaction: got no error", when, statement)
				}
				err = pool.With(reading, func(c *sqlx.Conn) error {
					_, err := c.ExecContext(reading, statement)
					return err
				})
				if err == nil {
					t.Errorf("%s: %s on a connection: got no error", when, statement)
				}
			}
			var n int
			if err := ro.GetContext(reading, &n, `SELECT SUM(id) FROM notes`); err != nil || n != 1 {
				t.Errorf("%s: reading: got %d, %v, want 1", when, n, err)
			}
		}
		refused("new")

		// What a statement leaves in its session, even on purpose, the next user of
		// the connection does not have.
		for _, statement := range map[string][]string{
			"postgres": {`SET search_path TO public`, `SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE`, `SET default_transaction_read_only TO off`,
				`SELECT set_config('default_transaction_read_only', 'off', false)`},
			"mysql":  {`SET @a = 1`, `SET SESSION TRANSACTION READ WRITE`, `SET tx_read_only = 0`},
			"sqlite": {`PRAGMA cache_size = 100`, `PRAGMA query_only = 0`},
		}[s.Name] {
			_ = pool.With(reading, func(c *sqlx.Conn) error {
				_, err := c.ExecContext(reading, statement)
				if err != nil {
					t.Errorf("%s: %v", statement, err)
				}
				return err
			})
			refused("after " + statement)
		}

		db.MustExec(`INSERT INTO notes (id) VALUES (10)`) // the other writes as before
		if _, err := ro.Exec(`DELETE FROM notes`); err == nil {
			t.Error("a handle from a read-only context, used in another: got no error")
		}

		// Both kinds are in one budget.
		one, err := db.Connx(ctx)
		if err != nil {
			t.Fatal(err)
		}
		two, err := ro.Connx(reading)
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(reading, 50*time.Millisecond)
		defer cancel()
		if _, err := ro.Connx(short); err == nil {
			t.Error("a third connection: got no error")
		}
		if st := pool.Stat(s.Name); st.Conns != 2 || st.InUse != 2 {
			t.Errorf("got %+v, want 2 connections", st)
		}
		_, _ = one.Close(), two.Close()

		// A newer record of the same place leads both on.
		newer := tenant.Clone()
		newer.Version++
		if again, err := pool.For(reading, newer); err != nil || again != ro {
			t.Errorf("a newer record: got another handle, %v", err)
		}
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		if err := ro.Get(new(int), `SELECT 1`); err == nil {
			t.Error("a handle after Close: got no error")
		}
	})
}

// In a read-only context transactions read, wait for no writer and for none of their
// like, and keep nobody from writing.
func TestReadOnlyTransactions(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, &dbpool.Options{Budget: 4, MaxConns: 4})
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		reading, cancel := context.WithTimeout(tenancy.WithReadOnly(ctx), 3*time.Minute)
		defer cancel()
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExec(`CREATE TABLE notes (id INT)`)
		db.MustExec(`INSERT INTO notes (id) VALUES (1)`)
		wantRead := func(tx *sqlx.Tx) error {
			var n int
			if err := tx.GetContext(reading, &n, `SELECT SUM(id) FROM notes`); err != nil || n != 1 {
				t.Errorf("got %d, %v, want 1", n, err)
			}
			return nil
		}
		writing, err := db.Beginx()
		if err != nil {
			t.Fatal(err)
		}
		writing.MustExec(`INSERT INTO notes (id) VALUES (2)`)
		err = pool.Tx(reading, nil, func(one *sqlx.Tx) error {
			_ = wantRead(one)
			return pool.Tx(reading, nil, wantRead)
		})
		if err != nil {
			t.Errorf("while somebody writes: %v", err)
		}
		if err := writing.Rollback(); err != nil {
			t.Fatal(err)
		}
		err = pool.Tx(reading, nil, func(one *sqlx.Tx) error {
			_ = wantRead(one)
			_, err := db.ExecContext(ctx, `INSERT INTO notes (id) VALUES (3)`)
			return err
		})
		if err != nil {
			t.Errorf("writing while somebody reads: %v", err)
		}
	})
}

// A tenant that moves takes along the handle that cannot write.
func TestReadOnlyContextAfterAMove(t *testing.T) {
	t.Parallel()
	a, b := tenancytest.NewServer(t, "sqlite"), tenancytest.NewServer(t, "sqlite")
	pool, err := dbpool.New(map[string]driver.Engine{"a": a.Engine, "b": b.Engine}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	tenant := a.Tenant(t, "acme")
	tenant.Placement.Server = "a"
	if err := b.Engine.(driver.Databases).Create(t.Context(), tenant.Placement.Database, tenant.ID); err != nil {
		t.Fatal(err)
	}
	reading := tenancy.WithReadOnly(t.Context())
	ro, err := pool.For(reading, tenant)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		moved := tenant.Clone()
		moved.Version++
		moved.Placement.Server = map[string]string{"a": "b", "b": "a"}[tenant.Placement.Server]
		db, err := pool.For(t.Context(), moved)
		if err != nil {
			t.Fatal(err)
		}
		table := "t_" + moved.Placement.Server + string(rune('0'+moved.Version))
		db.MustExec(`CREATE TABLE ` + table + ` (id INT)`)
		again, err := pool.For(reading, moved)
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range []*sqlx.DB{ro, again} {
			if err := each.Get(new(int), `SELECT COUNT(*) FROM `+table); err != nil {
				t.Errorf("reading at %s: %v", moved.Placement.Server, err)
			}
			if _, err := each.Exec(`INSERT INTO ` + table + ` VALUES (1)`); err == nil {
				t.Errorf("writing at %s: got no error", moved.Placement.Server)
			}
		}
		tenant = moved
	}
}

// writable is an engine without the ability to only read.
type writable struct{ driver.Engine }

func TestReadOnlyContextWithoutTheAbility(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	tenant := s.Tenant(t, "acme")
	pool, err := dbpool.New(map[string]driver.Engine{s.Name: writable{s.Engine}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	reading := tenancy.WithReadOnly(tenancy.NewContext(t.Context(), tenant))
	for range 2 {
		if _, err := pool.DB(reading); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("DB: got %v, want ErrInvalid", err)
		}
		if _, err := pool.Reader(reading); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("Reader: got %v, want ErrInvalid", err)
		}
	}
	// A handle that was opened when the engine had it never writes later.
	if err := pool.SetServer(s.Name, s.Engine); err != nil {
		t.Fatal(err)
	}
	ro, err := pool.DB(reading)
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.SetServer(s.Name, writable{s.Engine}); err == nil {
		t.Error("SetServer: got no error")
	}
	if _, err := ro.Exec(`CREATE TABLE x (id INT)`); err == nil {
		t.Error("a write: got no error")
	}
}

// A transaction that says that it only reads does not write, on any engine, and the connection writes again behind it.
func TestReadOnlyTransactionsDoNotWrite(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, &dbpool.Options{Budget: 1, MaxConns: 1})
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExec(`CREATE TABLE notes (id INT)`)
		reads := &sql.TxOptions{ReadOnly: true}
		err = pool.Tx(ctx, reads, func(tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO notes (id) VALUES (1)`)
			return err
		})
		if err == nil {
			t.Error("a write in it: got no error")
		}
		var n int
		if err := pool.Tx(ctx, reads, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, &n, `SELECT COUNT(*) FROM notes`) }); err != nil || n != 0 {
			t.Errorf("a read in it: got %d, %v, want 0", n, err)
		}
		if err := pool.Tx(ctx, nil, func(tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO notes (id) VALUES (1)`)
			return err
		}); err != nil {
			t.Errorf("a write behind it: %v", err)
		}
	})
}
