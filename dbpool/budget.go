package dbpool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/nextuse"
	"github.com/artflow-studio/tenancy/internal/spans"
)

// budget holds the slots of a server, or of several that share them, for physical
// connections. It decides which tenant gets a connection next; dialling and closing
// happen outside of its lock.
//
// A request never dials. It takes an idle connection of its lane, or waits in the lane:
// then whichever comes first serves it, a connection that the lane gets back or one that
// is dialled in the background. Lanes that want a dial stand
// in a ring, so that one with a thousand waiters does not delay one with a
// single waiter. A dial takes a free slot of the budget, or that of the idle
// connection that is least worth keeping; where the engine can, it switches that
// connection itself.
type budget struct {
	name      string // of the server whose budget it is
	limits    limits
	metrics   *metrics      // nil: none
	attribute attribute.Set // of its metrics

	mu      sync.Mutex // guards what follows, and all lanes of the budget; never held across I/O
	live    int        // physical connections, from before the dial until after the close
	dialing int
	closing int // those that are being closed in nobody's place
	// renewing is how many are replaced, or closed while idle, because of their age.
	renewing int
	loan     loan
	ring     [classes]list[*lane] // lanes that want a connection dialled
	waiting  list[*lane]          // lanes with waiters, in the ring or not
	orphans  orphans
	idle     []*conn       // all that are idle, in no order
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

// limits are those of a budget.
type limits struct {
	budget int           // physical connections
	dials  int           // dials in flight
	queue  int           // waiters of one tenant
	wait   time.Duration // of one waiter
	life   time.Duration // of a connection; 0: forever
	idle   time.Duration // how long a connection may be idle; 0: forever
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
	// cleanTimeout bounds the cleaning of a session, and the switching of a connection.
	cleanTimeout = 5 * time.Second
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

func newBudget(name string, l limits) *budget {
	b := &budget{name: name, limits: l, cost: time.Millisecond}
	b.attribute = attribute.NewSet(attribute.String("db.client.connection.pool.name", name))
	b.noTasks = sync.NewCond(&b.mu)
	b.visits = nextuse.New(b.cost)
	b.orphans.closed = make(chan struct{})
	b.stat.Budget = l.budget
	return b
}

// acquire returns a connection of the lane's tenant, an idle one at once.
func (b *budget) acquire(ctx context.Context, l *lane) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, tenancy.ErrClosed
	}
	if l.moved {
		b.mu.Unlock()
		return nil, errMoved
	}
	b.stat.Requests++
	now := time.Now()
	b.dropStale(l, now)
	if c := l.popIdle(); c != nil {
		b.markUsed(c, now)
		b.mu.Unlock()
		c.waited = false
		return c, nil
	}
	w, err := b.enqueue(ctx, l, now)
	if err != nil {
		b.stat.Refused++
		b.mu.Unlock()
		return nil, err
	}
	l.want(now)
	start := b.schedule(now)
	b.mu.Unlock()
	b.run(start)
	return b.await(ctx, l, w)
}

// enqueue adds a waiter, unless its wait is hopeless.
func (b *budget) enqueue(ctx context.Context, l *lane, now time.Time) (*waiter, error) {
	if l.live == 0 {
		if err := l.breaker.refuses(now); err != nil {
			return nil, err
		}
		if err := l.server.breaker.refusesTenant(l.breaker.failing(now), now); err != nil {
			return nil, err
		}
	}
	class := classOf(ctx)
	wait, first := b.estimate(class, now)
	if n := l.waiters[class].len(); n >= b.limits.queue {
		return nil, &BusyError{Reason: fmt.Sprintf("%d requests of the tenant wait already", n), After: wait}
	}
	if deadline, ok := ctx.Deadline(); ok && l.live == 0 && wait > deadline.Sub(now) {
		// What dials took is not believed forever: at times one begins.
		if !first || now.Sub(b.costAt) < costTime {
			return nil, &BusyError{Reason: fmt.Sprintf("a connection is %v away, longer than the request has", wait), After: wait}
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

// await waits for the waiter's turn, the end of its context, or the maximum.
func (b *budget) await(ctx context.Context, l *lane, w *waiter) (c *conn, err error) {
	ctx, end := spans.Start(ctx, scope, "tenancy.dbpool.acquire",
		attribute.String("tenancy.tenant.id", string(l.tenant)), attribute.String("tenancy.server", l.server.name))
	defer func() { end(err) }()
	timeout := time.NewTimer(b.limits.wait)
	defer timeout.Stop()
	select {
	case it := <-w.got:
		if it.err == nil {
			b.waited(time.Since(w.since))
		}
		return it.conn, it.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timeout.C:
		err = &BusyError{After: b.limits.wait}
	}
	b.mu.Lock()
	var busy *BusyError
	if errors.As(err, &busy) {
		busy.Reason = fmt.Sprintf("none came free in %v; the tenant has %d of at most %d; server %q has %d of %d, %d in use, and %d requests wait",
			b.limits.wait, l.live, l.conns.most, l.server.name, b.live, b.ceiling(time.Now()), b.stat.InUse, b.stat.Waiting)
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

// release takes a connection back, and hands it to the lane that is next.
func (b *budget) release(c *conn, reusable bool) {
	now := time.Now()
	b.mu.Lock()
	if reusable && b.orphans.wait.head != nil && b.orphans.hand(helper{conn: c}, c.lane.killer) {
		b.mu.Unlock()
		return
	}
	b.stat.InUse--
	l := c.lane
	tooMany := l.live-l.closing > l.conns.most || b.live-b.closing > b.ceiling(now)
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
func (b *budget) serve(l *lane, now time.Time) {
	for len(l.idle) > 0 {
		w := l.next()
		if w == nil {
			return
		}
		b.handOver(w, l.popIdle(), now)
	}
}

// handOver gives a connection to a waiter.
func (b *budget) handOver(w *waiter, c *conn, now time.Time) {
	c.lane.remove(w)
	b.stat.Waiting--
	b.stat.WaitTime += now.Sub(w.since)
	b.stat.HandOvers++
	b.markUsed(c, now)
	c.waited = true
	w.got <- grant{conn: c}
}

// markUsed marks a connection as in use.
func (b *budget) markUsed(c *conn, now time.Time) {
	c.lane.touch(now)
	b.visits.Used(&c.lane.visits, c.uses == 0, b.cost, now)
	c.uses++
	b.stat.InUse++
}

// done ends a task. The caller has the lock.
func (b *budget) done() {
	b.tasks--
	if b.tasks == 0 {
		b.noTasks.Broadcast()
	}
}

// discard closes a connection that is neither idle nor in use, and then frees
// its slot, and calls done if that is not nil. The caller has the lock.
func (b *budget) discard(c *conn, done func()) {
	b.tasks++
	b.closing++
	c.lane.closing++
	go func() {
		c.closeForGood()
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
func (b *budget) removeIdle(c *conn) {
	c.lane.unlinkIdle(c)
	last := b.idle[len(b.idle)-1]
	b.idle[c.at] = last
	last.at = c.at
	b.idle[len(b.idle)-1] = nil
	b.idle = b.idle[:len(b.idle)-1]
}

// close ends everything that is idle, and refuses what comes.
func (b *budget) close() {
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
	idle := append([]*conn(nil), b.idle...)
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
func (b *budget) waitForTasks() {
	for b.tasks > 0 {
		b.noTasks.Wait()
	}
}
