package sqlkit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/artflow-studio/tenancy"
)

// adminTimeout bounds what must not be cut off in the middle: making a database,
// and removing one whose making failed.
const adminTimeout = time.Minute

// On runs fn on a database of its own handle, of a single connection.
func On(c driver.Connector, fn func(*sql.DB) error) error {
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	err := fn(db)
	return errors.Join(err, db.Close())
}

// Make makes a database: create, then mark, and if that fails, drop, unless the
// database has become somebody's meanwhile. A context that ends is looked at
// before, and not in the middle, because whether the database was made must be
// known.
func Make(ctx context.Context, create, mark, drop func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	uncut, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminTimeout)
	defer cancel()
	if err := create(uncut); err != nil {
		return err
	}
	err := mark(uncut)
	if err == nil || errors.Is(err, tenancy.ErrExists) {
		return err
	}
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminTimeout)
	defer cancel()
	return errors.Join(err, drop(undo))
}
