package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"fmt"
	"runtime/debug"

	"github.com/artflow-studio/tenancy"
)

// Session is a new session of a connection, for [Options.OnSession].
type Session struct {
	Tenant           tenancy.ID
	Server, Database string
	ReadOnly         bool
	// Conn is the driver's own connection, as [Unwrap] returns it. It must not be
	// kept.
	Conn sqldriver.Conn
}

// begun calls the application's hook with a new session. A panic of the hook becomes
// an error.
func (l *lane) begun(ctx context.Context, conn sqldriver.Conn) (err error) {
	if l.onSession == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = &hookError{fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	if err := l.onSession(ctx, Session{l.tenant, l.server.name, l.database, l.readOnly, driversOwn(conn)}); err != nil {
		return &hookError{err}
	}
	return nil
}

// hookError is an error of the application's hook. It says nothing of the server,
// which has answered before.
type hookError struct{ err error }

func (e *hookError) Error() string { return "OnSession: " + e.err.Error() }
func (e *hookError) Unwrap() error { return e.err }
