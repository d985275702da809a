package wire

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// call is a call of a driver that is in progress.
type call struct {
	op   string
	sent int64 // what the connection had sent before
	// harmless calls can be repeated even if they were executed.
	harmless bool
	// final calls are not repeated, whatever happened.
	final bool
	// began is when it did, if somebody observes the connection.
	began time.Time
	// text is that of the statement; empty for the begin and the end of a transaction.
	text string
}

// unknownSent is what a connection has sent of which that is not known.
const unknownSent = -1

func (c *Conn) call(op string) call { return call{op: op, sent: c.sent(), began: c.clock()} }

func (c *Conn) harmless(op string) call {
	return call{op: op, sent: c.sent(), began: c.clock(), harmless: true}
}

func (c *Conn) sent() int64 {
	if c.db.sends == nil {
		return unknownSent
	}
	return c.db.sends.Sent(c.inner)
}

// failed returns what database/sql is told of a driver's error, and notes what
// the error says of the connection. Where the context has ended, that is what the
// caller is told.
func (c *Conn) failed(ctx context.Context, in call, err error) error {
	if err == nil || errors.Is(err, sqldriver.ErrSkip) {
		return err
	}
	kind := c.classify(in, err)
	c.bad = c.bad || kind == driver.FailureLost || kind == driver.FailureNotExecuted
	if ctx.Err() != nil {
		return sqlkit.Ended(ctx, withoutBadConn(err))
	}
	what := ""
	switch kind {
	case driver.FailureOfStatement:
		return err
	case driver.FailureUnable:
		what = "the server cannot do it now"
	case driver.FailureLost:
		what = "the connection ended, and whether the statement was executed is not known"
	case driver.FailureNotExecuted:
		c.place.Distrust()
		what = "the connection ended, and the statement was not executed"
	case driver.FailureStale:
		c.place.Outdated()
		what = "the connection is out of date, and the statement was not executed"
	}
	repeats := !in.final && !c.held && (kind == driver.FailureNotExecuted || kind == driver.FailureStale)
	if repeats && c.mayBePart(in, err) {
		repeats, what = false, "the server broke it off, and a part of it may have been executed"
	}
	if repeats {
		err = &repeatable{err}
	} else {
		err = withoutBadConn(err)
	}
	return tenancy.Wrap(in.op, c.db.Tenant, fmt.Errorf("%w: %s: %w", tenancy.ErrUnavailable, what, err))
}

// mayBePart reports whether an error may be about the last of several statements, which a
// procedure or the text itself has: those before it were executed.
func (c *Conn) mayBePart(in call, err error) bool {
	return !in.harmless && !errors.Is(err, sqldriver.ErrBadConn) && c.db.statements.Effect(in.text)&sqltext.InParts != 0
}

func (c *Conn) classify(in call, err error) driver.Failure {
	kind := driver.FailureOfStatement
	switch {
	case errors.Is(err, sqldriver.ErrBadConn):
		kind = driver.FailureLost
		if in.sent != unknownSent && in.sent == c.sent() {
			kind = driver.FailureNotExecuted
		}
	case c.db.failures != nil:
		kind = c.db.failures.Failure(c.inner, err)
	}
	if kind == driver.FailureLost && in.harmless {
		kind = driver.FailureNotExecuted
	}
	return kind
}

// repeatable makes database/sql repeat a statement on another connection.
type repeatable struct{ err error }

// Error implements error.
func (e *repeatable) Error() string { return e.err.Error() }

// Unwrap returns [sqldriver.ErrBadConn] and the error of the driver.
func (e *repeatable) Unwrap() []error { return []error{sqldriver.ErrBadConn, e.err} }

// withoutBadConn hides [sqldriver.ErrBadConn] in an error from database/sql, which
// would repeat the statement.
func withoutBadConn(err error) error {
	if errors.Is(err, sqldriver.ErrBadConn) {
		return errors.New(err.Error())
	}
	return err
}
