package wire

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// panicConn is a connection whose driver panics in one of its methods, and in that of its statements and rows.
type panicConn struct {
	*fakeConn
	in *atomic.Value // the method's name
}

func (c *panicConn) hit(method string) {
	if c.in.Load() == method {
		panic("on purpose")
	}
}

func (c *panicConn) Close() error {
	c.hit("Close")
	return c.fakeConn.Close()
}

func (c *panicConn) Ping(context.Context) error {
	c.hit("Ping")
	return nil
}

func (c *panicConn) IsValid() bool {
	c.hit("IsValid")
	return true
}

func (c *panicConn) ResetSession(context.Context) error {
	c.hit("ResetSession")
	return nil
}

func (c *panicConn) PrepareContext(context.Context, string) (sqldriver.Stmt, error) {
	c.hit("PrepareContext")
	return &panicStmt{c}, nil
}

type panicStmt struct{ conn *panicConn }

func (s *panicStmt) Close() error {
	s.conn.hit("Stmt.Close")
	return nil
}

func (s *panicStmt) NumInput() int {
	s.conn.hit("NumInput")
	return 0
}

func (s *panicStmt) Exec([]sqldriver.Value) (sqldriver.Result, error) {
	s.conn.hit("Exec")
	return sqldriver.ResultNoRows, nil
}

func (s *panicStmt) Query([]sqldriver.Value) (sqldriver.Rows, error) {
	s.conn.hit("Query")
	return &panicRows{conn: s.conn}, nil
}

type panicRows struct {
	conn *panicConn
	read bool
}

func (r *panicRows) Columns() []string { return []string{"n"} }

func (r *panicRows) Next([]sqldriver.Value) error {
	r.conn.hit("Next")
	if r.read {
		return io.EOF
	}
	r.read = true
	return nil
}

func (r *panicRows) Close() error {
	r.conn.hit("Rows.Close")
	return nil
}

func (r *panicRows) HasNextResultSet() bool { return true }

func (r *panicRows) NextResultSet() error {
	r.conn.hit("NextResultSet")
	return io.EOF
}

// panicConnector dials such connections, and is what database/sql asks for one.
type panicConnector struct {
	fakeConnector
	in *atomic.Value
	db *Database
}

func (c *panicConnector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	inner, err := c.fakeConnector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &panicConn{inner.(*fakeConn), c.in}, nil
}

type usable struct{ *panicConnector }

func (c usable) Connect(ctx context.Context) (sqldriver.Conn, error) {
	for {
		conn, _, err := c.db.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		if good, _ := conn.Usable(ctx); good {
			return conn, nil
		}
	}
}

// A driver that panics, wherever that is, costs nobody a slot of the budget: the connection is closed, and
// the next request gets another.
func TestPanicsOfDriversKeepNoSlot(t *testing.T) {
	t.Parallel()
	query := func(ctx context.Context, db *sql.DB) {
		rows, err := db.QueryContext(ctx, `SELECT 1`)
		if err != nil {
			return
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() { //nolint:revive // only the driver's part counts
		}
		_ = rows.NextResultSet()
		_ = rows.Err()
	}
	for method, use := range map[string]func(context.Context, *sql.DB){
		"Ping":           func(ctx context.Context, db *sql.DB) { _ = db.PingContext(ctx) },
		"PrepareContext": query,
		"NumInput":       query,
		"Exec":           func(ctx context.Context, db *sql.DB) { _, _ = db.ExecContext(ctx, `DELETE FROM notes`) },
		"Query":          query,
		"Next":           query,
		"NextResultSet":  query,
		"Rows.Close":     query,
		"Stmt.Close":     query,
		"IsValid":        query,
		"ResetSession":   query,
		"File": func(ctx context.Context, db *sql.DB) {
			time.Sleep(time.Minute)
			query(ctx, db)
		},
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEngine{}
				b, dbs := newDatabases(t, e, "t0")
				var in atomic.Value
				c := &panicConnector{fakeConnector{e, "t0"}, &in, dbs[0]}
				dbs[0].Connector = c
				if method == "File" {
					dbs[0].files = panicFiles{&in, fileAt(t.TempDir())}
				}
				db := sql.OpenDB(usable{c})
				db.SetMaxIdleConns(-1)
				query(t.Context(), db) // there is a connection, which was used
				in.Store(method)
				func() {
					defer func() { _ = recover() }()
					use(t.Context(), db)
				}()
				in.Store("")
				if err := db.PingContext(t.Context()); err != nil {
					t.Errorf("got %v after a panic, want a connection", err)
				}
				if e.dials < 2 {
					t.Error("got the connection of a driver that panicked, want another")
				}
				b.Close()
				_ = db.Close()
			})
		})
	}
}

type panicFiles struct {
	in *atomic.Value
	fileAt
}

func (f panicFiles) File(name string) (os.FileInfo, error) {
	if f.in.Load() == "File" {
		panic("on purpose")
	}
	return f.fileAt.File(name)
}

// A panic while a connection is closed ends neither the process nor the closing.
func TestPanicWhileClosing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b, dbs := newDatabases(t, e, "t0")
		var in atomic.Value
		in.Store("Close")
		dbs[0].Connector = &panicConnector{fakeConnector{e, "t0"}, &in, dbs[0]}
		c := acquire(t, dbs[0])
		c.bad = true
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := acquire(t, dbs[0]).Close(); err != nil || e.dials != 2 {
			t.Errorf("got %v and %d dials, want another connection", err, e.dials)
		}
		b.Close()
	})
}
