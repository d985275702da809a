package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Observer learns what tenants ask of their databases. Package analytics has one.
//
// Its methods are called by many goroutines at once, by the one that waits for the
// answer: they must return soon, must not panic, and must not use the pool. A context may have
// ended, and may belong to no tenant. What the pool does of its own, such as checks and
// pings, is not reported, nor is what is done within [sql.Conn.Raw].
type Observer interface {
	// ObserveWait reports a request for a connection to the tenant's database, which got
	// one after that wait, or none and the error. The wait is 0 if an idle connection was
	// there. Where a database takes one writer at a time, a wait for the turn to write
	// is reported as well, if there was one. [IsLowPriority] tells work in the
	// background by its context.
	ObserveWait(ctx context.Context, tenant tenancy.ID, wait time.Duration, err error)
	// ObserveStatement reports a statement, or the begin or the end of a transaction. The
	// time is that which the driver took, for preparing the statement and for reading its
	// rows, too, without what the application did in between. Local statements ran in this process, others
	// on a server. A statement that is repeated on another connection is reported each
	// time.
	ObserveStatement(ctx context.Context, tenant tenancy.ID, took time.Duration, local bool, err error)
	// ObserveRelease reports that a connection came back, and for how long it was held.
	ObserveRelease(tenant tenancy.ID, held time.Duration)
}

// TextObserver is an optional interface for an [Observer] that wants the texts of
// statements, too.
type TextObserver interface {
	// ObserveText reports the text of a statement, after ObserveStatement has reported the
	// statement with the same time and error. The begin and the end of a transaction have
	// no text. The driver's name, as an engine's DriverName has it, says how to read the text: pgx,
	// mysql, sqlite. A text may hold literals, and in them secrets: an observer must not
	// show or store it as it is.
	ObserveText(tenant tenancy.ID, driver, text string, took time.Duration, err error)
}

// observe reports a request for a connection, which began at that time.
func (s *connector) observe(ctx context.Context, c *conn, began time.Time, err error) {
	var wait time.Duration
	if c != nil {
		c.taken = began
	}
	if err != nil || c.waited {
		now := time.Now()
		wait = max(1, now.Sub(began))
		if c != nil {
			c.taken = now
		}
	}
	s.observer.ObserveWait(ctx, s.tenant, wait, err)
}

// clock returns the present, or the zero time if nobody observes the connection.
func (c *conn) clock() time.Time {
	if c.lane.observer == nil {
		return time.Time{}
	}
	return time.Now()
}

// since returns the time since clock returned began.
func since(began time.Time) time.Duration {
	if began.IsZero() {
		return 0
	}
	return time.Since(began)
}

// done is failed for the end of a statement, which it reports.
func (c *conn) done(ctx context.Context, in call, err error) error {
	took := since(in.began)
	err = c.failed(ctx, in, err)
	c.observe(ctx, in.text, took, err)
	return err
}

// observe reports a statement and its text, if it has one, unless the driver left it to another of its methods.
func (c *conn) observe(ctx context.Context, text string, took time.Duration, err error) {
	l := c.lane
	if l.observer == nil || errors.Is(err, sqldriver.ErrSkip) {
		return
	}
	l.observer.ObserveStatement(ctx, l.tenant, took, l.files != nil, err)
	if l.texts != nil && text != "" {
		l.texts.ObserveText(l.tenant, l.engine.DriverName(), text, took, err)
	}
}
