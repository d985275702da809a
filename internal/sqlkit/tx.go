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

// writeTimeout bounds a transaction of [Write].
const writeTimeout = 10 * time.Second

// Write runs fn in a transaction, and again if the server ended the transaction in
// favour of another, up to ten times. The end of ctx stops a transaction from
// beginning and does not cut off one that has begun: its COMMIT may have been
// carried out. The context of fn ends after ten seconds instead.
func Write(ctx context.Context, db Beginner, fn func(context.Context, *sqlx.Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	const attempts = 10
	for range attempts {
		err = Tx(ctx, db, nil, func(tx *sqlx.Tx) error { return fn(ctx, tx) })
		if !IsDeadlock(err) {
			return err
		}
		time.Sleep(rand.N(10 * time.Millisecond)) // not a secret
	}
	return err
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
