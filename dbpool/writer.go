package dbpool

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
func (w writer) lock(ctx context.Context, within time.Duration) error {
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	select {
	case w <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		return &BusyError{Reason: fmt.Sprintf("others have been writing to the database for %v", within), After: within}
	}
}

func (w writer) unlock() { <-w }

// write waits for the connection's turn to write, if the statement does that. It
// reports whether the turn began with it, and may end with it: one that leaves
// state, such as an open transaction, keeps the turn until the connection is
// given back.
func (c *conn) write(ctx context.Context, e sqltext.Effect) (ends bool, err error) {
	if c.lane.writer == nil || c.writing || e&sqltext.Writes == 0 {
		return false, nil
	}
	return e&sqltext.LeavesState == 0, c.startWriting(ctx)
}

func (c *conn) startWriting(ctx context.Context) error {
	if c.lane.writer.tryLock() {
		c.writing = true
		return nil
	}
	began := c.clock()
	err := c.lane.writer.lock(ctx, c.lane.budget.limits.wait)
	if o := c.lane.observer; o != nil {
		o.ObserveWait(ctx, c.lane.tenant, max(1, since(began)), err)
	}
	c.writing = err == nil
	return err
}

func (c *conn) stopWriting() {
	if c.writing {
		c.writing = false
		c.lane.writer.unlock()
	}
}
