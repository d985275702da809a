package dbpool_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// newNotes returns the handle of a tenant on SQLite that has a table of notes.
func newNotes(t *testing.T, opts *dbpool.Options) (*dbpool.Pool, *sqlx.DB, context.Context) {
	t.Helper()
	s := tenancytest.NewServer(t, "sqlite")
	pool := s.Pool(t, opts)
	ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
	db, err := pool.DB(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const table = `CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)`
	var busy *dbpool.BusyError
	_, err = db.Exec(table)
	for end := time.Now().Add(10 * time.Minute); errors.As(err, &busy) && time.Now().Before(end); { // the first dial may take longer than MaxWait
		_, err = db.Exec(table)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pool, db, ctx
}

// writings are all the ways to write.
var writings = map[string]func(ctx context.Context, pool *dbpool.Pool, db *sqlx.DB) error{
	"exec": func(ctx context.Context, _ *dbpool.Pool, db *sqlx.DB) error {
		_, err := db.ExecContext(ctx, `INSERT INTO notes (text) VALUES (?)`, "x")
		return err
	},
	"returning": func(ctx context.Context, _ *dbpool.Pool, db *sqlx.DB) error {
		return db.GetContext(ctx, new(int), `INSERT INTO notes (text) VALUES ('x') RETURNING id`)
	},
	"with": func(ctx context.Context, _ *dbpool.Pool, db *sqlx.DB) error {
		_, err := db.ExecContext(ctx, `WITH x AS (SELECT 'x' AS t) INSERT INTO notes (text) SELECT t FROM x`)
		return err
	},
	"prepared": func(ctx context.Context, _ *dbpool.Pool, db *sqlx.DB) error {
		p, err := db.PreparexContext(ctx, `INSERT INTO notes (text) VALUES (?)`)
		if err != nil {
			return err
		}
		defer func() { _ = p.Close() }()
		_, err = p.ExecContext(ctx, "x")
		return err
	},
	"prepared returning": func(ctx context.Context, _ *dbpool.Pool, db *sqlx.DB) error {
		p, err := db.PreparexContext(ctx, `INSERT INTO notes (text) VALUES (?) RETURNING id`)
		if err != nil {
			return err
		}
		defer func() { _ = p.Close() }()
		return p.GetContext(ctx, new(int), "x")
	},
	"transaction": func(ctx context.Context, pool *dbpool.Pool, _ *sqlx.DB) error {
		return pool.Tx(ctx, nil, func(tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO notes (text) VALUES ('x')`)
			return err
		})
	},
	"transaction by hand": func(ctx context.Context, pool *dbpool.Pool, _ *sqlx.DB) error {
		return pool.With(ctx, func(c *sqlx.Conn) error {
			for _, q := range []string{`BEGIN IMMEDIATE`, `INSERT INTO notes (text) VALUES ('x')`, `COMMIT`} {
				if _, err := c.ExecContext(ctx, q); err != nil {
					return err
				}
			}
			return nil
		})
	},
}

// However many write, and in whichever way, none is told that the file is
// locked; readers do not wait for them.
func TestOneWriterAtATime(t *testing.T) {
	t.Parallel()
	pool, db, ctx := newNotes(t, &dbpool.Options{Budget: 40, MaxConns: 40, MaxWait: 5 * time.Minute})
	const each = 25
	var wg sync.WaitGroup
	for name, write := range writings {
		for range 4 {
			wg.Go(func() {
				for range each {
					if err := write(ctx, pool, db); err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	var n int
	if err := db.Get(&n, `SELECT count(*) FROM notes`); err != nil || n != 4*each*len(writings) {
		t.Errorf("got %d notes, %v, want %d", n, err, 4*each*len(writings))
	}
}

// While a transaction is open, whoever wants to write waits for its end, its own
// context's, or the pool's longest wait, and readers read.
func TestWritersWait(t *testing.T) {
	t.Parallel()
	hasty, brief, of := newNotes(t, &dbpool.Options{MaxWait: time.Second})
	pool, db, ctx := newNotes(t, &dbpool.Options{MaxWait: 2 * time.Minute})
	for name, write := range writings {
		var busy *dbpool.BusyError
		open, err := brief.Beginx()
		for end := time.Now().Add(10 * time.Minute); errors.As(err, &busy) && time.Now().Before(end); { // a dial may take longer than MaxWait
			open, err = brief.Beginx()
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := write(of, hasty, brief); !errors.As(err, &busy) {
			t.Errorf("%s: got %v, want a BusyError", name, err)
		}
		if err := open.Rollback(); err != nil {
			t.Fatal(err)
		}
		tx, err := db.Beginx()
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		if err := write(short, pool, db); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want its context's end", name, err)
		}
		cancel()
		for _, read := range []string{`SELECT count(*) FROM notes`, `WITH x AS (SELECT 1) SELECT * FROM x`, `PRAGMA user_version`} {
			if err := db.Get(new(int), read); err != nil {
				t.Errorf("%s: %v", read, err)
			}
		}
		done := make(chan error)
		go func() { done <- write(ctx, pool, db) }()
		time.Sleep(time.Millisecond)
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: after the transaction: %v", name, err)
		}
	}
	if st := pool.Stat("sqlite"); st.InUse != 0 {
		t.Errorf("got %+v, want none in use", st)
	}
}

// A turn ends however the work does that had it.
func TestWritersTurnEnds(t *testing.T) {
	t.Parallel()
	pool, db, ctx := newNotes(t, &dbpool.Options{MaxWait: 2 * time.Minute})
	ways := map[string]func(){
		"panic in a transaction": func() {
			defer func() { _ = recover() }()
			_ = pool.Tx(ctx, nil, func(*sqlx.Tx) error { panic("on purpose") })
		},
		"context ends in a transaction": func() {
			c, cancel := context.WithCancel(ctx)
			_, _ = db.BeginTxx(c, nil)
			cancel()
		},
		"left open by hand": func() {
			_ = pool.With(ctx, func(c *sqlx.Conn) error { _, err := c.ExecContext(ctx, `BEGIN IMMEDIATE`); return err })
		},
		"error":          func() { _, _ = db.Exec(`INSERT INTO nothing VALUES (1)`) },
		"error in query": func() { _ = db.Get(new(int), `INSERT INTO nothing VALUES (1) RETURNING 1`) },
		"rows not read": func() {
			if rows, err := db.Query(`INSERT INTO notes (text) VALUES ('a'), ('b') RETURNING id`); err == nil {
				_ = rows.Close() //nolint:sqlclosecheck // on purpose
				_ = rows.Err()
			}
		},
		"context ended before": func() {
			c, cancel := context.WithCancel(ctx)
			cancel()
			_, _ = db.ExecContext(c, `INSERT INTO notes (text) VALUES ('x')`)
		},
	}
	for name, way := range ways {
		way()
		if _, err := db.ExecContext(ctx, `INSERT INTO notes (text) VALUES ('x')`); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

// A transaction that was begun by hand keeps its turn where sessions are kept, too.
func TestWritersTurnWhenSessionsAreKept(t *testing.T) {
	t.Parallel()
	pool, db, ctx := newNotes(t, &dbpool.Options{MaxWait: 200 * time.Millisecond, KeepSessions: true})
	err := pool.With(ctx, func(c *sqlx.Conn) error {
		if _, err := c.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
			return err
		}
		var busy *dbpool.BusyError
		if _, err := db.ExecContext(ctx, `INSERT INTO notes (text) VALUES ('x')`); !errors.As(err, &busy) {
			t.Errorf("got %v, want a BusyError", err)
		}
		_, err := c.ExecContext(ctx, `COMMIT`)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO notes (text) VALUES ('x')`); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// The turn of a statement that returns rows ends with the rows, though its
// connection is held on; that of one that fails ends at once.
func TestWritersTurnEndsWithRows(t *testing.T) {
	t.Parallel()
	pool, db, ctx := newNotes(t, &dbpool.Options{MaxWait: 2 * time.Minute})
	const insert = `INSERT INTO notes (text) VALUES ('x') RETURNING id`
	for name, write := range map[string]func(c *sqlx.Conn) error{
		"rows": func(c *sqlx.Conn) error { return c.GetContext(ctx, new(int), insert) },
		"prepared": func(c *sqlx.Conn) error {
			p, err := c.PreparexContext(ctx, insert)
			if err != nil {
				return err
			}
			defer func() { _ = p.Close() }()
			return p.GetContext(ctx, new(int))
		},
		"error": func(c *sqlx.Conn) error {
			if c.GetContext(ctx, new(int), `INSERT INTO nothing (text) VALUES ('x') RETURNING id`) == nil {
				t.Error("no such table: got no error")
			}
			return nil
		},
	} {
		err := pool.With(ctx, func(c *sqlx.Conn) error {
			if err := write(c); err != nil {
				return err
			}
			_, err := db.ExecContext(ctx, `INSERT INTO notes (text) VALUES ('y')`)
			return err
		})
		if err != nil {
			t.Errorf("%s: got %v, want another to write", name, err)
		}
	}
	// The types of the columns show through.
	rows, err := db.QueryxContext(ctx, insert)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	types, err := rows.ColumnTypes()
	if err != nil || len(types) != 1 || types[0].DatabaseTypeName() != "INTEGER" {
		t.Errorf("got %v, %v, want an INTEGER", types, err)
	}
}
