package postgres

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// connector opens connections of this package. It gives the missing database its
// sentinel.
type connector struct {
	sqldriver.Connector
	readOnly bool
}

func (e *Engine) newConnector(config *pgx.ConnConfig) *connector {
	// The pool checks idle connections, within a time.
	never := func(context.Context, stdlib.ShouldPingParams) bool { return false }
	opts := []stdlib.OptionOpenDB{stdlib.OptionShouldPing(never)}
	if e.before != nil {
		opts = append(opts, stdlib.OptionBeforeConnect(e.before))
	}
	return &connector{stdlib.GetConnector(*config, opts...), config.RuntimeParams[readOnlySetting] == "on"}
}

// Connect implements [sqldriver.Connector].
func (c *connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if sqlkit.IsNoDatabase(err) {
		return nil, fmt.Errorf("%w: %w", tenancy.ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	std, ok := inner.(*stdlib.Conn)
	if !ok {
		return nil, errNotPgx(inner)
	}
	return &conn{Conn: std, line: lineOf(std.Conn().PgConn().Conn()), readOnly: c.readOnly}, nil
}

// conn is a connection of pgx for database/sql, which does what pgx leaves to
// its users.
type conn struct {
	*stdlib.Conn
	line *sqlkit.Line // nil if it is not known
	// readOnly connections refuse writes on purpose.
	readOnly bool
}

// Unwrap returns the connection of pgx for database/sql.
func (c *conn) Unwrap() sqldriver.Conn { return c.Conn }

// Ping asks the server for a sign of life. A connection that gives none before the
// context ends is closed at once.
func (c *conn) Ping(ctx context.Context) error {
	pgx := c.Conn.Conn()
	if pgx.IsClosed() {
		return sqldriver.ErrBadConn
	}
	within, stop := deadline(ctx, pgx.PgConn().Conn())
	err := pgx.Ping(within)
	if stop() && err != nil && c.line != nil {
		c.line.Abandon()
	}
	if err != nil {
		_ = c.Close()
		return sqlkit.Ended(ctx, err)
	}
	return nil
}

// deadline ends what is read from a network connection when the context ends, in
// place of pgx, which would ask the server to cancel something, and wait for it.
// stop reports whether the context had ended.
func deadline(ctx context.Context, conn net.Conn) (within context.Context, stop func() bool) {
	done := make(chan struct{})
	unless := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	return context.WithoutCancel(ctx), func() bool {
		if unless() {
			return false
		}
		<-done
		_ = conn.SetDeadline(time.Time{})
		return true
	}
}

// ExecContext implements [sqldriver.ExecerContext]. A statement that the server
// refuses to execute, because its plan has been made for other columns, is
// prepared anew.
func (c *conn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	res, err := c.Conn.ExecContext(ctx, query, args)
	if c.mayRenew(err) {
		return c.Conn.ExecContext(ctx, query, args)
	}
	return res, err
}

// QueryContext implements [sqldriver.QueryerContext], as ExecContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	rows, err := c.Conn.QueryContext(ctx, query, args)
	if c.mayRenew(err) {
		return c.Conn.QueryContext(ctx, query, args)
	}
	return rows, err
}

// mayRenew reports whether a plan is stale, which pgx then forgets, and no
// transaction has failed with it.
func (c *conn) mayRenew(err error) bool {
	return isStale(err) && !c.Conn.Conn().IsClosed() && c.Conn.Conn().PgConn().TxStatus() == 'I'
}

// rollbackTimeout bounds a rollback, which happens in nobody's context: that of
// the transaction may have ended.
const rollbackTimeout = 5 * time.Second

// BeginTx implements [sqldriver.ConnBeginTx].
func (c *conn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	inner, err := c.Conn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &tx{inner, c.Conn}, nil
}

// tx is a transaction that can be rolled back when its context has ended.
type tx struct {
	sqldriver.Tx
	conn *stdlib.Conn
}

// Rollback implements [sqldriver.Tx]. The connection is closed if it fails.
func (t *tx) Rollback() error {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	_, err := t.conn.Conn().PgConn().Exec(ctx, `ROLLBACK`).ReadAll()
	if err != nil {
		_ = t.conn.Close()
	}
	return err
}

// lineOf returns the line below a network connection.
func lineOf(c net.Conn) *sqlkit.Line {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = over.NetConn()
	}
	line, _ := c.(*sqlkit.Line)
	return line
}

// pgxConn returns the connection of pgx below one of database/sql.
func pgxConn(c sqldriver.Conn) (*pgx.Conn, error) {
	if own, ok := c.(*conn); ok {
		return own.Conn.Conn(), nil
	}
	if std, ok := c.(*stdlib.Conn); ok {
		return std.Conn(), nil
	}
	return nil, errNotPgx(c)
}

func errNotPgx(c sqldriver.Conn) error {
	return fmt.Errorf("%w: %T is not a connection of pgx", tenancy.ErrInvalid, c)
}

// Sent returns how often the connection has written to the network.
func (e *Engine) Sent(c sqldriver.Conn) int64 {
	if own, ok := c.(*conn); ok && own.line != nil {
		return own.line.Writes()
	}
	return -1
}

// reset is DISCARD ALL but for the prepared statements, which pgx keeps count of
// itself, and plans, which hold no state.
// Source: https://www.postgresql.org/docs/current/sql-discard.html
const reset = `CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *;
	SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES`

// Clean cleans a session: settings, role, temporary tables, cursors, locks,
// sequences, prepared statements, notifications that nobody has fetched. An open
// transaction is an error. Types that were registered with pgx stay, as does its
// CustomData.
func (e *Engine) Clean(ctx context.Context, conn sqldriver.Conn) error {
	c, err := pgxConn(conn)
	if err != nil {
		return err
	}
	pg := c.PgConn()
	if pg.IsClosed() || pg.TxStatus() != 'I' {
		return errors.New("the session is in a transaction, or closed")
	}
	if err := c.DeallocateAll(ctx); err != nil {
		return err
	}
	if _, err = pg.Exec(ctx, reset).ReadAll(); err != nil {
		return err
	}
	// pgx has kept what came for the session's user. In a context that has ended
	// it asks nobody for more.
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for err == nil {
		_, err = c.WaitForNotification(ended)
	}
	return nil
}

// Closed is closed when the connection has ended, which pgx leaves to a goroutine
// where a query was broken off.
func (e *Engine) Closed(conn sqldriver.Conn) <-chan struct{} {
	if c, err := pgxConn(conn); err == nil {
		return c.PgConn().CleanupDone()
	}
	return nil
}
