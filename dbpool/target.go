package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
)

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
	engine     driver.Engine
	server     *server
	era        int                      // which of the server's engines it is
	sessions   driver.SessionCleaner    // nil if the engine has no such ability
	endings    driver.CloseNotifier     // likewise
	faults     driver.FaultClassifier   // likewise
	files      driver.FileBacked        // likewise
	settings   driver.SettingsChecker   // likewise
	switcher   driver.Switcher          // likewise
	orphans    driver.SessionKiller     // likewise
	failures   driver.FailureClassifier // likewise
	traffic    driver.SendCounter       // likewise
	interrupts driver.Interrupter       // likewise
	connector  sqldriver.Connector
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
func (t *target) dial(within time.Duration) (conn sqldriver.Conn, err error) {
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
func (t *target) connect(ctx context.Context) (sqldriver.Conn, error) {
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
func (t *target) identify(ctx context.Context, conn sqldriver.Conn) error {
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
	c.bad = err != nil && !errors.Is(err, sqldriver.ErrSkip)
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
// nobody's context. A sqldriver.ErrBadConn must not come through: database/sql
// would ask again at once.
func (t *target) unavailable(doing string, err error) error {
	if errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the server does not answer: %v", err) //nolint:errorlint // see above
	}
	return tenancy.Wrap("dbpool."+doing, t.tenant, fmt.Errorf("%w: database %q: %w", tenancy.ErrUnavailable, t.database, err))
}

// clean removes what statements left in a session. Where it is to be kept, clean
// asks again whether the connection still leads to the tenant's database and is what
// it is supposed to be.
func (t *target) clean(conn sqldriver.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	switch {
	case t.keep:
		return t.identify(ctx, conn)
	case t.sessions == nil:
		return errors.New("a session that has state")
	}
	if err := t.sessions.Clean(ctx, conn); err != nil {
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
func (t *target) end(conn sqldriver.Conn, broken bool) {
	_ = conn.Close()
	timeout := endTimeout
	if broken && t.orphans != nil {
		timeout = unknownTime
	}
	if t.endings != nil {
		if ended := t.endings.Closed(conn); ended != nil {
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
