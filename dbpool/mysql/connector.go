package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"fmt"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// connector opens connections to a database. It gives the missing database its
// sentinel.
type connector struct {
	driver   sqldriver.Connector
	engine   *Engine
	database string
	readOnly bool
}

// first returns the connector's own statement for a new session, or "".
func (c *connector) first() string {
	if c.readOnly {
		return `SET SESSION TRANSACTION READ ONLY`
	}
	return ""
}

// Driver implements [sqldriver.Connector].
func (c *connector) Driver() sqldriver.Driver { return c.driver.Driver() }

// Connect implements [sqldriver.Connector].
func (c *connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	w := &wire{}
	var l *line
	inner, err := c.driver.Connect(context.WithValue(context.WithValue(ctx, wireKey{}, w), lineKey{}, &l))
	if sqlkit.IsNoDatabase(err) {
		return nil, fmt.Errorf("%w: %w", tenancy.ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	if first := c.first(); first != "" {
		if _, err := inner.(sqldriver.ExecerContext).ExecContext(ctx, first, nil); err != nil {
			_ = inner.Close()
			return nil, err
		}
	}
	all, ok := inner.(driversConn)
	if !ok || l == nil {
		return inner, nil
	}
	conn := &linked{driversConn: all, line: l, readOnly: c.readOnly}
	if w.plain {
		if fresh := c.newSession(ctx, inner); fresh != nil {
			return &plainConn{linked: conn, wire: w, at: c, fresh: fresh}, nil
		}
	}
	return conn, nil
}

// driversConn is what a connection of the driver can do.
type driversConn interface {
	sqldriver.Conn
	sqldriver.ConnBeginTx
	sqldriver.ConnPrepareContext
	sqldriver.ExecerContext
	sqldriver.QueryerContext
	sqldriver.Pinger
	sqldriver.NamedValueChecker
	sqldriver.SessionResetter
	sqldriver.Validator
}

// plainConn is a connection of the driver to which commands can be sent beside
// the driver, on a server whose sessions can be made new.
type plainConn struct {
	*linked
	wire    *wire
	at      *connector // which database it reaches
	fresh   *session   // as it was at first
	renewed bool       // by commands of which it is not known yet whether the session is so again
}
