package dbpool

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Failure says what an error of a statement means for its connection, and for
// whoever ran the statement.
type Failure int

const (
	// FailureOfStatement is an error about the statement. The connection stays.
	FailureOfStatement Failure = iota
	// FailureUnable is an error of a server that cannot do now what was asked,
	// such as one whose disk is full. The connection stays, and the caller finds
	// [tenancy.ErrUnavailable].
	FailureUnable
	// FailureLost is the end of the connection. Nobody knows whether the
	// statement was executed, so it is not repeated: the caller finds
	// [tenancy.ErrUnavailable].
	FailureLost
	// FailureNotExecuted is the end of a connection whose statement was
	// certainly not executed. Outside of transactions database/sql repeats the
	// statement on another connection.
	FailureNotExecuted
	// FailureStale is an error about what the connection keeps of an earlier
	// statement, such as a plan that was made before a migration. The statement
	// was not executed, and is repeated as above. All connections that the
	// tenant has then end after their current use.
	FailureStale
)

// Failures is the optional ability of an [Engine] to tell errors apart that
// happen while a connection is used. Without it only [driver.ErrBadConn] ends a
// connection.
type Failures interface {
	// Failure classifies an error that a connection returned from any of its
	// calls, or from those of its statements, rows and transactions. It is not
	// called with [driver.ErrBadConn].
	Failure(conn driver.Conn, err error) Failure
}

// Traffic is the optional ability of an [Engine] to tell whether a connection has
// sent anything. Without it a statement for which the driver returns
// [driver.ErrBadConn] counts as one that may have been executed.
type Traffic interface {
	// Sent returns a number that has grown whenever anything may have been sent.
	Sent(conn driver.Conn) int64
}

// Interrupts is the optional ability of an [Engine] whose driver heeds no context
// while it skips rows that nobody reads.
type Interrupts interface {
	// Interrupt makes whatever the connection waits for fail when the context
	// ends, until stop is called.
	Interrupt(ctx context.Context, conn driver.Conn) (stop func())
}

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
}

// unknownSent is what a connection has sent of which that is not known.
const unknownSent = -1

func (c *physical) call(op string) call { return call{op: op, sent: c.sent(), began: c.clock()} }

func (c *physical) harmless(op string) call {
	return call{op: op, sent: c.sent(), began: c.clock(), harmless: true}
}

func (c *physical) sent() int64 {
	if c.target.traffic == nil {
		return unknownSent
	}
	return c.target.traffic.Sent(c.inner)
}

// failed returns what database/sql is told of a driver's error, and notes what
// the error says of the connection. Where the context has ended, that is what the
// caller is told.
func (c *physical) failed(ctx context.Context, in call, err error) error {
	if err == nil || errors.Is(err, driver.ErrSkip) {
		return err
	}
	kind := c.classify(in, err)
	c.bad = c.bad || kind == FailureLost || kind == FailureNotExecuted
	if ctx.Err() != nil {
		return sqlkit.Ended(ctx, withoutBadConn(err))
	}
	what := ""
	switch kind {
	case FailureOfStatement:
		return err
	case FailureUnable:
		what = "the server cannot do it now"
	case FailureLost:
		what = "the connection ended, and whether the statement was executed is not known"
	case FailureNotExecuted:
		c.queue.distrust(c, time.Now())
		what = "the connection ended, and the statement was not executed"
	case FailureStale:
		c.queue.outdated(c)
		what = "the connection is out of date, and the statement was not executed"
	}
	if in.final || kind != FailureNotExecuted && kind != FailureStale {
		err = withoutBadConn(err)
	} else {
		err = &repeatable{err}
	}
	return tenancy.Wrap(in.op, c.target.tenant, fmt.Errorf("%w: %s: %w", tenancy.ErrUnavailable, what, err))
}

func (c *physical) classify(in call, err error) Failure {
	kind := FailureOfStatement
	switch {
	case errors.Is(err, driver.ErrBadConn):
		kind = FailureLost
		if in.sent != unknownSent && in.sent == c.sent() {
			kind = FailureNotExecuted
		}
	case c.target.failures != nil:
		kind = c.target.failures.Failure(c.inner, err)
	}
	if kind == FailureLost && in.harmless {
		kind = FailureNotExecuted
	}
	return kind
}

// repeatable makes database/sql repeat a statement on another connection.
type repeatable struct{ err error }

// Error implements error.
func (e *repeatable) Error() string { return e.err.Error() }

// Unwrap returns [driver.ErrBadConn] and the error of the driver.
func (e *repeatable) Unwrap() []error { return []error{driver.ErrBadConn, e.err} }

// withoutBadConn hides [driver.ErrBadConn] in an error from database/sql, which
// would repeat the statement.
func withoutBadConn(err error) error {
	if errors.Is(err, driver.ErrBadConn) {
		return errors.New(err.Error())
	}
	return err
}

// distrustTime is for how long a connection that was no good makes others
// suspicious.
const distrustTime = 10 * time.Second

// distrust notes that a connection which had been idle was no good, though it
// looked so. After two such connections all that are idle end: the next is new.
func (q *queue) distrust(c *physical, now time.Time) {
	if c.uses <= 1 {
		return
	}
	g := q.group
	g.mu.Lock()
	again := !q.distrusted.IsZero() && now.Sub(q.distrusted) < distrustTime
	q.distrusted = now
	g.mu.Unlock()
	if again {
		q.renew()
	}
}

// outdated begins a new generation, unless that was done since the connection was
// made.
func (q *queue) outdated(c *physical) {
	g := q.group
	g.mu.Lock()
	current := c.generation == q.generation
	g.mu.Unlock()
	if current {
		q.renew()
	}
}
