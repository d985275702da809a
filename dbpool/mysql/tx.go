package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"time"
)

const (
	// commitGrace is how long a commit may go on when its context has ended.
	commitGrace = time.Second
	// rollbackTimeout bounds a rollback.
	rollbackTimeout = 5 * time.Second
)

// BeginTx implements [sqldriver.ConnBeginTx].
func (c *linked) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	inner, err := c.driversConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &tx{inner, c.line, ctx}, nil
}

// tx is a transaction of the driver, whose ends the driver would wait for without
// any bound.
type tx struct {
	sqldriver.Tx
	line *line
	ctx  context.Context // that of the transaction, as in database/sql
}

// Commit implements [sqldriver.Tx].
func (t *tx) Commit() error {
	defer t.line.deadline(t.ctx, commitGrace)()
	return t.Tx.Commit()
}

// Rollback implements [sqldriver.Tx].
func (t *tx) Rollback() error {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	defer t.line.deadline(ctx, 0)()
	return t.Tx.Rollback()
}

// Interrupt implements [driver.Interrupter].
func (e *Engine) Interrupt(ctx context.Context, conn sqldriver.Conn) (stop func()) {
	if c := linkOf(conn); c != nil {
		return c.line.deadline(ctx, 0)
	}
	return func() {}
}

// deadline ends what is read from the line, or written, some time after the
// context has ended, until stop is called.
func (l *line) deadline(ctx context.Context, grace time.Duration) (stop func()) {
	done := make(chan struct{})
	unless := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = l.SetDeadline(time.Now().Add(grace))
	})
	return func() {
		if !unless() {
			<-done
			_ = l.SetDeadline(time.Time{})
		}
	}
}
