package wire

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
)

// Dial implements [sched.Database]. A panic of an engine becomes an error.
func (d *Database) Dial(at *sched.Conn, within time.Duration) (sched.Wire, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	inner, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	return d.newConn(inner, at), nil
}

func (d *Database) dial(ctx context.Context) (conn sqldriver.Conn, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.unavailable("connect", fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return d.connect(ctx)
}

// connect dials, and checks that the server's own answer is the tenant's before
// anybody uses the connection.
func (d *Database) connect(ctx context.Context) (sqldriver.Conn, error) {
	conn, err := d.Connector.Connect(ctx)
	if err != nil {
		return nil, d.unavailable("connect", err)
	}
	if d.Tenant == "" { // it reaches the server itself
		return conn, nil
	}
	if err := d.identify(ctx, conn); err != nil {
		d.hangUp(conn, true)
		late := ctx.Err() != nil
		if err = d.unavailable("identify", err); late {
			err = &lateError{err}
		}
		return nil, err
	}
	if err := d.begun(ctx, conn); err != nil {
		d.hangUp(conn, true)
		return nil, d.unavailable("connect", err)
	}
	return conn, nil
}

// identify returns an error unless the server says that a connection reaches the
// tenant's database, and has the settings that it must have. The caller closes it then.
func (d *Database) identify(ctx context.Context, conn sqldriver.Conn) error {
	got, err := d.Identify(ctx, conn)
	if err == nil && (got.Database != d.Name || got.Tenant != d.Tenant) {
		err = d.wrong(ctx, got)
	}
	if err == nil && d.settings != nil {
		err = d.settings.CheckSettings(ctx, conn, d.ReadOnly)
	}
	return err
}

// wrong logs that a connection reached another database, and returns the error.
func (d *Database) wrong(ctx context.Context, got driver.Identity) error {
	text := "dbpool: a connection reached another tenant's database, and was closed"
	if got.Tenant == "" {
		text = "dbpool: a connection reached a database without an owner, and was closed; create or adopt it with maintenance/lifecycle"
	}
	d.opts.Log.ErrorContext(ctx, text,
		"want_tenant", d.Tenant, "want_database", d.Name, "got_tenant", got.Tenant, "got_database", got.Database)
	return &wrongDatabase{d.opts.WrongDatabase(d, got)}
}

// wrongDatabase marks what [Options] make of an identity that is not the tenant's.
type wrongDatabase struct{ error }

func (e *wrongDatabase) Unwrap() error { return e.error }

// unavailable wraps an error of dialling, which happens for those who wait and in
// nobody's context. A sqldriver.ErrBadConn must not come through: database/sql
// would ask again at once.
func (d *Database) unavailable(doing string, err error) error {
	if errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the server does not answer: %v", err) //nolint:errorlint // see above
	}
	return tenancy.Wrap("dbpool."+doing, d.Tenant, fmt.Errorf("%w: database %q: %w", tenancy.ErrUnavailable, d.Name, err))
}
