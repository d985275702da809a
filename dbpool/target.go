package dbpool

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
)

// Sessions is the optional ability of an [Engine] to clean a session. Where an
// engine has it not, a connection whose session may have state is closed.
type Sessions interface {
	// Reset brings the session into the state of a new one, in one round trip.
	// A connection for which it fails is closed.
	Reset(ctx context.Context, conn driver.Conn) error
}

// Switcher is the optional ability of an [Engine] to lead a connection to another
// database in less time than a new one takes. Where an engine has it not, the
// connection is closed and another one dialled.
type Switcher interface {
	// Switch makes of a connection what to.Connect would return. Both are of this
	// Engine: the connection was opened by one of its connectors, for whichever
	// database, and nothing runs on it.
	//
	// After nil the connection leads to the other database, with the session of a
	// new connection: nothing can be seen of what any statement left in it, be it
	// by a trigger or a view. The caller calls Identify before anybody uses it.
	// [driver.ErrSkip] says that this connection cannot be switched, and is as it
	// was. After any other error nothing is known of it, and it is closed.
	Switch(ctx context.Context, conn driver.Conn, to driver.Connector) error
}

// Endings is the optional ability of an [Engine] to tell when a connection that
// was closed has really ended. Its slot of the budget is free only then.
type Endings interface {
	// Ended returns a channel that is closed when the connection has ended, or
	// nil if it has.
	Ended(conn driver.Conn) <-chan struct{}
}

// Files is the optional ability of an [Engine] whose databases are files, which this
// process reads and writes itself. A
// connection to a file that was removed or replaced meanwhile is not used again:
// what it writes would be lost.
type Files interface {
	// File describes the file that is at the database's path now.
	File(database string) (os.FileInfo, error)
}

// fileTime is for how long a file is taken to be the one it was.
const fileTime = 100 * time.Millisecond

// sameFile reports whether a connection's file is still there.
func (t *target) sameFile(c *physical) bool {
	if t.files == nil || c.file == nil || time.Since(c.fileSeen) < fileTime {
		return true
	}
	now, err := t.files.File(t.database)
	c.fileSeen = time.Now()
	return err == nil && os.SameFile(c.file, now)
}

// target is where a tenant's connections lead.
type target struct {
	engine     Engine
	server     *server
	era        int        // which of the server's engines it is
	sessions   Sessions   // nil if the engine has no such ability
	endings    Endings    // likewise
	faults     Faults     // likewise
	files      Files      // likewise
	settings   Settings   // likewise
	switcher   Switcher   // likewise
	orphans    Orphans    // likewise
	failures   Failures   // likewise
	traffic    Traffic    // likewise
	interrupts Interrupts // likewise
	connector  driver.Connector
	tenant     tenancy.ID
	database   string
	statements *sqltext.Scanner
	keep       bool // what a session holds, for the next user
	readOnly   bool
	onSession  func(context.Context, Session) error // nil: none
	observer   Observer                             // nil: none
	log        *slog.Logger
}

// dial connects within a time, in nobody's context. A panic of an engine becomes
// an error.
func (t *target) dial(within time.Duration) (conn driver.Conn, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = t.unavailable("connect", fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return t.connect(ctx)
}

// connect dials, and checks that the server's own answer is the tenant's before
// anybody uses the connection.
func (t *target) connect(ctx context.Context) (driver.Conn, error) {
	conn, err := t.connector.Connect(ctx)
	if err != nil {
		return nil, t.unavailable("connect", err)
	}
	if t.tenant == "" { // it leads to the server itself
		return conn, nil
	}
	if err := t.identify(ctx, conn); err != nil {
		t.end(conn, true)
		return nil, t.unavailable("identify", err)
	}
	if err := t.begun(ctx, conn); err != nil {
		t.end(conn, true)
		return nil, t.unavailable("connect", err)
	}
	return conn, nil
}

// identify returns an error unless the server says that a connection leads to
// the tenant's database, and is what it is supposed to be. It must be closed then.
func (t *target) identify(ctx context.Context, conn driver.Conn) error {
	got, err := t.engine.Identify(ctx, conn)
	if err == nil && (got.Database != t.database || got.Tenant != t.tenant) {
		err = &IdentityError{Tenant: t.tenant, Database: t.database, Got: got}
		text := "a connection led to another tenant's database and was closed"
		if got.Tenant == "" {
			text = "a connection led to a database without an owner and was closed; create or adopt it with maintenance/lifecycle"
		}
		t.log.ErrorContext(ctx, text,
			"want_tenant", t.tenant, "want_database", t.database, "got_tenant", got.Tenant, "got_database", got.Database)
	}
	if err == nil && t.settings != nil {
		err = t.settings.CheckSettings(ctx, conn, t.readOnly)
	}
	return err
}

// mayTake reports whether a connection of another target may be led to this one:
// it was made by the same engine of the same server, and no statement is known to
// have left anything in its session. The caller has the group's lock.
func (t *target) mayTake(c *physical, now time.Time) bool {
	from := c.target
	return t.switcher != nil && t.server == from.server && t.era == from.era &&
		t.tenant != "" && from.tenant != "" && !from.keep && !c.state && !c.cleaned &&
		t.server.switching.refuses(now) == nil
}

// take leads a connection of another target to this one. If that fails the
// connection must be closed. A panic of an engine becomes an error.
func (t *target) take(c *physical) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout) // it may have died while it was idle
	defer cancel()
	c.bad, c.rested = true, true // until it is known again
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	err = t.switcher.Switch(ctx, c.inner, t.connector)
	if err == nil {
		err = t.identify(ctx, c.inner)
	}
	c.bad = err != nil && !errors.Is(err, driver.ErrSkip)
	if err != nil {
		if c.bad && ctx.Err() != nil {
			c.queue.group.suspect(c)
		}
		return err
	}
	long, stop := context.WithTimeout(context.Background(), cleanTimeout)
	defer stop()
	err = t.begun(long, c.inner)
	c.bad = err != nil
	return err
}

// unavailable wraps an error of dialling, which happens for whoever waits and in
// nobody's context. A driver.ErrBadConn must not come through: database/sql
// would ask again at once.
func (t *target) unavailable(doing string, err error) error {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the server does not answer: %v", err) //nolint:errorlint // see above
	}
	return tenancy.Wrap("dbpool."+doing, t.tenant, fmt.Errorf("%w: database %q: %w", tenancy.ErrUnavailable, t.database, err))
}

// clean removes what statements left in a session. Where it is to be kept, clean
// asks again whether the connection still leads to the tenant's database and is what
// it is supposed to be.
func (t *target) clean(conn driver.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	switch {
	case t.keep:
		return t.identify(ctx, conn)
	case t.sessions == nil:
		return errors.New("a session that has state")
	}
	if err := t.sessions.Reset(ctx, conn); err != nil {
		return err
	}
	return t.begun(ctx, conn)
}

// endTimeout bounds the wait for a connection to end, unknownTime for one whose
// session cannot be ended, and brokenTime is how long a server may count one that
// broke.
const (
	endTimeout  = 20 * time.Second
	unknownTime = time.Second
	brokenTime  = 20 * time.Millisecond
)

// end closes a connection and returns when the server no longer counts it.
func (t *target) end(conn driver.Conn, broken bool) {
	_ = conn.Close()
	timeout := endTimeout
	if broken && t.orphans != nil {
		timeout = unknownTime
	}
	if t.endings != nil {
		if ended := t.endings.Ended(conn); ended != nil {
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
