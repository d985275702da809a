package analytics

import (
	"context"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/urgency"
)

// poolColumns are the columns that a recorder counts as the observer of a pool.
func poolColumns() []Column {
	return []Column{Statements, StatementErrors, StatementTime, Waits, WaitsFailed, WaitTime, ConnectionTime}
}

// ObserveWait counts a request for a connection that did not get one at once, for the
// tenant of the context, or for the application. Those of work in the background
// count for the application, too: that work waits for requests on purpose. With
// ObserveStatement and ObserveRelease it makes the recorder an observer of package
// dbpool.
func (rec *Recorder) ObserveWait(ctx context.Context, _ tenancy.ID, wait time.Duration, err error) {
	rec.observed()
	if wait <= 0 && err == nil {
		return
	}
	waited(ctx, wait)
	id, t := owner(ctx)
	if urgency.IsLowPriority(ctx) {
		id, t = Application, nil
	}
	rec.update(id, t, time.Now(), func(_ *cell, n *tally) {
		n.values[Waits]++
		if err != nil {
			n.values[WaitsFailed]++
		}
		n.values[WaitTime] = add(n.values[WaitTime], micros(wait))
	})
}

// ObserveStatement counts a statement for the tenant that owns the database. For the
// processor time of the context's request a local one is work, and another a wait.
func (rec *Recorder) ObserveStatement(ctx context.Context, id tenancy.ID, took time.Duration, local bool, err error) {
	rec.observed()
	if !local {
		waited(ctx, took)
	}
	rec.update(id, nil, time.Now(), func(_ *cell, n *tally) {
		n.values[Statements]++
		if err != nil {
			n.values[StatementErrors]++
		}
		n.values[StatementTime] = add(n.values[StatementTime], micros(took))
	})
}

// ObserveRelease counts the time for which a connection was held, for the tenant that
// owns the database.
func (rec *Recorder) ObserveRelease(id tenancy.ID, held time.Duration) {
	rec.observed()
	rec.update(id, nil, time.Now(), func(_ *cell, n *tally) {
		n.values[ConnectionTime] = add(n.values[ConnectionTime], micros(held))
	})
}

// observed notes that the recorder observes a pool.
func (rec *Recorder) observed() {
	if !rec.observes.Load() {
		rec.observes.Store(true)
	}
}

// micros returns the nearest number of microseconds.
func micros(d time.Duration) int64 { return min((d + time.Microsecond/2).Microseconds(), most) }

// records adds columns to those that the recorder counts. The caller has the turn to
// flush.
func (rec *Recorder) records(columns ...Column) {
	has := setOf(rec.instance.Recorded)
	for _, c := range columns {
		if has&(1<<c) == 0 {
			rec.instance.Recorded = append(rec.instance.Recorded, c)
		}
	}
}
