package dbpool

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/artflow-studio/tenancy"
)

// IdentityError says that a server led to another database than the tenant's.
// The connection was closed before anybody could use it. It unwraps to
// [tenancy.ErrUnavailable].
type IdentityError struct {
	Tenant   tenancy.ID
	Database string
	Got      Identity
}

// Error returns the text for logs.
func (e *IdentityError) Error() string {
	return fmt.Sprintf("wrong database: want %q of tenant %q, the server says %q of tenant %q",
		e.Database, string(e.Tenant), e.Got.Database, string(e.Got.Tenant))
}

// Unwrap returns [tenancy.ErrUnavailable].
func (e *IdentityError) Unwrap() error { return tenancy.ErrUnavailable }

// connector opens physical connections and checks each one, before anybody
// uses it, that the server's own answer is the tenant's.
type connector struct {
	inner    driver.Connector
	engine   Engine
	tenant   tenancy.ID
	database string
	log      *slog.Logger
}

func (c *connector) Driver() driver.Driver { return c.inner.Driver() }

// Connect dials. Its errors reach the host through database/sql, at its query.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.inner.Connect(ctx)
	if err != nil {
		return nil, c.unavailable(ctx, "connect", err)
	}
	got, err := c.engine.Identify(ctx, conn)
	if err == nil && (got.Database != c.database || got.Tenant != c.tenant) {
		err = &IdentityError{Tenant: c.tenant, Database: c.database, Got: got}
		c.log.ErrorContext(ctx, "a connection led to another tenant's database and was closed",
			"want_tenant", c.tenant, "want_database", c.database, "got_tenant", got.Tenant, "got_database", got.Database)
	}
	if err != nil {
		_ = conn.Close()
		return nil, c.unavailable(ctx, "identify", err)
	}
	return conn, nil
}

// unavailable wraps an error of dialling. A driver.ErrBadConn must not come
// through: database/sql would dial again at once.
func (c *connector) unavailable(ctx context.Context, doing string, err error) error {
	if e := ctx.Err(); e != nil {
		return e
	}
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) {
		err = fmt.Errorf("the connection broke: %v", err) //nolint:errorlint // see above
	}
	return tenancy.Wrap("dbpool."+doing, c.tenant, fmt.Errorf("%w: database %q: %w", tenancy.ErrUnavailable, c.database, err))
}
