//go:build unix

package dbpool_test

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// networks are the engines that reach a server over a network.
var networks = []string{"postgres", "mysql"}

// eachNetwork runs fn for each of them, as [tenancytest.EachEngine] does.
func eachNetwork(t *testing.T, fn func(t *testing.T, s *tenancytest.Server)) {
	t.Helper()
	for _, name := range networks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, tenancytest.NewServer(t, name))
		})
	}
}

// throughProxy returns a pool that reaches a server through a proxy.
func throughProxy(t *testing.T, s *tenancytest.Server, opts *dbpool.Options) (*dbpool.Pool, *testserver.Proxy) {
	t.Helper()
	engine, proxy := proxied(t, s, "")
	pool, err := dbpool.New(map[string]driver.Engine{s.Name: engine}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool, proxy
}

// proxied returns an engine that reaches a server through a proxy. The query goes
// to the DSN.
func proxied(t *testing.T, s *tenancytest.Server, query string) (driver.Engine, *testserver.Proxy) {
	t.Helper()
	dsn, err := url.Parse(s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := testserver.StartProxy(dsn.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	dsn.Host = proxy.Addr
	values := dsn.Query()
	more, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	for name := range more {
		values.Set(name, more.Get(name))
	}
	dsn.RawQuery = values.Encode()
	var engine driver.Engine
	if s.Name == "postgres" {
		engine, err = postgres.New(dsn.String(), nil)
	} else {
		engine, err = mysql.New(dsn.String(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return engine, proxy
}

// A write whose answer is lost may have been executed. It fails and is not
// repeated, however it was sent.
func TestLostWriteRunsOnce(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *tenancytest.Server) {
		const plain = `INSERT INTO notes (text) VALUES ('x')`
		with := map[string]string{"postgres": `INSERT INTO notes (text) VALUES ($1)`, "mysql": `INSERT INTO notes (text) VALUES (?)`}[s.Name]
		const returning = plain + ` RETURNING text`
		// What comes before the execution of a statement with arguments: its preparation, which
		// pgx remembers and MySQL's driver does not.
		first, again := 1, map[string]int{"postgres": 0, "mysql": 1}[s.Name]
		for what, way := range map[string]struct {
			rows int // that the lost statement leaves
			run  func(ctx context.Context, pool *dbpool.Pool, db *sqlx.DB, loseAfter func(answers int)) error
		}{
			"plain": {1, func(ctx context.Context, _ *dbpool.Pool, db *sqlx.DB, loseAfter func(int)) error {
				loseAfter(0)
				_, err := db.ExecContext(ctx, plain)
				return err
			}},
			"with arguments": {1, func(ctx context.Context, _ *dbpool.Pool, db *sqlx.DB, loseAfter func(int)) error {
				loseAfter(first)
				_, err := db.ExecContext(ctx, with, "x")
				return err
			}},
			"with arguments, for the second time": {1, func(ctx context.Context, _ *dbpool.Pool, db *sqlx.DB, loseAfter func(int)) error {
				_, _ = db.ExecContext(ctx, with, "before")
				loseAfter(again)
				_, err := db.ExecContext(ctx, with, "x")
				return err
			}},
			"prepared": {1, func(ctx context.Context, pool *dbpool.Pool, _ *sqlx.DB, loseAfter func(int)) error {
				return pool.With(ctx, func(c *sqlx.Conn) error {
					st, err := c.PreparexContext(ctx, with)
					if err != nil {
						return err
					}
					defer func() { _ = st.Close() }()
					loseAfter(0)
					_, err = st.ExecContext(ctx, "x")
					return err
				})
			}},
			"prepared for all connections": {1, func(ctx context.Context, _ *dbpool.Pool, db *sqlx.DB, loseAfter func(int)) error {
				st, err := db.PreparexContext(ctx, with)
				if err != nil {
					return err
				}
				defer func() { _ = st.Close() }()
				loseAfter(first) // the statement is prepared again for each use
				_, err = st.ExecContext(ctx, "x")
				return err
			}},
			"as a query": {1, func(ctx context.Context, _ *dbpool.Pool, db *sqlx.DB, loseAfter func(int)) error {
				loseAfter(map[string]int{"postgres": first}[s.Name])
				return db.GetContext(ctx, new(string), returning)
			}},
			"as a prepared query": {1, func(ctx context.Context, pool *dbpool.Pool, _ *sqlx.DB, loseAfter func(int)) error {
				return pool.With(ctx, func(c *sqlx.Conn) error {
					st, err := c.PreparexContext(ctx, returning)
					if err != nil {
						return err
					}
					defer func() { _ = st.Close() }()
					loseAfter(0)
					return st.GetContext(ctx, new(string))
				})
			}},
			"as a query that is prepared for all connections": {1, func(ctx context.Context, _ *dbpool.Pool, db *sqlx.DB, loseAfter func(int)) error {
				st, err := db.PreparexContext(ctx, returning)
				if err != nil {
					return err
				}
				defer func() { _ = st.Close() }()
				loseAfter(first) // the statement is prepared again for each use
				return st.GetContext(ctx, new(string))
			}},
			"in With": {1, func(ctx context.Context, pool *dbpool.Pool, _ *sqlx.DB, loseAfter func(int)) error {
				return pool.With(ctx, func(c *sqlx.Conn) error {
					loseAfter(0)
					_, err := c.ExecContext(ctx, plain)
					return err
				})
			}},
			"in a transaction": {0, func(ctx context.Context, pool *dbpool.Pool, _ *sqlx.DB, loseAfter func(int)) error {
				return pool.Tx(ctx, nil, func(tx *sqlx.Tx) error {
					loseAfter(0)
					_, err := tx.ExecContext(ctx, plain)
					return err
				})
			}},
			"at the commit": {1, func(ctx context.Context, pool *dbpool.Pool, _ *sqlx.DB, loseAfter func(int)) error {
				return pool.Tx(ctx, nil, func(tx *sqlx.Tx) error {
					_, err := tx.ExecContext(ctx, plain)
					loseAfter(0)
					return err
				})
			}},
		} {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
				pool, proxy := throughProxy(t, s, nil)
				straight, err := s.Pool(t, nil).DB(ctx)
				if err != nil {
					t.Fatal(err)
				}
				straight.MustExecContext(ctx, `CREATE TABLE notes (text VARCHAR(63))`)
				db, err := pool.DB(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 { // so that there is a connection, and the driver does not check it
					if err := db.GetContext(ctx, new(int), `SELECT 1`); err != nil {
						t.Fatal(err)
					}
				}
				err = way.run(ctx, pool, db, func(answers int) { proxy.InjectOpen(testserver.Fault{Cut: true, After: answers}) })
				if !errors.Is(err, tenancy.ErrUnavailable) || errors.Is(err, sqldriver.ErrBadConn) {
					t.Errorf("got %v, want ErrUnavailable alone", err)
				}
				var n int
				if err := straight.GetContext(ctx, &n, `SELECT COUNT(*) FROM notes WHERE text = 'x'`); err != nil || n != way.rows {
					t.Errorf("got %d rows, %v, want %d", n, err, way.rows)
				}
			})
		}
	})
}

// A driver that calls a connection bad after it has executed a statement is not
// asked to execute it again, whether or not the engine knows what was sent.
func TestBadConnAfterTheWrite(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		engine := &badAfter{Engine: s.Engine}
		pool, err := dbpool.New(map[string]driver.Engine{s.Name: engine}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pool.Close() })
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExecContext(ctx, `CREATE TABLE notes (text VARCHAR(63))`)
		engine.bad.Store(true)
		for what, run := range map[string]func() error{
			"DB": func() error { _, err := db.ExecContext(ctx, `INSERT INTO notes (text) VALUES ('DB')`); return err },
			"With": func() error {
				return pool.With(ctx, func(c *sqlx.Conn) error {
					_, err := c.ExecContext(ctx, `INSERT INTO notes (text) VALUES ('With')`)
					return err
				})
			},
			"Tx": func() error {
				return pool.Tx(ctx, nil, func(tx *sqlx.Tx) error {
					_, err := tx.ExecContext(ctx, `INSERT INTO notes (text) VALUES ('Tx')`)
					return err
				})
			},
			"prepared": func() error {
				st, err := db.PreparexContext(ctx, db.Rebind(`INSERT INTO notes (text) VALUES (?)`))
				if err != nil {
					return err
				}
				defer func() { _ = st.Close() }()
				_, err = st.ExecContext(ctx, "prepared")
				return err
			},
			"prepared query": func() error {
				st, err := db.PreparexContext(ctx, db.Rebind(`INSERT INTO notes (text) VALUES (?) RETURNING text`))
				if err != nil {
					return err
				}
				defer func() { _ = st.Close() }()
				return st.GetContext(ctx, new(string), "prepared query")
			},
		} {
			if err := run(); !errors.Is(err, tenancy.ErrUnavailable) || errors.Is(err, sqldriver.ErrBadConn) {
				t.Errorf("%s: got %v, want ErrUnavailable alone", what, err)
			}
		}
		var got []string
		err = db.SelectContext(ctx, &got, `SELECT text FROM notes`)
		slices.Sort(got)
		if err != nil || strings.Join(got, ", ") != "DB, With, prepared, prepared query" {
			t.Errorf("got rows %q, %v, want one of each way, and none of Tx", got, err)
		}
	})
}

// badAfter is an engine whose connections call themselves bad after what they
// have executed.
type badAfter struct {
	driver.Engine
	bad atomic.Bool
}

func (e *badAfter) Connector(database string) (sqldriver.Connector, error) {
	c, err := e.Engine.Connector(database)
	return badConnector{c, e}, err
}

func (e *badAfter) Identify(ctx context.Context, conn sqldriver.Conn) (driver.Identity, error) {
	return e.Engine.Identify(ctx, conn.(*badConn).Conn)
}

type badConnector struct {
	sqldriver.Connector
	engine *badAfter
}

func (c badConnector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &badConn{conn, c.engine}, nil
}

type badConn struct {
	sqldriver.Conn
	engine *badAfter
}

func (c *badConn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	res, err := c.Conn.(sqldriver.ExecerContext).ExecContext(ctx, query, args)
	if err == nil && c.engine.bad.Load() {
		return nil, sqldriver.ErrBadConn
	}
	return res, err
}

func (c *badConn) QueryContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return c.Conn.(sqldriver.QueryerContext).QueryContext(ctx, query, args)
}

func (c *badConn) PrepareContext(ctx context.Context, query string) (sqldriver.Stmt, error) {
	st, err := c.Conn.(sqldriver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &badStmt{st, c.engine}, nil
}

// badStmt is a prepared statement of a badConn.
type badStmt struct {
	sqldriver.Stmt
	engine *badAfter
}

func (s *badStmt) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	res, err := s.Stmt.(sqldriver.StmtExecContext).ExecContext(ctx, args)
	if err == nil && s.engine.bad.Load() {
		return nil, sqldriver.ErrBadConn
	}
	return res, err
}

func (s *badStmt) QueryContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	rows, err := s.Stmt.(sqldriver.StmtQueryContext).QueryContext(ctx, args)
	if err == nil && s.engine.bad.Load() {
		for values := make([]sqldriver.Value, len(rows.Columns())); rows.Next(values) == nil; { // or SQLite inserts nothing
		}
		_ = rows.Close()
		return nil, sqldriver.ErrBadConn
	}
	return rows, err
}

func (c *badConn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	return c.Conn.(sqldriver.ConnBeginTx).BeginTx(ctx, opts)
}

// A connection that the server ends while it is used is a failure of the service
// and none of the statement, wherever it is noticed.
func TestEndedInTheMiddle(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		ctx := tenancy.NewContext(t.Context(), tenant)
		pool := s.Pool(t, nil)
		admin := s.Pool(t, nil)
		other, err := admin.DB(tenancy.NewContext(ctx, s.Tenant(t, "globex")))
		if err != nil {
			t.Fatal(err)
		}
		me := map[string]string{"postgres": `SELECT pg_backend_pid()`, "mysql": `SELECT CONNECTION_ID()`}[s.Name]
		end := map[string]string{"postgres": `SELECT pg_terminate_backend(%d)`, "mysql": `KILL %d`}[s.Name]
		many := map[string]string{
			"postgres": `SELECT i, repeat('x', 1000) FROM generate_series(1, 1000000) i`,
			"mysql":    `SELECT seq, REPEAT('x', 1000) FROM seq_1_to_1000000`,
		}[s.Name]
		long := slow[other.DriverName()]
		kill := func(q sqlx.QueryerContext) {
			var id int64
			if err := sqlx.GetContext(ctx, q, &id, me); err != nil {
				t.Error(err)
			}
			other.MustExecContext(t.Context(), fmt.Sprintf(end, id))
		}
		// later ends the session while it sleeps.
		later := func(q sqlx.QueryerContext) {
			var id int64
			if err := sqlx.GetContext(ctx, q, &id, me); err != nil {
				t.Error(err)
			}
			running := map[string]string{
				"postgres": `SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND state = 'active' AND query LIKE '%%sleep%%'`,
				"mysql":    `SELECT COUNT(*) FROM information_schema.processlist WHERE id = %d AND info LIKE '%%SLEEP%%'`,
			}[s.Name]
			go func() {
				for n := 0; n == 0 && ctx.Err() == nil; {
					if err := other.GetContext(t.Context(), &n, fmt.Sprintf(running, id)); err != nil {
						return
					}
				}
				_, _ = other.ExecContext(t.Context(), fmt.Sprintf(end, id))
			}()
		}
		for what, run := range map[string]func(c *sqlx.Conn) error{
			"Exec":                 func(c *sqlx.Conn) error { kill(c); _, err := c.ExecContext(ctx, `SELECT 1`); return err },
			"Query":                func(c *sqlx.Conn) error { kill(c); return c.GetContext(ctx, new(int), `SELECT 1`) },
			"Exec, while it runs":  func(c *sqlx.Conn) error { later(c); _, err := c.ExecContext(ctx, long); return err },
			"Query, while it runs": func(c *sqlx.Conn) error { later(c); return c.GetContext(ctx, new(string), long) },
			"Rows": func(c *sqlx.Conn) error {
				var id int64
				if err := c.GetContext(ctx, &id, me); err != nil {
					t.Error(err)
				}
				rows, err := c.QueryContext(ctx, many)
				if err != nil {
					return err
				}
				other.MustExecContext(t.Context(), fmt.Sprintf(end, id))
				return scanAll(rows, nil)
			},
			"Prepare": func(c *sqlx.Conn) error { kill(c); return prepare(ctx, c, `SELECT 1`) },
			"prepared": func(c *sqlx.Conn) error {
				st, err := c.PreparexContext(ctx, `SELECT 1`)
				if err != nil {
					return err
				}
				defer func() { _ = st.Close() }()
				kill(c)
				return st.GetContext(ctx, new(int))
			},
			"Ping":  func(c *sqlx.Conn) error { kill(c); return c.PingContext(ctx) },
			"Begin": func(c *sqlx.Conn) error { kill(c); _, err := c.BeginTxx(ctx, nil); return err },
			"in a transaction": func(c *sqlx.Conn) error {
				tx, err := c.BeginTxx(ctx, nil)
				if err != nil {
					return err
				}
				defer func() { _ = tx.Rollback() }()
				kill(tx)
				_, err = tx.ExecContext(ctx, `SELECT 1`)
				return err
			},
			"Commit": func(c *sqlx.Conn) error {
				tx, err := c.BeginTxx(ctx, nil)
				if err != nil {
					return err
				}
				kill(tx)
				return tx.Commit()
			},
			"Rollback": func(c *sqlx.Conn) error {
				tx, err := c.BeginTxx(ctx, nil)
				if err != nil {
					return err
				}
				kill(tx)
				return tx.Rollback()
			},
		} {
			if err := pool.With(ctx, run); !errors.Is(err, tenancy.ErrUnavailable) {
				t.Errorf("%s: got %v, want ErrUnavailable", what, err)
			}
		}
		if st := pool.Stat(s.Name); st.InUse != 0 {
			t.Errorf("got %+v, want nothing in use", st)
		}
	})
}

// Nor is a disk that is full a failure of the statement.
func TestFull(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		var fill []string
		switch s.Name {
		case "sqlite":
			fill = []string{
				`CREATE TABLE notes (text TEXT)`, `PRAGMA max_page_count = 1`,
				`INSERT INTO notes (text) VALUES (CAST(zeroblob(1000000) AS TEXT))`,
			}
		case "postgres":
			fill = []string{`DO $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$`}
		case "mysql":
			fill = []string{
				`SET max_heap_table_size = 16384`, `CREATE TEMPORARY TABLE notes (text CHAR(200)) ENGINE = MEMORY`,
				`INSERT INTO notes SELECT 'x' FROM seq_1_to_10000`,
			}
		}
		pool := s.Pool(t, nil)
		err := pool.With(ctx, func(c *sqlx.Conn) error {
			for _, statement := range fill[:len(fill)-1] {
				if _, err := c.ExecContext(ctx, statement); err != nil {
					t.Error(err)
				}
			}
			_, err := c.ExecContext(ctx, fill[len(fill)-1])
			return err
		})
		if !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(ctx, `CREATE TABLE`); err == nil || errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("malformed: got %v, want the statement's own error", err)
		}
	})
}

// Connections whose server says that it executes nothing, such as a primary that
// became a replica, are used twice at most: then the request gets a new one.
func TestLastTryIsNew(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		const n = 5
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		engine := &demotable{Engine: s.Engine}
		pool, err := dbpool.New(map[string]driver.Engine{s.Name: engine}, &dbpool.Options{MaxConns: n})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pool.Close() })
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExecContext(ctx, `CREATE TABLE notes (text VARCHAR(63))`)
		for i := range 2 {
			fill(ctx, t, pool, n, func(c *sqlx.Conn) error { return c.GetContext(ctx, new(int), `SELECT 1`) })
			engine.demote()
			if _, err := db.ExecContext(ctx, `INSERT INTO notes (text) VALUES ('x')`); err != nil {
				t.Errorf("demoted %d times: %v", i+1, err)
			}
		}
		var got int
		if err := db.GetContext(ctx, &got, `SELECT COUNT(*) FROM notes`); err != nil || got != 2 {
			t.Errorf("got %d rows, %v, want 2", got, err)
		}
	})
}

// demotable is an engine whose connections take no writes any more.
type demotable struct {
	driver.Engine
	term atomic.Int64
}

func (e *demotable) demote() { e.term.Add(1) }

// Sent says that a connection which calls itself bad has sent nothing.
func (e *demotable) Sent(sqldriver.Conn) int64 { return 0 }

func (e *demotable) Connector(database string) (sqldriver.Connector, error) {
	c, err := e.Engine.Connector(database)
	return demotableConnector{c, e}, err
}

func (e *demotable) Identify(ctx context.Context, conn sqldriver.Conn) (driver.Identity, error) {
	return e.Engine.Identify(ctx, conn.(*demotableConn).Conn)
}

type demotableConnector struct {
	sqldriver.Connector
	engine *demotable
}

func (c demotableConnector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &demotableConn{badConn{conn, &badAfter{}}, c.engine, c.engine.term.Load()}, nil
}

type demotableConn struct {
	badConn
	engine *demotable
	term   int64
}

func (c *demotableConn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	if c.term != c.engine.term.Load() {
		return nil, sqldriver.ErrBadConn
	}
	return c.badConn.ExecContext(ctx, query, args)
}

// A procedure that fails behind its first statement is not run again, whatever the number
// of the error says.
func TestProceduresAreNotRepeated(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
	engine, _ := proxied(t, s, "rejectReadOnly=true")
	pool, err := dbpool.New(map[string]driver.Engine{s.Name: engine}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	db, err := pool.DB(ctx)
	if err != nil {
		t.Fatal(err)
	}
	db.MustExecContext(ctx, `CREATE TABLE notes (text VARCHAR(63))`)
	want := 0
	for _, number := range []int{1615, 1047, 1290, 1792, 1836} {
		db.MustExecContext(ctx, fmt.Sprintf(`CREATE OR REPLACE PROCEDURE p(note VARCHAR(63)) BEGIN
			INSERT INTO notes (text) VALUES (note); SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = %d; END`, number))
		for how, call := range map[string]func() error{
			"exec":     func() error { _, err := db.ExecContext(ctx, `CALL p('x')`); return err },
			"prepared": func() error { _, err := db.ExecContext(ctx, `CALL p(?)`, "x"); return err },
			"query":    func() error { var n int; return db.GetContext(ctx, &n, `CALL p('x')`) },
		} {
			if err := call(); !errors.Is(err, tenancy.ErrUnavailable) {
				t.Errorf("%d, %s: got %v, want ErrUnavailable", number, how, err)
			}
			want++
			var n int
			if err := db.GetContext(ctx, &n, `SELECT COUNT(*) FROM notes`); err != nil || n != want {
				t.Errorf("%d, %s: got %d rows, %v, want %d", number, how, n, err, want)
				want = n
			}
		}
	}
}

// MariaDB says so by the number of an error, if rejectReadOnly asks for it.
func TestRejectReadOnly(t *testing.T) {
	t.Parallel()
	const n = 4
	s := tenancytest.NewServer(t, "mysql")
	ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
	engine, _ := proxied(t, s, "rejectReadOnly=true")
	pool, err := dbpool.New(map[string]driver.Engine{s.Name: engine}, &dbpool.Options{MaxConns: n, KeepSessions: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	db, err := pool.DB(ctx)
	if err != nil {
		t.Fatal(err)
	}
	db.MustExecContext(ctx, `CREATE TABLE notes (text VARCHAR(63))`)
	fill(ctx, t, pool, n, func(c *sqlx.Conn) error {
		_, err := c.ExecContext(ctx, `SET SESSION TRANSACTION READ ONLY`)
		return err
	})
	if _, err := db.ExecContext(ctx, `INSERT INTO notes (text) VALUES ('x')`); err != nil {
		t.Errorf("got %v, want the write on a new connection", err)
	}
	// A connection that is for reading refuses on purpose.
	reading := tenancy.WithReadOnly(ctx)
	err = pool.Tx(reading, nil, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(reading, `INSERT INTO notes (text) VALUES ('x')`)
		return err
	})
	if err == nil || errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("for reading: got %v, want the server's error", err)
	}
}
