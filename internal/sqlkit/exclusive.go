package sqlkit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
)

const (
	// watchPause is how often Exclusive asks whether its session still lives, and
	// watchTimeout how long it waits for the answer.
	watchPause   = 5 * time.Second
	watchTimeout = 30 * time.Second
)

// Exclusive runs fn while no other process is in Exclusive with that database.
// The lock belongs to a session of its own, the only one of db: it ends when the
// process dies. Others wait, within ctx. When the session ends before fn has
// returned, or the server gives no sign of life for half a minute, the context that fn was given ends, and the error wraps
// [tenancy.ErrUnavailable] although fn may have returned nil. Otherwise fn's error is returned as it is.
//
// In PostgreSQL db is a handle to the database itself; in MySQL it may be one to
// the server.
func Exclusive(ctx context.Context, db *sql.DB, d Dialect, database string, fn func(context.Context) error) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	// Closing the session gives up whatever it still holds.
	defer func() { _ = conn.Close() }()
	l := exclusiveLocker(db, d, database)
	if err := l.SessionLock(ctx, conn); err != nil {
		return err
	}
	defer func() { _ = l.SessionUnlock(context.WithoutCancel(ctx), conn) }()

	ends := &atomic.Bool{}
	ctx, lost := context.WithCancelCause(context.WithValue(ctx, endsKey{}, ends))
	watched := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(watched)
		watch(ctx, conn, ends, stop, lost)
	}()
	defer func() {
		close(stop)
		lost(nil)
		<-watched
	}()
	err = fn(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, errLost) {
		return errors.Join(cause, err) // another process may have been in there, whatever fn says
	}
	return err
}

// Alone runs fn on a session of a MySQL server while no other is in Alone with that
// database, whether or not there is one of that name.
func Alone(ctx context.Context, db *sql.DB, database string, fn func(*sql.Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	l := mysqlLocker{database, "tenancy_alone"}
	if err := l.SessionLock(ctx, conn); err != nil {
		return err
	}
	defer func() { _ = l.SessionUnlock(context.WithoutCancel(ctx), conn) }()
	return fn(conn)
}

var errLost = fmt.Errorf("%w: the lock on the database was lost", tenancy.ErrUnavailable)

// endsKey is the key of contexts in [Exclusive]: the value is true while its session may end.
type endsKey struct{}

// EndsSession tells the [Exclusive] that ctx is in, if it is in one, that its session ends now because the database
// is dropped: then nothing is lost. If the drop failed, lives takes that back.
func EndsSession(ctx context.Context) (lives func()) {
	ends, ok := ctx.Value(endsKey{}).(*atomic.Bool)
	if !ok {
		return func() {}
	}
	ends.Store(true)
	return func() { ends.Store(false) }
}

// watch calls lost when the session has ended, unless it may.
func watch(ctx context.Context, conn *sql.Conn, ends *atomic.Bool, stop <-chan struct{}, lost func(error)) {
	tick := time.NewTicker(watchPause)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			short, cancel := context.WithTimeout(ctx, watchTimeout)
			err := conn.PingContext(short)
			cancel()
			if err != nil && ctx.Err() == nil && !ends.Load() {
				lost(fmt.Errorf("%w: %w", errLost, err))
				return
			}
		}
	}
}
