package dbpool_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// handleUses are ways to use a handle with a context of its own.
var handleUses = map[string]func(ctx context.Context, db *sqlx.DB) error{
	"Get": func(ctx context.Context, db *sqlx.DB) error { return db.GetContext(ctx, new(int), `SELECT 1`) },
	"Exec": func(ctx context.Context, db *sqlx.DB) error {
		_, err := db.ExecContext(ctx, `DELETE FROM notes`)
		return err
	},
	"Ping": func(ctx context.Context, db *sqlx.DB) error { return db.PingContext(ctx) },
	"Begin": func(ctx context.Context, db *sqlx.DB) error {
		tx, err := db.BeginTxx(ctx, nil)
		if err == nil {
			_ = tx.Rollback()
		}
		return err
	},
	"Conn": func(ctx context.Context, db *sqlx.DB) error {
		c, err := db.Connx(ctx)
		if err == nil {
			_ = c.Close()
		}
		return err
	},
	"Prepare": prepares(`SELECT 1`),
	// A transaction, connection or statement of the right context, used in another.
	"in a transaction": func(ctx context.Context, db *sqlx.DB) error {
		tx, err := db.Beginx()
		if err != nil {
			return nil
		}
		defer func() { _ = tx.Rollback() }()
		_, err = tx.ExecContext(ctx, `DELETE FROM notes`)
		return err
	},
	"query in a transaction": func(ctx context.Context, db *sqlx.DB) error {
		tx, err := db.Beginx()
		if err != nil {
			return nil
		}
		defer func() { _ = tx.Rollback() }()
		return tx.GetContext(ctx, new(int), `SELECT COUNT(*) FROM notes`)
	},
	"on a connection": func(ctx context.Context, db *sqlx.DB) error {
		return onConn(db, func(c *sqlx.Conn) error { return c.GetContext(ctx, new(int), `SELECT COUNT(*) FROM notes`) })
	},
	"ping of a connection": func(ctx context.Context, db *sqlx.DB) error {
		return onConn(db, func(c *sqlx.Conn) error { return c.PingContext(ctx) })
	},
	"transaction of a connection": func(ctx context.Context, db *sqlx.DB) error {
		return onConn(db, func(c *sqlx.Conn) error {
			tx, err := c.BeginTxx(ctx, &sql.TxOptions{})
			if err == nil {
				_ = tx.Rollback()
			}
			return err
		})
	},
	"prepared before": func(ctx context.Context, db *sqlx.DB) error {
		s, err := db.Preparex(`SELECT COUNT(*) FROM notes`)
		if err != nil {
			return nil
		}
		defer func() { _ = s.Close() }()
		return s.GetContext(ctx, new(int))
	},
	"prepared on a connection": func(ctx context.Context, db *sqlx.DB) error {
		return onConn(db, func(c *sqlx.Conn) error {
			s, err := c.PreparexContext(context.Background(), `SELECT COUNT(*) FROM notes`)
			if err != nil {
				return nil
			}
			defer func() { _ = s.Close() }()
			return s.GetContext(ctx, new(int))
		})
	},
	"prepared on a connection, to write": func(ctx context.Context, db *sqlx.DB) error {
		return onConn(db, func(c *sqlx.Conn) error {
			s, err := c.PreparexContext(context.Background(), `SELECT id FROM notes`)
			if err != nil {
				return nil
			}
			defer func() { _ = s.Close() }()
			_, err = s.ExecContext(ctx)
			return err
		})
	},
}

func prepares(query string) func(context.Context, *sqlx.DB) error {
	return func(ctx context.Context, db *sqlx.DB) error {
		return prepare(ctx, db, query)
	}
}

// prepare prepares a statement, and closes it at once.
func prepare(ctx context.Context, p sqlx.PreparerContext, query string) error {
	s, err := p.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer s.Close()
	return nil
}

func onConn(db *sqlx.DB, fn func(*sqlx.Conn) error) error {
	c, err := db.Connx(context.Background())
	if err != nil {
		return nil
	}
	defer func() { _ = c.Close() }()
	return fn(c)
}

// A handle that was kept serves no context of another tenant, and none that is
// read-only if it can write.
func TestKeptHandles(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, &dbpool.Options{MaxConns: 2})
		acme, globex := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		own := tenancy.NewContext(t.Context(), acme)
		db, err := pool.DB(own)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExec(`CREATE TABLE notes (id INT)`)
		db.MustExec(`INSERT INTO notes (id) VALUES (1)`)
		reading := tenancy.WithReadOnly(own)
		ro, err := pool.DB(reading)
		if err != nil {
			t.Fatal(err)
		}
		for name, use := range handleUses {
			for what, ctx := range map[string]context.Context{
				"another tenant's context":            tenancy.NewContext(t.Context(), globex),
				"another tenant's, read-only":         tenancy.WithReadOnly(tenancy.NewContext(t.Context(), globex)),
				"its own tenant's, read-only":         reading,
				"nobody's, read-only":                 tenancy.WithReadOnly(t.Context()),
				"its own inside of another's context": tenancy.NewContext(own, globex),
			} {
				if err := use(ctx, db); !errors.Is(err, tenancy.ErrForbidden) {
					t.Errorf("%s in %s: got %v, want ErrForbidden", name, what, err)
				}
			}
			if err := use(tenancy.NewContext(t.Context(), globex), ro); !errors.Is(err, tenancy.ErrForbidden) {
				t.Errorf("%s of a read-only handle in another tenant's context: got %v, want ErrForbidden", name, err)
			}
		}
		var n int
		for what, get := range map[string]error{
			"own context":         db.GetContext(own, &n, `SELECT COUNT(*) FROM notes`),
			"no tenant":           db.GetContext(t.Context(), &n, `SELECT COUNT(*) FROM notes`),
			"read-only, in its":   ro.GetContext(reading, &n, `SELECT COUNT(*) FROM notes`),
			"read-only, in other": ro.GetContext(own, &n, `SELECT COUNT(*) FROM notes`),
		} {
			if get != nil || n != 1 {
				t.Errorf("%s: got %d notes, %v, want 1", what, n, get)
			}
		}
		if st := pool.Stat(s.Name); st.InUse != 0 || st.Failures != 0 {
			t.Errorf("got %+v, want nothing in use and no failure", st)
		}
	})
}

// Comparing costs no allocation.
func TestKeptHandlesAllocateNothing(t *testing.T) {
	s := tenancytest.NewServer(t, "sqlite")
	check := dbpool.ContextCheck(t, s.Engine, "acme")
	ctx := tenancy.NewContext(t.Context(), &tenancy.Tenant{ID: "acme"})
	if n := testing.AllocsPerRun(100, func() { check(ctx) }); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
