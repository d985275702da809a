package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// connector opens connections of this package. It gives the missing database its
// sentinel.
type connector struct{ driver.Connector }

func (e *Engine) newConnector(config *pgx.ConnConfig) *connector {
	var opts []stdlib.OptionOpenDB
	if e.before != nil {
		opts = append(opts, stdlib.OptionBeforeConnect(e.before))
	}
	return &connector{stdlib.GetConnector(*config, opts...)}
}

// Connect implements [driver.Connector].
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
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
	return &conn{Conn: std, line: lineOf(std.Conn().PgConn().Conn())}, nil
}

// conn is a connection of pgx for database/sql, which does what pgx leaves to
// its users.
type conn struct {
	*stdlib.Conn
	line *sqlkit.Line // nil if it is not known
}

// Unwrap returns the connection of pgx for database/sql.
func (c *conn) Unwrap() driver.Conn { return c.Conn }

// lineOf returns the line below a network connection.
func lineOf(c net.Conn) *sqlkit.Line {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = over.NetConn()
	}
	line, _ := c.(*sqlkit.Line)
	return line
}

// pgxConn returns the connection of pgx below one of database/sql.
func pgxConn(c driver.Conn) (*pgx.Conn, error) {
	if own, ok := c.(*conn); ok {
		return own.Conn.Conn(), nil
	}
	if std, ok := c.(*stdlib.Conn); ok {
		return std.Conn(), nil
	}
	return nil, errNotPgx(c)
}

func errNotPgx(c driver.Conn) error {
	return fmt.Errorf("%w: %T is not a connection of pgx", tenancy.ErrInvalid, c)
}

// Sent returns how often the connection has written to the network.
func (e *Engine) Sent(c driver.Conn) int64 {
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

// Reset cleans a session: settings, role, temporary tables, cursors, locks,
// sequences, prepared statements. An open transaction is an error.
func (e *Engine) Reset(ctx context.Context, conn driver.Conn) error {
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
	_, err = pg.Exec(ctx, reset).ReadAll()
	return err
}

// Ended is closed when the connection has ended, which pgx leaves to a goroutine
// where a query was broken off.
func (e *Engine) Ended(conn driver.Conn) <-chan struct{} {
	if c, err := pgxConn(conn); err == nil {
		return c.PgConn().CleanupDone()
	}
	return nil
}
