package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"strings"
	"time"
)

// turns queues the writers of one handle: first come, first served. SQLite itself does not
// queue them but lets each look again and again, so that one of many may wait in vain.
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

// queued is a connection whose writing transactions, and single statements that write, take
// turns with those of others.
type queued struct {
	conn
	turns   turns
	holding bool // a turn, for a transaction
	open    bool // a transaction
	text    bool // a statement has begun one: what follows may be in it
}

// BeginTx implements [sqldriver.ConnBeginTx].
func (c *queued) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	if !opts.ReadOnly && !c.holding {
		var err error
		if c.holding, err = c.turns.take(ctx); err != nil {
			return nil, err
		}
	}
	tx, err := c.conn.BeginTx(ctx, opts)
	if err != nil {
		c.ended()
		return nil, err
	}
	c.open = true
	return &turn{tx, c}, nil
}

// ExecContext implements [sqldriver.ExecerContext].
func (c *queued) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	switch verb(query) {
	case "BEGIN", "SAVEPOINT":
		c.text = true
	case "INSERT", "UPDATE", "DELETE", "REPLACE":
		if c.open || c.text {
			break
		}
		took, err := c.turns.take(ctx)
		if err != nil {
			return nil, err
		}
		if took {
			defer c.turns.giveBack()
		}
	}
	return c.conn.ExecContext(ctx, query, args)
}

// verb returns the first word of a statement in upper case.
func verb(query string) string {
	query = strings.TrimSpace(query)
	end := strings.IndexFunc(query, func(r rune) bool { return r < 'A' || r > 'z' })
	if end < 0 {
		end = len(query)
	}
	return strings.ToUpper(query[:end])
}

// Close implements [sqldriver.Conn].
func (c *queued) Close() error {
	defer c.ended()
	return c.conn.Close()
}

// ended gives the turn of a transaction back.
func (c *queued) ended() {
	c.open = false
	if c.holding {
		c.holding = false
		c.turns.giveBack()
	}
}

func (t turns) giveBack() { <-t }

// turn is a transaction that gives its turn back at its end.
type turn struct {
	sqldriver.Tx
	conn *queued
}

func (t *turn) Commit() error {
	defer t.conn.ended()
	return t.Tx.Commit()
}

func (t *turn) Rollback() error {
	defer t.conn.ended()
	return t.Tx.Rollback()
}
