package sqlkit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// dead is a connector of sessions that do not answer.
type dead struct{ driver.Conn }

func (d dead) Connect(context.Context) (driver.Conn, error) { return d, nil }
func (dead) Driver() driver.Driver                          { return nil }
func (dead) Ping(context.Context) error                     { return errors.New("no session") }
func (dead) Close() error                                   { return nil }

// A session that ends is a lost lock, unless it ends because the database is dropped.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := sql.OpenDB(dead{})
		defer func() { _ = db.Close() }()
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		ends := &atomic.Bool{}
		ctx, lost := context.WithCancelCause(context.WithValue(t.Context(), endsKey{}, ends))
		stop := make(chan struct{})
		defer close(stop)
		go watch(ctx, conn, ends, stop, lost)
		lives := EndsSession(ctx)
		time.Sleep(3 * watchPause)
		if ctx.Err() != nil {
			t.Errorf("while the database is dropped: got %v", context.Cause(ctx))
		}
		lives()
		time.Sleep(2 * watchPause)
		if !errors.Is(context.Cause(ctx), errLost) {
			t.Errorf("after that: got %v, want the lock lost", context.Cause(ctx))
		}
	})
	EndsSession(t.Context())() // nowhere
}
