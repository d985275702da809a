package wire

import (
	"context"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
)

// writer holds a token while somebody writes to a database. It is nil where
// many may, or nobody does.
type writer chan struct{}

// tryLock reports whether nobody writes. Then it is the caller's turn.
func (w writer) tryLock() bool {
	select {
	case w <- struct{}{}:
		return true
	default:
		return false
	}
}

// lock waits until nobody else writes.
func (w writer) lock(ctx context.Context, o *Options) error {
	timeout := time.NewTimer(o.Wait)
	defer timeout.Stop()
	select {
	case w <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		return o.Busy(fmt.Sprintf("others have been writing to the database for %v", o.Wait), o.Wait)
	}
}

func (w writer) unlock() { <-w }

// write waits for the connection's turn to write, if the statement does that. It
// reports whether the turn began with it, and may end with it: one that leaves
// state, such as an open transaction, keeps the turn until the connection is
// given back.
func (c *Conn) write(ctx context.Context, e sqltext.Effect) (ends bool, err error) {
	if c.db.writer == nil || c.writing || e&sqltext.Writes == 0 {
		return false, nil
	}
	return e&sqltext.LeavesState == 0, c.startWriting(ctx)
}

func (c *Conn) startWriting(ctx context.Context) error {
	if c.db.writer.tryLock() {
		c.writing = true
		return nil
	}
	began := c.clock()
	err := c.db.writer.lock(ctx, c.db.opts)
	if o := c.db.observer; o != nil {
		o.ObserveWait(ctx, c.db.Tenant, max(1, since(began)), err)
	}
	c.writing = err == nil
	return err
}

func (c *Conn) stopWriting() {
	if c.writing {
		c.writing = false
		c.db.writer.unlock()
	}
}
