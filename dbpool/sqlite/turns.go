package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"time"
)

// turns are those of the writing transactions of one handle, in the order in which they ask.
// SQLite itself does not queue writers but lets each look again and again, so that one of many
// may wait in vain.
type turns chan struct{}

func newTurns() turns { return make(turns, 1) }

// turnTime bounds the wait for a turn, for those who begin a transaction inside of another's.
const turnTime = 30 * time.Second

// take waits for a turn until ctx ends, and no longer than turnTime. It reports whether it has
// got one, which must be given back.
func (t turns) take(ctx context.Context) (bool, error) {
	select {
	case t <- struct{}{}:
		return true, nil
	default:
	}
	enough := time.NewTimer(turnTime)
	defer enough.Stop()
	select {
	case t <- struct{}{}:
		return true, nil
	case <-enough.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// queued is a connection whose writing transactions take turns with those of others.
type queued struct {
	conn
	turns   turns
	holding bool
}

// BeginTx implements [sqldriver.ConnBeginTx].
func (c *queued) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	if opts.ReadOnly || c.holding {
		return c.conn.BeginTx(ctx, opts)
	}
	var err error
	if c.holding, err = c.turns.take(ctx); err != nil {
		return nil, err
	}
	tx, err := c.conn.BeginTx(ctx, opts)
	if err != nil {
		c.giveBack()
		return nil, err
	}
	return &turn{tx, c}, nil
}

// Close implements [sqldriver.Conn].
func (c *queued) Close() error {
	defer c.giveBack()
	return c.conn.Close()
}

func (c *queued) giveBack() {
	if c.holding {
		c.holding = false
		<-c.turns
	}
}

// turn is a transaction that gives its turn back at its end.
type turn struct {
	sqldriver.Tx
	conn *queued
}

func (t *turn) Commit() error {
	defer t.conn.giveBack()
	return t.Tx.Commit()
}

func (t *turn) Rollback() error {
	defer t.conn.giveBack()
	return t.Tx.Rollback()
}
