package sqlkit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jmoiron/sqlx"
)

// Beginner begins transactions: a *sqlx.DB or a *sqlx.Conn.
type Beginner interface {
	BeginTxx(ctx context.Context, opts *sql.TxOptions) (*sqlx.Tx, error)
}

// Tx runs fn in a transaction: committed when fn returns nil, rolled back when
// it returns an error or panics. The panic goes on to the caller.
func Tx(ctx context.Context, db Beginner, opts *sql.TxOptions, fn func(*sqlx.Tx) error) (err error) {
	tx, err := db.BeginTxx(ctx, opts)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // fn panicked, or called runtime.Goexit
			_ = tx.Rollback()
		}
	}()
	err = fn(tx)
	done = true
	if err != nil {
		if e := tx.Rollback(); e != nil && !errors.Is(e, sql.ErrTxDone) {
			return fmt.Errorf("%w (and rolling back: %w)", err, e)
		}
		return txDone(ctx, err)
	}
	return txDone(ctx, tx.Commit())
}

// What bounds work that has begun: how long it may take, and how long once nobody waits for
// it any more.
const (
	outlastMost  = time.Minute
	outlastGrace = 10 * time.Second
)

// Write runs fn in a transaction, and again if the server ended the transaction in
// favour of another, up to ten times. The end of ctx stops a transaction from
// beginning, also while it waits for a connection, and does not cut off one that has begun: its
// COMMIT may have been carried out. The context of fn ends ten seconds after ctx does, or after one minute,
// whichever comes first.
func Write(ctx context.Context, db Beginner, fn func(context.Context, *sqlx.Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	uncut, cancel := Outlast(ctx)
	defer cancel()
	const attempts = 10
	for range attempts {
		err = write(ctx, uncut, db, fn)
		if !IsDeadlock(err) {
			return err
		}
		time.Sleep(rand.N(10 * time.Millisecond)) // not a secret
	}
	return err
}

// write is one attempt of [Write]. The context of its transaction ends with the caller's until the transaction
// has begun, and then with uncut.
func write(caller, uncut context.Context, db Beginner, fn func(context.Context, *sqlx.Tx) error) error {
	ctx, cancel := context.WithCancel(uncut)
	defer cancel()
	begun := false
	keep := context.AfterFunc(caller, cancel)
	defer keep()
	err := Tx(ctx, db, nil, func(tx *sqlx.Tx) error {
		if begun = keep(); !begun {
			return caller.Err()
		}
		return fn(ctx, tx)
	})
	if ended := caller.Err(); ended != nil && !begun {
		return ended
	}
	return err
}

// Outlast returns a context with the values of ctx that ends ten seconds after ctx does, or after
// one minute, whichever comes first. It is for work that must not be cut off in the middle, and
// that may take its time while somebody waits for it.
func Outlast(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), outlastMost)
	stop := context.AfterFunc(ctx, func() {
		left := time.NewTimer(outlastGrace)
		defer left.Stop()
		select {
		case <-left.C:
			cancel()
		case <-out.Done():
		}
	})
	return out, func() { stop(); cancel() }
}

// txDone tells why a transaction was over when it was used: database/sql rolls
// back when the context ends.
func txDone(ctx context.Context, err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return Ended(ctx, err)
	}
	return err
}

// Ended makes an error one that wraps the context's, if that has ended.
func Ended(ctx context.Context, err error) error {
	end := ctx.Err()
	if err == nil || end == nil || errors.Is(err, end) {
		return err
	}
	return fmt.Errorf("%w: %w", end, err)
}
