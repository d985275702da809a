package wire

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// cleanTimeout bounds the cleaning of a session, and the application's hook after a switch.
const cleanTimeout = 5 * time.Second

// begun calls the application's hook with a new session. A panic of the hook becomes
// an error.
func (d *Database) begun(ctx context.Context, conn sqldriver.Conn) (err error) {
	if d.opts.OnSession == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = &hookError{fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	if err := d.opts.OnSession(ctx, d, driversOwn(conn)); err != nil {
		return &hookError{err}
	}
	return nil
}

// hookError is an error of the application's hook. It says nothing of the server,
// which has answered before.
type hookError struct{ err error }

func (e *hookError) Error() string { return "OnSession: " + e.err.Error() }
func (e *hookError) Unwrap() error { return e.err }

// clean removes what statements left in a session. Where it is to be kept, clean
// asks again whether the connection still reaches the tenant's database and is what
// it is supposed to be.
func (d *Database) clean(conn sqldriver.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	switch {
	case d.opts.Keep:
		return d.identify(ctx, conn)
	case d.cleaner == nil:
		return errors.New("a session that has state")
	}
	if err := d.cleaner.Clean(ctx, conn); err != nil {
		return err
	}
	return d.begun(ctx, conn)
}
