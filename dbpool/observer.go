package dbpool

import (
	"context"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/internal/wire"
)

// Observer learns what tenants ask of their databases. Package analytics has one.
//
// Its methods are called by many goroutines at once, by the one that waits for the
// answer: they must return soon, must not panic, and must not use the pool. A context may have
// ended, and may belong to no tenant. What the pool does of its own, such as checks and
// pings, is not reported, nor is what is done within [sql.Conn.Raw], nor a failed statement by
// which package migrate finds out whether its table exists.
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
func (s *connector) observe(ctx context.Context, c *wire.Conn, waited bool, began time.Time, err error) {
	var wait time.Duration
	held := began
	if err != nil || waited {
		held = time.Now()
		wait = max(1, held.Sub(began))
	}
	if c != nil {
		c.HeldSince(held)
	}
	s.observer.ObserveWait(ctx, s.tenant, wait, err)
}
