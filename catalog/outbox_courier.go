package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/plaintext"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

const (
	// lineLength is how many events of one tenant are in memory at a time.
	lineLength = 64
	// slow is how long a call may take before its tenant's later events leave memory to
	// others.
	slow = time.Second
	// inMemory is how many events there are in memory before no more are read.
	inMemory = 2000
	// outboxGrace is how long Run waits for calls when it ends.
	outboxGrace = 5 * time.Second
	// marksAtOnce is how many events are delivered before that is written, if the time
	// of the next look does not come first.
	marksAtOnce = 100
	// skipPoll is how often events are looked for that somebody skipped, while any failed.
	skipPoll = time.Second
	// maxOverdue is how many calls may lose their place because they do not return.
	maxOverdue = 1000
)

// courier delivers events to the application's function, as the holder of the lease.
// One goroutine has it; those that call the function report to it.
//
// Each tenant that has events in memory is a line. The events of a line that was held,
// because one of them failed or the line became too long, are marked in the database
// (delivered_at is -1), where they are in nobody's way, and are read for that tenant
// alone when it is due. A line stays held until the database has none of its events.
type courier struct {
	box     *Outbox
	lease   *sqlkit.Lease
	lines   map[tenancy.ID]*line
	ready   []*line        // wait for a call, in this order
	known   map[int64]bool // events in memory, and those whose mark is not written
	calls   int            // under way and not overdue
	overdue int            // those that are
	again   bool           // a held line ran out of events in memory
	loaded  bool
	asked   time.Time // when events were last looked for that somebody skipped
	results chan result
	ended   chan struct{} // nobody takes results any more

	done    []int64 // delivered, to be marked
	parked  []int64 // of held lines, to be marked
	changed map[*line]bool
}

// line is a tenant's events, in order.
type line struct {
	tenant  tenancy.ID
	events  []outboxRow // the first is the one that is being delivered
	ready   bool        // is in courier.ready
	calling bool
	overdue bool
	began   time.Time // the call

	held     bool
	attempts int
	due      time.Time
	problem  string
}

// result is how a call ended.
type result struct {
	line *line
	err  error
}

func newCourier(o *Outbox, lease *sqlkit.Lease) *courier {
	return &courier{
		box: o, lease: lease, lines: map[tenancy.ID]*line{}, known: map[int64]bool{}, changed: map[*line]bool{},
		results: make(chan result), ended: make(chan struct{}),
	}
}

// run delivers until ctx ends or the lease is lost.
func (c *courier) run(ctx context.Context) error {
	defer func() {
		close(c.ended)
		c.box.overdue.Add(-int64(c.overdue)) // nobody waits for them any more
	}()
	poll := time.NewTicker(c.box.opts.Poll)
	defer poll.Stop()
	for {
		err := c.load(ctx)
		if err == nil {
			err = c.deliver(ctx, poll.C)
		}
		if ctx.Err() != nil {
			return c.end(ctx)
		}
		if errors.Is(err, tenancy.ErrConflict) {
			return err
		}
		c.box.opts.Logger.WarnContext(ctx, "catalog: the outbox cannot read or mark events; trying again", slog.Duration("in", time.Second), slog.Any("error", err))
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// deliver delivers until ctx ends or something fails. It can be called again.
func (c *courier) deliver(ctx context.Context, poll <-chan time.Time) error {
	look, tick := true, true
	for {
		more, err := c.step(ctx, look, tick || c.again)
		if err != nil || ctx.Err() != nil {
			return err
		}
		look, tick = more, false
		if look || c.again {
			continue
		}
		select {
		case <-ctx.Done():
		case r := <-c.results:
			c.take(ctx, r)
		case <-c.box.toDeliver:
			look = true
		case <-poll:
			look, tick = true, true
		}
	}
}

// load begins with the lines that are held in the database. The clock of the one that
// wrote when they are due may have been another's.
func (c *courier) load(ctx context.Context) error {
	if c.loaded {
		return nil
	}
	all, err := c.box.readHeld(ctx)
	if err != nil {
		return err
	}
	latest := time.Now().Add(c.box.opts.RetryMost)
	for _, h := range all {
		due := time.UnixMicro(h.Due)
		if due.After(latest) {
			due = latest
		}
		c.lines[h.Tenant] = &line{tenant: h.Tenant, held: true, attempts: h.Attempts, due: due, problem: h.Problem}
	}
	c.loaded = true
	return nil
}

// step starts deliveries and writes finished ones. With look it reads new events, and reports whether there are
// more; at a tick it also looks after the lines.
func (c *courier) step(ctx context.Context, look, tick bool) (more bool, err error) {
	for taken := true; taken; {
		select {
		case r := <-c.results:
			c.take(ctx, r)
		default:
			taken = false
		}
	}
	c.dispatch(ctx)
	if tick || len(c.changed) > 0 || len(c.done)+len(c.parked) >= marksAtOnce {
		if err := c.flush(ctx); err != nil {
			return false, err
		}
	}
	if tick {
		c.again = false
		c.hurry(ctx)
		if time.Since(c.asked) >= skipPoll && c.holdsFailed() {
			c.asked = time.Now()
			if err := c.readSkipped(ctx); err != nil {
				return false, err
			}
		}
		if err := c.readDue(ctx); err != nil {
			return false, err
		}
	}
	if look {
		if more, err = c.read(ctx); err != nil {
			return false, err
		}
	}
	c.dispatch(ctx)
	if len(c.changed) > 0 {
		err = c.flush(ctx)
	}
	return more, err
}

// take notes how a call ended.
func (c *courier) take(ctx context.Context, r result) {
	l := r.line
	l.calling = false
	if l.overdue {
		l.overdue = false
		c.overdue--
		c.box.overdue.Add(-1)
	} else {
		c.calls--
	}
	first := l.events[0]
	if r.err == nil {
		l.events = l.events[1:]
		c.done = append(c.done, first.seq)
		c.box.delivered.Add(1)
		if l.attempts > 0 {
			l.attempts, l.problem, l.due = 0, "", time.Now()
			c.changed[l] = true
		}
		c.again = c.again || l.held && len(l.events) == 0
		c.queue(l)
		return
	}
	if ctx.Err() != nil {
		return // which the function was told, too
	}
	l.attempts++
	pause := c.box.backoff(l.attempts)
	c.hold(l, pause, r.err)
	c.box.failed.Add(1)
	c.box.problems.set("the function", r.err)
	c.box.opts.Logger.WarnContext(ctx, "catalog: an event could not be delivered; the tenant's events wait", slog.String("tenant", string(l.tenant)),
		slog.String("event", first.event.ID), slog.Int("attempt", l.attempts), slog.Duration("in", pause), slog.Any("error", r.err))
}

// hold leaves the line's events in the database, except the one of a running call.
func (c *courier) hold(l *line, pause time.Duration, problem error) {
	l.held, l.due = true, time.Now().Add(pause)
	if problem != nil {
		l.problem = plaintext.Cut(plaintext.Printable(problem.Error()), 200)
	}
	c.changed[l] = true
	stay := 0
	if l.calling {
		stay = 1
	}
	for _, row := range l.events[stay:] {
		c.parked = append(c.parked, row.seq)
	}
	l.events = l.events[:stay]
}

// holdsFailed reports whether an event of any line failed and is to be tried again.
func (c *courier) holdsFailed() bool {
	for _, l := range c.lines {
		if l.held && l.attempts > 0 {
			return true
		}
	}
	return false
}

// hurry takes the places of calls that exceed their time, and removes events behind slow calls from memory.
func (c *courier) hurry(ctx context.Context) {
	for _, l := range c.lines {
		if !l.calling {
			continue
		}
		took := time.Since(l.began)
		if took > slow && len(l.events) > 1 {
			c.hold(l, 0, nil)
		}
		if took > c.box.opts.Timeout+slow && !l.overdue && c.overdue < maxOverdue {
			l.overdue = true
			c.calls--
			c.overdue++
			c.box.overdue.Add(1)
			c.box.opts.Logger.WarnContext(ctx, "catalog: a call with an event does not return although its context ended; the tenant's events wait",
				slog.String("tenant", string(l.tenant)), slog.String("event", l.events[0].event.ID))
		}
	}
}

// flush writes marks and held lines.
func (c *courier) flush(ctx context.Context) error {
	if len(c.done)+len(c.parked)+len(c.changed) == 0 {
		return nil
	}
	err := c.box.write(ctx, c.lease, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := c.box.mark(ctx, tx, "delivered_at", time.Now().UnixMicro(), c.done); err != nil {
			return err
		}
		if err := c.box.park(ctx, tx, c.parked); err != nil {
			return err
		}
		for l := range c.changed {
			if !l.held {
				if err := c.box.removeHeld(ctx, tx, l.tenant); err != nil {
					return err
				}
				continue
			}
			if err := c.box.putHeld(ctx, tx, heldRow{l.tenant, l.attempts, l.due.UnixMicro(), l.problem}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, seq := range slices.Concat(c.done, c.parked) {
		delete(c.known, seq)
	}
	c.done, c.parked = c.done[:0], c.parked[:0]
	clear(c.changed)
	maps.DeleteFunc(c.lines, func(_ tenancy.ID, l *line) bool { return !l.held && !l.calling && len(l.events) == 0 })
	return nil
}

// readDue reads the events of held lines whose time has come, after all marks were
// written. A line without any is held no longer.
func (c *courier) readDue(ctx context.Context) error {
	now := time.Now()
	for _, l := range c.lines {
		if !l.held || l.calling || len(l.events) > 0 || l.due.After(now) {
			continue
		}
		if len(c.ready) >= c.box.opts.Parallel || len(c.known) >= inMemory {
			return nil
		}
		rows, err := c.box.read(ctx, `tenant_id = ? AND delivered_at <= 0 ORDER BY seq LIMIT ?`, l.tenant, lineLength)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			l.held = false
			c.changed[l] = true
			continue
		}
		for _, row := range rows {
			l.events = append(l.events, row)
			c.known[row.seq] = true
		}
		c.queue(l)
	}
	return c.flush(ctx)
}

// read reads new events into their lines, and reports whether there may be more.
func (c *courier) read(ctx context.Context) (more bool, err error) {
	if len(c.known) >= inMemory {
		return false, nil
	}
	limit := outboxPage + len(c.known)
	rows, err := c.box.read(ctx, `delivered_at = 0 ORDER BY seq LIMIT ?`, limit)
	if err != nil {
		return false, err
	}
	for _, row := range rows {
		if c.known[row.seq] {
			continue
		}
		c.known[row.seq] = true
		l := c.lines[row.event.Tenant]
		if l == nil {
			l = &line{tenant: row.event.Tenant}
			c.lines[row.event.Tenant] = l
		}
		if !l.held && len(l.events) >= lineLength {
			c.hold(l, 0, nil)
		}
		if l.held {
			c.parked = append(c.parked, row.seq)
			continue
		}
		l.events = append(l.events, row)
		c.queue(l)
	}
	return len(rows) == limit, nil
}

// queue makes the line wait for a call, if it has something to deliver.
func (c *courier) queue(l *line) {
	if l.ready || l.calling || len(l.events) == 0 {
		return
	}
	l.ready = true
	c.ready = append(c.ready, l)
}

// dispatch starts as many calls as there are places.
func (c *courier) dispatch(ctx context.Context) {
	for len(c.ready) > 0 && c.calls < c.box.opts.Parallel && ctx.Err() == nil {
		l := c.ready[0]
		c.ready = c.ready[1:]
		l.ready = false
		if len(l.events) == 0 { // it is held since
			continue
		}
		l.calling, l.began = true, time.Now()
		c.calls++
		e := l.events[0].event
		go func() {
			r := result{l, c.box.call(ctx, e)}
			select {
			case c.results <- r:
			case <-c.ended:
			}
		}()
	}
}

// call calls the application's function.
func (o *Outbox) call(ctx context.Context, e Event) (err error) {
	ctx, cancel := context.WithTimeout(ctx, o.opts.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return o.opts.Deliver(ctx, e)
}

// end waits for calls and marks what they delivered. What is not marked is delivered
// again.
func (c *courier) end(ctx context.Context) error {
	timeout := time.After(outboxGrace)
	for waiting := true; waiting && c.calls > 0; {
		select {
		case r := <-c.results:
			c.take(ctx, r)
		case <-timeout:
			waiting = false
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outboxGrace)
	defer cancel()
	if err := c.flush(ctx); err != nil && !errors.Is(err, tenancy.ErrConflict) {
		c.box.opts.Logger.WarnContext(ctx, "catalog: delivered events could not be marked; they will be delivered again", slog.Any("error", err))
	}
	return nil
}
