package wire

import (
	"context"
	sqldriver "database/sql/driver"
)

// tx is a driver's transaction, whose errors are classified. It ends its
// connection's turn to write, if it has one.
type tx struct {
	sqldriver.Tx
	conn   *Conn
	ctx    context.Context // that of the transaction, as in database/sql
	writes bool
}

// Commit implements [sqldriver.Tx]. After an error that wraps [tenancy.ErrUnavailable]
// nobody knows whether the transaction was committed.
func (t *tx) Commit() (err error) {
	defer t.end()
	defer t.conn.caught(&err)
	in := t.call("dbpool.commit")
	return t.conn.done(t.ctx, in, t.Tx.Commit())
}

// Rollback implements [sqldriver.Tx]. A connection that cannot roll back is closed,
// which has the same effect.
func (t *tx) Rollback() (err error) {
	defer t.end()
	defer t.conn.caught(&err)
	in := t.call("dbpool.rollback")
	err = t.Tx.Rollback()
	t.conn.bad = t.conn.bad || err != nil
	return t.conn.done(t.ctx, in, err)
}

func (t *tx) call(op string) call {
	in := t.conn.call(op)
	in.final = true
	return in
}

func (t *tx) end() {
	t.conn.open--
	if t.writes {
		t.conn.stopWriting()
	}
}
