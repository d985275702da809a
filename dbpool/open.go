package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/artflow-studio/tenancy"
)

// fileTime is for how long a file is taken to be the one it was.
const fileTime = 100 * time.Millisecond

// sameFile reports whether a connection's file is still there.
func (l *lane) sameFile(c *conn) bool {
	if l.files == nil || c.file == nil || time.Since(c.fileSeen) < fileTime {
		return true
	}
	now, err := l.files.File(l.database)
	c.fileSeen = time.Now()
	return err == nil && os.SameFile(c.file, now)
}

// dial connects within a time, in nobody's context. A panic of an engine becomes
// an error.
func (l *lane) dial(within time.Duration) (conn sqldriver.Conn, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = l.unavailable("connect", fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return l.connect(ctx)
}

// connect dials, and checks that the server's own answer is the tenant's before
// anybody uses the connection.
func (l *lane) connect(ctx context.Context) (sqldriver.Conn, error) {
	conn, err := l.connector.Connect(ctx)
	if err != nil {
		return nil, l.unavailable("connect", err)
	}
	if l.tenant == "" { // it reaches the server itself
		return conn, nil
	}
	if err := l.identify(ctx, conn); err != nil {
		l.hangUp(conn, true)
		return nil, l.unavailable("identify", err)
	}
	if err := l.begun(ctx, conn); err != nil {
		l.hangUp(conn, true)
		return nil, l.unavailable("connect", err)
	}
	return conn, nil
}

// identify returns an error unless the server says that a connection reaches the
// tenant's database, and has the settings that it must have. The caller closes it then.
func (l *lane) identify(ctx context.Context, conn sqldriver.Conn) error {
	got, err := l.engine.Identify(ctx, conn)
	if err == nil && (got.Database != l.database || got.Tenant != l.tenant) {
		err = &IdentityError{Tenant: l.tenant, Database: l.database, Got: got}
		text := "dbpool: a connection reached another tenant's database, and was closed"
		if got.Tenant == "" {
			text = "dbpool: a connection reached a database without an owner, and was closed; create or adopt it with maintenance/lifecycle"
		}
		l.log.ErrorContext(ctx, text,
			"want_tenant", l.tenant, "want_database", l.database, "got_tenant", got.Tenant, "got_database", got.Database)
	}
	if err == nil && l.settings != nil {
		err = l.settings.CheckSettings(ctx, conn, l.readOnly)
	}
	return err
}

// maySwitch reports whether a connection of another lane may be switched to this one:
// it was made by the same engine of the same server, and no statement is known to
// have left anything in its session. The caller has the budget's lock.
func (l *lane) maySwitch(c *conn, now time.Time) bool {
	from := c.lane
	return l.switcher != nil && l.server == from.server && l.era == from.era &&
		l.tenant != "" && from.tenant != "" && !from.keep && !c.state && !c.cleaned &&
		l.server.switching.refuses(now) == nil
}

// switchConn repoints a connection of another lane to this one. If that fails the
// connection must be closed. A panic of an engine becomes an error.
func (l *lane) switchConn(c *conn) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout) // it may have died while it was idle
	defer cancel()
	c.bad, c.diedIdle = true, true // until it is known again
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	err = l.switcher.Switch(ctx, c.inner, l.connector)
	if err == nil {
		err = l.identify(ctx, c.inner)
	}
	c.bad = err != nil && !errors.Is(err, sqldriver.ErrSkip)
	if err != nil {
		if c.bad && ctx.Err() != nil {
			c.lane.budget.suspect(c)
		}
		return err
	}
	long, stop := context.WithTimeout(context.Background(), cleanTimeout)
	defer stop()
	err = l.begun(long, c.inner)
	c.bad = err != nil
	return err
}

// unavailable wraps an error of dialling, which happens for those who wait and in
// nobody's context. A sqldriver.ErrBadConn must not come through: database/sql
// would ask again at once.
func (l *lane) unavailable(doing string, err error) error {
	if errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the server does not answer: %v", err) //nolint:errorlint // see above
	}
	return tenancy.Wrap("dbpool."+doing, l.tenant, fmt.Errorf("%w: database %q: %w", tenancy.ErrUnavailable, l.database, err))
}

// clean removes what statements left in a session. Where it is to be kept, clean
// asks again whether the connection still reaches the tenant's database and is what
// it is supposed to be.
func (l *lane) clean(conn sqldriver.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	switch {
	case l.keep:
		return l.identify(ctx, conn)
	case l.cleaner == nil:
		return errors.New("a session that has state")
	}
	if err := l.cleaner.Clean(ctx, conn); err != nil {
		return err
	}
	return l.begun(ctx, conn)
}

// endTimeout bounds the wait for a connection to end, unknownTime for one whose
// session cannot be ended, and brokenTime is how long a server may count one that
// broke.
const (
	endTimeout  = 20 * time.Second
	unknownTime = time.Second
	brokenTime  = 20 * time.Millisecond
)

// hangUp closes a connection and returns when the server no longer counts it.
func (l *lane) hangUp(conn sqldriver.Conn, broken bool) {
	_ = conn.Close()
	timeout := endTimeout
	if broken && l.killer != nil {
		timeout = unknownTime
	}
	if l.closes != nil {
		if ended := l.closes.Closed(conn); ended != nil {
			select {
			case <-ended:
			case <-time.After(timeout):
			}
		}
	}
	if broken {
		time.Sleep(brokenTime)
	}
}
