//go:build unix

package dbpool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// fill opens n connections of a tenant at a time, and runs fn on each.
func fill(ctx context.Context, t *testing.T, pool *dbpool.Pool, n int, fn func(c *sqlx.Conn) error) {
	t.Helper()
	var all, done sync.WaitGroup
	all.Add(n)
	for range n {
		done.Go(func() {
			err := pool.With(ctx, func(c *sqlx.Conn) error {
				defer func() {
					all.Done()
					all.Wait()
				}()
				return fn(c)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
}

// Whoever waits for a server that neither answers nor hangs up waits no longer
// than the context lasts, whatever is being done.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *tenancytest.Server) {
		many := map[string]string{
			"postgres": `SELECT i, repeat('x', 1000) FROM generate_series(1, 100000) i`,
			"mysql":    `SELECT seq, REPEAT('x', 1000) FROM seq_1_to_100000`,
		}[s.Name]
		type moment func(ctx context.Context, c *sqlx.Conn, silence func()) error
		for what, do := range map[string]moment{
			"Exec": func(ctx context.Context, c *sqlx.Conn, silence func()) error {
				silence()
				_, err := c.ExecContext(ctx, `SELECT 1`)
				return err
			},
			"Query": func(ctx context.Context, c *sqlx.Conn, silence func()) error {
				silence()
				return c.GetContext(ctx, new(int), `SELECT 1`)
			},
			"rows": func(ctx context.Context, c *sqlx.Conn, silence func()) error {
				rows, err := c.QueryContext(ctx, many)
				if err != nil {
					return err
				}
				silence()
				return scanAll(rows, nil)
			},
			"closing rows": func(ctx context.Context, c *sqlx.Conn, silence func()) (err error) {
				rows, err := c.QueryContext(ctx, many)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(rows.Close(), rows.Err(), ctx.Err()) }()
				silence()
				return nil
			},
			"Prepare": func(ctx context.Context, c *sqlx.Conn, silence func()) error {
				silence()
				return prepare(ctx, c, `SELECT 1`)
			},
			"prepared": func(ctx context.Context, c *sqlx.Conn, silence func()) error {
				st, err := c.PreparexContext(ctx, `SELECT 1`)
				if err != nil {
					return err
				}
				defer func() { _ = st.Close() }()
				silence()
				return st.GetContext(ctx, new(int))
			},
			"Ping": func(ctx context.Context, c *sqlx.Conn, silence func()) error { silence(); return c.PingContext(ctx) },
			"Begin": func(ctx context.Context, c *sqlx.Conn, silence func()) error {
				silence()
				_, err := c.BeginTxx(ctx, nil)
				return err
			},
			"Commit": func(ctx context.Context, c *sqlx.Conn, silence func()) error {
				tx, err := c.BeginTxx(ctx, nil)
				if err != nil {
					return err
				}
				silence()
				return tx.Commit()
			},
			"Rollback": func(ctx context.Context, c *sqlx.Conn, silence func()) error {
				tx, err := c.BeginTxx(ctx, nil)
				if err != nil {
					return err
				}
				silence()
				return errors.Join(tx.Rollback(), ctx.Err())
			},
			"between statements of a transaction": func(ctx context.Context, c *sqlx.Conn, silence func()) error {
				if _, err := c.BeginTxx(ctx, nil); err != nil {
					return err
				}
				silence()
				<-ctx.Done()
				return ctx.Err()
			},
		} {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				tenant := s.Tenant(t, "acme")
				pool, proxy := throughProxy(t, s, nil)
				ctx, cancel := context.WithCancel(tenancy.NewContext(t.Context(), tenant))
				defer cancel()
				ended := make(chan error, 1)
				go func() {
					ended <- pool.With(ctx, func(c *sqlx.Conn) error {
						return do(ctx, c, func() {
							proxy.InjectOpen(testserver.Fault{Silent: true})
							time.AfterFunc(20*time.Millisecond, cancel)
						})
					})
				}()
				select {
				case err := <-ended:
					if !errors.Is(err, context.Canceled) && !errors.Is(err, tenancy.ErrUnavailable) {
						t.Errorf("got %v, want context.Canceled or ErrUnavailable", err)
					}
				case <-time.After(2 * time.Minute):
					t.Error("still waits")
				}
				// Another connection serves the tenant.
				if err := pool.With(tenancy.NewContext(t.Context(), tenant), func(c *sqlx.Conn) error { return c.PingContext(t.Context()) }); err != nil {
					t.Errorf("afterwards: %v", err)
				}
				testserver.Await(t, "back", func() bool { return pool.Stat(s.Name).InUse == 0 })
				proxy.CutAll() // nobody waits for them when the pool is closed
			})
		}
	})
}

// A statement that is cancelled at whatever moment does not wait for a server that
// works on it for long.
func TestCancelledAtAnyMoment(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, &dbpool.Options{MaxConns: 4})
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		long := map[string]string{"postgres": `SELECT pg_sleep(1000)`, "mysql": `SELECT SLEEP(1000)`}[s.Name]
		for i := range 60 {
			ctx, cancel := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- db.GetContext(ctx, new(string), long) }()
			time.AfterFunc(time.Duration(i)*50*time.Microsecond, cancel)
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want context.Canceled", err)
				}
			case <-time.After(2 * time.Minute):
				t.Fatal("still waits")
			}
		}
	})
}

// Connections that died while they were idle, without a sign, fail no request: each
// goes on to another connection, and they all end.
func TestIdleConnectionsDie(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *tenancytest.Server) {
		const n = 8
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		pool, proxy := throughProxy(t, s, &dbpool.Options{MaxConns: n, MaxWait: time.Minute})
		fill(ctx, t, pool, n, func(c *sqlx.Conn) error { return c.PingContext(ctx) })
		if st := pool.Stat(s.Name); st.Idle != n {
			t.Fatalf("got %+v, want %d idle connections", st, n)
		}
		time.Sleep(dbpool.RestTime) // they are idle for so long that they are checked
		proxy.InjectOpen(testserver.Fault{Silent: true})
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			within, cancel := context.WithTimeout(ctx, 2*time.Minute)
			if err := db.GetContext(within, new(int), `SELECT 1`); err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
			cancel()
		}
		testserver.Await(t, "rid of the dead connections", func() bool {
			st := pool.Stat(s.Name)
			return st.InUse == 0 && st.Conns == st.Idle && st.Conns < n
		})
		if st := pool.Stat(s.Name); st.Dials >= 2*n {
			t.Errorf("got %+v, want fewer new connections than requests", st)
		}
	})
}

// A connection that was idle for long and is alive is kept, also if its sign of life comes
// later than a request waits for it. A sign that the machine delays by more than the check
// allows is none, so one that comes is looked for.
func TestIdleConnectionsLive(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *tenancytest.Server) {
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		pool, proxy := throughProxy(t, s, nil)
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		ask := func() dbpool.Stat {
			if err := db.GetContext(ctx, new(int), `SELECT 1`); err != nil {
				t.Fatal(err)
			}
			proxy.InjectOpen(testserver.Fault{})
			testserver.Await(t, "idle", func() bool { st := pool.Stat(s.Name); return st.Conns == st.Idle })
			return pool.Stat(s.Name)
		}
		for what, delay := range map[string]time.Duration{"at once": 0, "late": 300 * time.Millisecond} {
			testserver.Await(t, "kept a connection that answers "+what, func() bool {
				before := ask()
				time.Sleep(dbpool.RestTime) // it is idle for so long that it is checked
				proxy.InjectOpen(testserver.Fault{Delayed: delay})
				after := ask()
				dialled := after.Dials - before.Dials // for the request that did not wait for the answer
				return after.Conns-before.Conns == int(dialled) && (dialled > 0) == (delay > 0)
			})
		}
	})
}

// Transactions whose context ends cost no connection.
func TestTxContextEnds(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, &dbpool.Options{MaxConns: 1})
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExecContext(ctx, `CREATE TABLE notes (id INT)`)
		for range 20 {
			ctx, cancel := context.WithCancel(ctx)
			tx, err := db.BeginTxx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO notes (id) VALUES (1)`); err != nil {
				t.Fatal(err)
			}
			cancel()
			if err := tx.Commit(); err == nil {
				t.Error("committed after its context had ended")
			}
			testserver.Await(t, "back", func() bool { return pool.Stat(s.Name).InUse == 0 })
		}
		var n int
		if err := db.GetContext(ctx, &n, `SELECT COUNT(*) FROM notes`); err != nil || n != 0 {
			t.Errorf("got %d rows, %v, want none", n, err)
		}
		if st := pool.Stat(s.Name); st.Dials != 1 {
			t.Errorf("got %d dials, want the one connection kept", st.Dials)
		}
	})
}

// A change of the schema on one connection fails no statement that another has planned, and
// the statement sees the change.
func TestPlansBeforeMigration(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		const n = 3
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		pool := s.Pool(t, &dbpool.Options{MaxConns: n})
		elsewhere, err := s.Pool(t, nil).DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		elsewhere.MustExecContext(ctx, `CREATE TABLE notes (id INT)`)
		query := elsewhere.Rebind(`SELECT * FROM notes WHERE id = ?`)
		columns := 1
		seen := func(rows *sql.Rows, err error) error {
			if err != nil {
				return err
			}
			defer func() { _ = rows.Close() }()
			got, err := rows.Columns()
			if err == nil && len(got) != columns {
				err = fmt.Errorf("got columns %q, want %d", got, columns)
			}
			for rows.Next() {
			}
			return errors.Join(err, rows.Err())
		}
		run := func(q sqlx.QueryerContext) error { return seen(q.QueryContext(ctx, query, 1)) } //nolint:rowserrcheck,sqlclosecheck // seen does
		plan := func(c *sqlx.Conn) error { return errors.Join(run(c), run(c)) }
		begin := func(c *sqlx.Conn) error {
			tx, err := c.BeginTxx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }()
			return run(tx)
		}
		add := func() {
			elsewhere.MustExecContext(ctx, fmt.Sprintf(`ALTER TABLE notes ADD COLUMN c%d INT`, columns))
			columns++
		}
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		prepared, err := db.PreparexContext(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = prepared.Close() }()
		fill(ctx, t, pool, n, plan)
		add()
		fill(ctx, t, pool, n, func(c *sqlx.Conn) error { return run(c) })
		for what, use := range map[string]func() error{
			"DB":       func() error { return run(db) },
			"prepared": func() error { return seen(prepared.QueryContext(ctx, 1)) }, //nolint:rowserrcheck,sqlclosecheck // seen does
		} {
			fill(ctx, t, pool, n, plan)
			add()
			for range n {
				if err := use(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		}
		// Where it cannot be repeated it is a failure of the service, and one only: then all
		// connections are made anew.
		for what, use := range map[string]func(c *sqlx.Conn) error{
			"in a transaction": func(c *sqlx.Conn) error { add(); return begin(c) },
			"prepared on one": func(c *sqlx.Conn) error {
				st, err := c.PreparexContext(ctx, query)
				if err != nil {
					return err
				}
				defer func() { _ = st.Close() }()
				if err := seen(st.QueryContext(ctx, 1)); err != nil { //nolint:rowserrcheck,sqlclosecheck // seen does
					t.Error(err)
				}
				add()
				return seen(st.QueryContext(ctx, 1)) //nolint:rowserrcheck,sqlclosecheck // seen does
			},
		} {
			fill(ctx, t, pool, n, plan)
			if err := pool.With(ctx, use); err != nil && !errors.Is(err, tenancy.ErrUnavailable) {
				t.Errorf("%s: got %v, want ErrUnavailable", what, err)
			}
			fill(ctx, t, pool, n, begin)
		}
	})
}
