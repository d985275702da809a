package sqlkit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
)

// trackConnector connects to the database of a [Track] on connections of its handle.
type trackConnector struct{ t *Track }

func (c *trackConnector) Driver() driver.Driver { return c.t.DB.Driver() }

func (c *trackConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.t.DB.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &trackConn{t: c.t, conn: conn}, nil
}

// trackConn is a connection of a handle, as a driver's.
type trackConn struct {
	t    *Track
	conn *sql.Conn
	tx   *sql.Tx // nil: none has begun
}

var (
	_ driver.ExecerContext     = (*trackConn)(nil)
	_ driver.QueryerContext    = (*trackConn)(nil)
	_ driver.ConnBeginTx       = (*trackConn)(nil)
	_ driver.NamedValueChecker = (*trackConn)(nil)
)

func (c *trackConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext is for migrations in Go.
func (c *trackConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	prepare := c.conn.PrepareContext
	if c.tx != nil {
		prepare = c.tx.PrepareContext
	}
	stmt, err := prepare(ctx, query) //nolint:sqlclosecheck // the driver's statement closes it
	if err != nil {
		return nil, err
	}
	return &trackStmt{stmt}, nil
}

// trackStmt is a statement of a handle, as a driver's.
type trackStmt struct{ stmt *sql.Stmt }

var errNoContext = errors.New("a statement without a context")

func (s *trackStmt) Close() error                               { return s.stmt.Close() }
func (s *trackStmt) NumInput() int                              { return -1 }
func (s *trackStmt) Exec([]driver.Value) (driver.Result, error) { return nil, errNoContext }
func (s *trackStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, errNoContext }

func (s *trackStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.stmt.ExecContext(ctx, plain(args)...)
}

func (s *trackStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return rowsOf(s.stmt.QueryContext(ctx, plain(args)...))
}

func (c *trackConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}
func (c *trackConn) Close() error                             { return c.conn.Close() }
func (c *trackConn) CheckNamedValue(*driver.NamedValue) error { return nil } // the handle checks

func (c *trackConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.IsolationLevel(opts.Isolation), ReadOnly: opts.ReadOnly})
	if err != nil {
		return nil, err
	}
	c.tx = tx
	return &trackTx{c}, nil
}

// trackTx ends the transaction of a connection.
type trackTx struct{ c *trackConn }

func (x *trackTx) Commit() error {
	tx := x.c.tx
	x.c.tx = nil
	return tx.Commit()
}

func (x *trackTx) Rollback() error {
	tx := x.c.tx
	x.c.tx = nil
	if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) { // the end of its context rolls back, too
		return err
	}
	return nil
}

func (c *trackConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	exec := c.conn.ExecContext
	if c.tx != nil {
		exec = c.tx.ExecContext
	}
	res, err := c.t.send(ctx, exec, query, plain(args))
	if err != nil {
		return nil, err
	}
	if res == nil {
		return driver.ResultNoRows, nil
	}
	return res, nil
}

func (c *trackConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	ask := c.conn.QueryContext
	if c.tx != nil {
		ask = c.tx.QueryContext
	}
	return rowsOf(ask(ctx, query, plain(args)...))
}

func rowsOf(rows *sql.Rows, err error) (driver.Rows, error) {
	if err != nil {
		return nil, err
	}
	columns, err := rows.Columns()
	if err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	return &trackRows{rows, columns}, nil
}

func plain(args []driver.NamedValue) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a.Value
	}
	return out
}

// trackRows are rows of a handle, as a driver's.
type trackRows struct {
	rows    *sql.Rows
	columns []string
}

func (r *trackRows) Columns() []string { return r.columns }
func (r *trackRows) Close() error      { return r.rows.Close() }

func (r *trackRows) Next(dest []driver.Value) error {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	into := make([]any, len(dest))
	for i := range dest {
		into[i] = (*any)(&dest[i])
	}
	return r.rows.Scan(into...)
}
