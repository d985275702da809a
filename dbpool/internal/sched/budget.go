package sched

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/nextuse"
	"github.com/artflow-studio/tenancy/internal/spans"
)

// Budget holds the slots of a server, or of several that share them. See the package comment.
type Budget struct {
	name string // of the server whose budget it is
	opts Options

	mu      sync.Mutex // guards what follows, and all lanes of the budget; never held across I/O
	live    int        // connections, from before the dial until after the close
	dialing int
	closing int // those that are being closed in nobody's place
	// renewing is how many are replaced, or closed while idle, because of their age.
	renewing int
	loan     loan
	ring     [classes]list[*Lane] // lanes that want a connection dialled
	waiting  list[*Lane]          // lanes with waiters, in the ring or not
	orphans  orphans
	idle     []*Conn       // all that are idle, in no order
	timer    *time.Timer   // set while lanes wait
	timed    bool          // the timer runs
	cost     time.Duration // of a dial, switching included, moving average
	costAt   time.Time     // when it was measured last
	tasks    int           // dials and closes in flight
	noTasks  *sync.Cond    // tasks came to 0
	closed   bool
	stat     Stat
	visits   *nextuse.Policy // which idle connection is least worth keeping
}

const (
	// patience is how long a tenant with connections waits for one of them
	// before it wants another.
	patience = 5 * time.Millisecond
	// costTime is for how long no dial is begun because the last ones took longer
	// than those who ask for it have.
	costTime = time.Second
	// dialTimeout bounds a dial, if requests do not wait for longer.
	dialTimeout = 10 * time.Second
	// crowd is how many waiters for each of its connections make a tenant want
	// another at once.
	crowd = 4
	// patientTurns is for how many rounds of the ring a tenant is passed by
	// others with more waiters.
	patientTurns = 2
	// turn is for how many dials' time a tenant may hand a connection on while
	// others wait for a slot.
	turn = 4
)

// New returns a budget of the server of that name.
func New(name string, opts Options) *Budget {
	b := &Budget{name: name, opts: opts, cost: time.Millisecond}
	b.noTasks = sync.NewCond(&b.mu)
	b.visits = nextuse.New(b.cost)
	b.orphans.closed = make(chan struct{})
	b.loan.total = opts.Lent
	b.stat.Budget = opts.Slots
	return b
}

// Name returns the name of the server whose budget it is.
func (b *Budget) Name() string { return b.name }

// Acquire returns a connection of the lane's tenant, and whether the request waited for it: an
// idle connection is there at once. The caller releases it.
//
// It returns the context's error as it is, [ErrMoved], an error that wraps [tenancy.ErrClosed], one
// that [Errors] make, or that of the dial it waited for.
func (l *Lane) Acquire(ctx context.Context) (c *Conn, waited bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	b := l.budget
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, false, tenancy.ErrClosed
	}
	if l.moved {
		b.mu.Unlock()
		return nil, false, ErrMoved
	}
	b.stat.Requests++
	now := time.Now()
	b.dropStale(l, now)
	if c := l.popIdle(); c != nil {
		b.markUsed(c, now)
		b.mu.Unlock()
		return c, false, nil
	}
	w, err := b.enqueue(ctx, l, now)
	if err != nil {
		b.stat.Refused++
		b.mu.Unlock()
		return nil, false, err
	}
	l.want(now)
	start := b.schedule(now)
	b.mu.Unlock()
	b.run(start)
	c, err = b.await(ctx, l, w)
	return c, true, err
}

// enqueue adds a waiter, unless its wait is hopeless.
func (b *Budget) enqueue(ctx context.Context, l *Lane, now time.Time) (*waiter, error) {
	if l.live == 0 {
		if until := l.breaker.refuses(now); !until.IsZero() {
			return nil, b.down(&l.breaker, until.Sub(now))
		}
		if until := l.server.breaker.refusesTenant(l.breaker.failing(now), now); !until.IsZero() {
			return nil, b.down(&l.server.breaker, until.Sub(now))
		}
	}
	class := classOf(ctx)
	wait, first := b.estimate(class, now)
	if n := l.waiters[class].len(); n >= b.opts.Queue {
		return nil, b.opts.Errors.Busy(fmt.Sprintf("%d requests of the tenant wait already", n), wait)
	}
	if deadline, ok := ctx.Deadline(); ok && l.live == 0 && wait > deadline.Sub(now) {
		// What dials took is not believed forever: at times one begins.
		if !first || now.Sub(b.costAt) < costTime {
			return nil, b.opts.Errors.Busy(fmt.Sprintf("a connection is %v away, longer than the request has", wait), wait)
		}
	}
	w := &waiter{got: make(chan grant, 1), since: now, class: class}
	w.node = l.waiters[class].push(w)
	if l.waits == nil {
		l.waits = b.waiting.push(l)
	}
	b.stat.Waiting++
	b.stat.Waits++
	return w, nil
}

func (b *Budget) down(by *breaker, after time.Duration) error {
	return b.opts.Errors.Down(by.failures, after, by.err)
}

// await waits for the waiter's turn, the end of its context, or the maximum.
func (b *Budget) await(ctx context.Context, l *Lane, w *waiter) (c *Conn, err error) {
	ctx, end := spans.Start(ctx, Scope, "tenancy.dbpool.acquire",
		attribute.String("tenancy.tenant.id", string(l.tenant)), attribute.String("tenancy.server", l.server.name))
	defer func() { end(err) }()
	timeout := time.NewTimer(b.opts.Wait)
	defer timeout.Stop()
	select {
	case it := <-w.got:
		if it.err == nil && b.opts.Timings.Waited != nil {
			b.opts.Timings.Waited(time.Since(w.since))
		}
		return it.conn, it.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timeout.C:
	}
	b.mu.Lock()
	if err == nil {
		err = b.opts.Errors.Busy(fmt.Sprintf("none came free in %v; the tenant has %d of at most %d; server %q has %d of %d, %d in use, and %d requests wait",
			b.opts.Wait, l.live, l.conns.Most, l.server.name, b.live, b.ceiling(time.Now()), b.stat.InUse, b.stat.Waiting), b.opts.Wait)
	}
	served := w.node == nil
	if !served {
		l.remove(w)
		b.stat.Waiting--
		b.stat.WaitTime += time.Since(w.since)
		b.stat.GaveUp++
	}
	b.mu.Unlock()
	if served { // at the same moment
		if it := <-w.got; it.conn != nil {
			b.release(it.conn, true)
		}
	}
	return nil, err
}

// release takes a connection back, and hands it to the waiter who is next.
func (b *Budget) release(c *Conn, reusable bool) {
	now := time.Now()
	b.mu.Lock()
	if reusable && b.orphans.wait.head != nil && b.orphans.hand(helper{wire: c.Wire, conn: c}, c.lane.killer) {
		b.mu.Unlock()
		return
	}
	b.stat.InUse--
	l := c.lane
	tooMany := l.live-l.closing > l.conns.Most || b.live-b.closing > b.ceiling(now)
	if !reusable || b.closed || tooMany || c.generation != l.generation {
		b.discard(c, nil)
		b.mu.Unlock()
		return
	}
	if d, ok := b.renewal(c, now); ok {
		b.mu.Unlock()
		b.run([]plan{d})
		return
	}
	if w := l.next(); w != nil && !b.turnIsOver(c, now) {
		b.handOver(w, c, now)
		b.mu.Unlock()
		return
	}
	l.pushIdle(c, now)
	start := b.schedule(now)
	b.serve(l, now)
	b.mu.Unlock()
	b.run(start)
}

// serve gives a lane's idle connections to its waiters.
func (b *Budget) serve(l *Lane, now time.Time) {
	for len(l.idle) > 0 {
		w := l.next()
		if w == nil {
			return
		}
		b.handOver(w, l.popIdle(), now)
	}
}

// handOver gives a connection to a waiter.
func (b *Budget) handOver(w *waiter, c *Conn, now time.Time) {
	c.lane.remove(w)
	b.stat.Waiting--
	b.stat.WaitTime += now.Sub(w.since)
	b.stat.HandOvers++
	b.markUsed(c, now)
	w.got <- grant{conn: c}
}

// markUsed marks a connection as in use.
func (b *Budget) markUsed(c *Conn, now time.Time) {
	c.lane.touch(now)
	b.visits.Used(&c.lane.visits, c.uses == 0, b.cost, now)
	c.uses++
	b.stat.InUse++
}

// done ends a task. The caller has the lock.
func (b *Budget) done() {
	b.tasks--
	if b.tasks == 0 {
		b.noTasks.Broadcast()
	}
}

// discard closes a connection that is neither idle nor in use, and then frees
// its slot, and calls done if that is not nil. The caller has the lock.
func (b *Budget) discard(c *Conn, done func()) {
	b.tasks++
	b.closing++
	c.lane.closing++
	go func() {
		c.Wire.HangUp()
		b.mu.Lock()
		b.done()
		b.closing--
		b.live--
		c.lane.closing--
		c.lane.live--
		start := b.schedule(time.Now())
		b.mu.Unlock()
		b.run(start)
		if done != nil {
			done()
		}
	}()
}

// removeIdle takes a connection out of those that are idle.
func (b *Budget) removeIdle(c *Conn) {
	c.lane.unlinkIdle(c)
	last := b.idle[len(b.idle)-1]
	b.idle[c.inBudget] = last
	last.inBudget = c.inBudget
	b.idle[len(b.idle)-1] = nil
	b.idle = b.idle[:len(b.idle)-1]
}

// Close closes everything that is idle, refuses what comes, and returns when no dial and no
// close is in flight. Connections in use are closed when they come back.
func (b *Budget) Close() {
	b.mu.Lock()
	if b.closed {
		b.waitForTasks()
		b.mu.Unlock()
		return
	}
	b.closed = true
	close(b.orphans.closed)
	if b.timer != nil {
		b.timer.Stop()
	}
	idle := append([]*Conn(nil), b.idle...)
	for _, c := range idle {
		b.removeIdle(c)
		b.discard(c, nil)
	}
	for l := range b.waiting.all() {
		b.failAll(l, tenancy.ErrClosed)
	}
	b.waitForTasks()
	b.mu.Unlock()
}

// waitForTasks waits until no dial and no close is in flight. The caller has the lock.
func (b *Budget) waitForTasks() {
	for b.tasks > 0 {
		b.noTasks.Wait()
	}
}

// Slots returns how many connections there may be at most, with those that all instances share.
func (b *Budget) Slots() int { return b.opts.Slots + b.opts.Lent }
