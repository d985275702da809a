package sqlkit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// adminTimeout bounds what must not be cut off in the middle: making a database,
// and removing one whose making failed.
const adminTimeout = time.Minute

// LeftError says that a database may be left behind: nobody knows whether the
// server made it, or it could not be removed.
type LeftError struct{ Err error }

// Error returns the text for logs.
func (e *LeftError) Error() string { return "a database may be left behind: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *LeftError) Unwrap() error { return e.Err }

// Left reports true: packages find the error by this method.
func (e *LeftError) Left() bool { return true }

// On runs fn on a database of its own handle, of a single connection.
func On(c driver.Connector, fn func(*sql.DB) error) error {
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	err := fn(db)
	return errors.Join(err, db.Close())
}

// Tenantable returns those of the names that a tenant's database can have.
func Tenantable(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return tenancy.ValidateDatabaseName(name) != nil })
}

// Make makes a database: create, then mark, and if that fails, undo, unless the
// database has become another's meanwhile, which is tenancy.ErrExists. A context
// that ends is looked at before, and not in the middle, because whether the
// database was made must be known. Where it is not, or undo fails, the error is a
// [*LeftError]. Where others can claim the database in between, undo asks [Unclaimed].
func Make(ctx context.Context, create, mark, undo func(context.Context) error) error {
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
	uncut, cancel = context.WithTimeout(context.WithoutCancel(ctx), adminTimeout)
	defer cancel()
	if e := undo(uncut); e != nil && !errors.Is(e, tenancy.ErrNotFound) {
		return &LeftError{errors.Join(err, e)}
	}
	return err
}

// Sent returns the error of a statement that makes a database, which the server
// has got: unless the server answered, the database may be there.
func Sent(err error) error {
	if err == nil || sqlState(err) != "" || mysqlNumber(err) != 0 {
		return err
	}
	return &LeftError{err}
}
