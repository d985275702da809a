package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/spans"
)

// group is a server, or several that share a budget of physical connections. It
// decides which tenant gets a connection next; dialling and closing happen
// outside of its lock.
//
// A request never dials. It takes an idle connection of its tenant, or queues:
// then whichever comes first serves it, a connection that the same tenant gives
// back or one that is dialled in the background. Tenants that want a dial stand
// in a ring, so that one with a thousand waiters does not delay one with a
// single waiter. A dial takes a free slot of the budget, or that of the idle
// connection that is least worth keeping; where the engine can, it takes that
// connection itself.
type group struct {
	name      string // of the server whose budget it is
	limits    limits
	metrics   *metrics      // nil: none
	attribute attribute.Set // of its metrics

	mu      sync.Mutex // guards what follows, and all queues of the group; never held across I/O
	live    int        // physical connections, from before the dial until after the close
	dialing int
	closing int // those that are being closed in nobody's place
	// renewing is how many are replaced, or closed while idle, because of their age.
	renewing int
	loan     loan
	ring     [classes]list[*queue] // queues that want a connection dialled
	waiting  list[*queue]          // queues with waiters, in the ring or not
	orphans  orphans
	idle     []*physical   // all that are idle, in no order
	timer    *time.Timer   // set while queues wait
	timed    bool          // the timer runs
	cost     time.Duration // of a dial, switching included, moving average
	costAt   time.Time     // when it was measured last
	tasks    int           // dials and closes in flight
	rested   *sync.Cond    // tasks came to 0
	closed   bool
	stat     Stat
	policy   policy
}

// limits are those of a group.
type limits struct {
	budget int           // physical connections
	dials  int           // dials in flight
	queue  int           // waiters of one tenant
	wait   time.Duration // of one waiter
	life   time.Duration // of a connection; 0: for ever
	idle   time.Duration // how long a connection may be idle; 0: for ever
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

func newGroup(name string, l limits) *group {
	g := &group{name: name, limits: l, cost: time.Millisecond}
	g.attribute = attribute.NewSet(attribute.String("db.client.connection.pool.name", name))
	g.rested = sync.NewCond(&g.mu)
	g.policy = newNextUse(g)
	g.orphans.closed = make(chan struct{})
	g.stat.Budget = l.budget
	return g
}

// acquire returns a connection of the queue's tenant, an idle one at once.
func (g *group) acquire(ctx context.Context, q *queue) (*physical, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil, tenancy.ErrClosed
	}
	if q.moved {
		g.mu.Unlock()
		return nil, errMoved
	}
	g.stat.Requests++
	now := time.Now()
	g.dropStale(q, now)
	if c := q.popIdle(); c != nil {
		g.take(c, now)
		g.mu.Unlock()
		c.waited = false
		return c, nil
	}
	w, err := g.enqueue(ctx, q, now)
	if err != nil {
		g.stat.Refused++
		g.mu.Unlock()
		return nil, err
	}
	q.want(now)
	start := g.schedule(now)
	g.mu.Unlock()
	g.run(start)
	return g.await(ctx, q, w)
}

// enqueue adds a waiter, unless its wait is hopeless.
func (g *group) enqueue(ctx context.Context, q *queue, now time.Time) (*waiter, error) {
	if q.live == 0 {
		if err := q.breaker.refuses(now); err != nil {
			return nil, err
		}
		if err := q.server.breaker.refusesTenant(q.breaker.failing(now), now); err != nil {
			return nil, err
		}
	}
	class := classOf(ctx)
	wait, first := g.estimate(class, now)
	if n := q.waiters[class].len(); n >= g.limits.queue {
		return nil, &BusyError{Reason: fmt.Sprintf("%d requests of the tenant wait already", n), After: wait}
	}
	if deadline, ok := ctx.Deadline(); ok && q.live == 0 && wait > deadline.Sub(now) {
		// What dials took is not believed for ever: at times one begins.
		if !first || now.Sub(g.costAt) < costTime {
			return nil, &BusyError{Reason: fmt.Sprintf("a connection is %v away, longer than the request has", wait), After: wait}
		}
	}
	w := &waiter{got: make(chan grant, 1), since: now, class: class}
	w.node = q.waiters[class].push(w)
	if q.waits == nil {
		q.waits = g.waiting.push(q)
	}
	g.stat.Waiting++
	g.stat.Waits++
	return w, nil
}

// estimate is how long a dial that is wanted now will take, with those before it,
// and whether it is the first and may begin.
func (g *group) estimate(class class, now time.Time) (wait time.Duration, first bool) {
	ahead := g.dialing
	for c := foreground; c <= class; c++ {
		ahead += g.ring[c].len()
	}
	if g.live < g.ceiling(now) || len(g.idle) > 0 {
		return g.cost * time.Duration(1+ahead/g.limits.dials), ahead == 0
	}
	return g.cost * time.Duration(1+turn+ahead/g.limits.dials), false
}

// await waits for the waiter's turn, the end of its context, or the maximum.
func (g *group) await(ctx context.Context, q *queue, w *waiter) (c *physical, err error) {
	ctx, end := spans.Start(ctx, scope, "tenancy.dbpool.acquire",
		attribute.String("tenancy.tenant.id", string(q.tenant)), attribute.String("tenancy.server", q.server.name))
	defer func() { end(err) }()
	timeout := time.NewTimer(g.limits.wait)
	defer timeout.Stop()
	select {
	case it := <-w.got:
		if it.err == nil {
			g.waited(time.Since(w.since))
		}
		return it.conn, it.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timeout.C:
		err = &BusyError{After: g.limits.wait}
	}
	g.mu.Lock()
	var busy *BusyError
	if errors.As(err, &busy) {
		busy.Reason = fmt.Sprintf("none came free in %v; the tenant has %d of at most %d; server %q has %d of %d, %d in use, and %d requests wait",
			g.limits.wait, q.live, q.conns.most, q.server.name, g.live, g.ceiling(time.Now()), g.stat.InUse, g.stat.Waiting)
	}
	served := w.node == nil
	if !served {
		q.remove(w)
		g.stat.Waiting--
		g.stat.WaitTime += time.Since(w.since)
		g.stat.GaveUp++
	}
	g.mu.Unlock()
	if served { // at the same moment
		if it := <-w.got; it.conn != nil {
			g.release(it.conn, true)
		}
	}
	return nil, err
}

// release takes a connection back, and gives it to whoever should have it.
func (g *group) release(c *physical, reusable bool) {
	now := time.Now()
	g.mu.Lock()
	if reusable && g.orphans.wait.head != nil && g.orphans.lend(over{conn: c}, c.target.orphans) {
		g.mu.Unlock()
		return
	}
	g.stat.InUse--
	q := c.queue
	tooMany := q.live-q.closing > q.conns.most || g.live-g.closing > g.ceiling(now)
	if !reusable || g.closed || tooMany || c.generation != q.generation {
		g.discard(c, nil)
		g.mu.Unlock()
		return
	}
	if d, ok := g.renewal(c, now); ok {
		g.mu.Unlock()
		g.run([]dial{d})
		return
	}
	if w := q.next(); w != nil && !g.turnIsOver(c, now) {
		g.handOver(w, c, now)
		g.mu.Unlock()
		return
	}
	q.pushIdle(c, now)
	start := g.schedule(now)
	g.serve(q, now)
	g.mu.Unlock()
	g.run(start)
}

// serve gives a queue's idle connections to its waiters.
func (g *group) serve(q *queue, now time.Time) {
	for len(q.idle) > 0 {
		w := q.next()
		if w == nil {
			return
		}
		g.handOver(w, q.popIdle(), now)
	}
}

// turnIsOver reports whether a tenant has had its share in a row of a
// connection whose slot others wait for.
func (g *group) turnIsOver(c *physical, now time.Time) bool {
	if g.live < g.ceiling(now) || g.dialing >= g.limits.dials || len(g.idle) > 0 || !g.othersWant(c.queue) {
		c.turnBegan = time.Time{}
		return false
	}
	if c.turnBegan.IsZero() {
		c.turnBegan = now
		return false
	}
	return now.Sub(c.turnBegan) > turn*g.cost
}

func (g *group) othersWant(q *queue) bool {
	n := g.ring[foreground].len()
	if q.wants != nil && q.wantsClass == foreground {
		n--
	}
	return n > 0
}

// handOver gives a connection to a waiter.
func (g *group) handOver(w *waiter, c *physical, now time.Time) {
	c.queue.remove(w)
	g.stat.Waiting--
	g.stat.WaitTime += now.Sub(w.since)
	g.stat.HandOvers++
	g.take(c, now)
	c.waited = true
	w.got <- grant{conn: c}
}

// take marks a connection as in use.
func (g *group) take(c *physical, now time.Time) {
	c.queue.touch(now)
	g.policy.used(c, now)
	c.uses++
	g.stat.InUse++
}

// dial is what schedule decided: a connection to make in the place of another,
// or of none.
type dial struct {
	queue      *queue
	target     *target
	generation uint64
	victim     *physical
	take       bool // the victim may become the tenant's
	renews     bool // the victim is the tenant's own, and old
}

// schedule decides which dials begin. It counts their slots at once; the caller
// runs them when it has given up the lock.
func (g *group) schedule(now time.Time) []dial {
	var start []dial
	for class := foreground; class < classes; class++ {
		for g.dialing < g.limits.dials {
			q := g.nextInRing(class, now)
			if q == nil {
				break
			}
			var victim *physical
			take := false
			if over := g.live - g.ceiling(now); over > 0 {
				break // it is coming down
			} else if over == 0 {
				victim = g.victim(q, now)
				g.loan.missed++
				g.removeIdle(victim)
				victim.queue.live--
				g.stat.Evictions++
				take = q.target.mayTake(victim, now)
			} else {
				g.live++
			}
			d := dial{queue: q, target: q.target, generation: q.generation, victim: victim, take: take}
			g.begin(d)
			start = append(start, d)
		}
	}
	g.watch()
	return start
}

// begin counts a dial, whose slot is counted already.
func (g *group) begin(d dial) {
	q := d.queue
	q.leaveRing()
	q.dialing = true
	q.live++
	q.server.dialing++
	g.dialing++
	g.tasks++
	if !d.take {
		g.stat.Dials++
	}
}

// nextInRing returns the queue to dial for, or nil. It is the one with most
// waiters, since a dial serves them all; but the one that has stood in the ring
// longest goes first when it has waited twice as long as taking turns would
// have made it. A tenant that has a connection counts as one with one waiter.
func (g *group) nextInRing(class class, now time.Time) *queue {
	ring := &g.ring[class]
	overdue := patientTurns * g.cost * time.Duration(1+ring.len()/g.limits.dials)
	full := g.live >= g.ceiling(now)
	var best *queue
	most := 0
	for q := range ring.all() {
		if !q.wantsDial(now) { // any more
			q.leaveRing()
			continue
		}
		if !q.server.mayDial(q, now) || full && len(q.idle) == len(g.idle) { // it would take its own place
			continue
		}
		if best == nil && now.Sub(q.next().since) > overdue {
			return q
		}
		n := 1
		if q.live == 0 {
			n = q.waiters[foreground].len() + q.waiters[background].len()
		}
		if n > most {
			best, most = q, n
		}
	}
	return best
}

// watch sets the timer by which queues that wait in vain for their own
// connections come to want another.
func (g *group) watch() {
	if g.timed || g.waiting.len() == 0 || g.closed {
		return
	}
	g.timed = true
	if g.timer == nil {
		g.timer = time.AfterFunc(patience, g.tick)
	} else {
		g.timer.Reset(patience)
	}
}

func (g *group) tick() {
	g.mu.Lock()
	g.timed = false
	now := time.Now()
	for q := range g.waiting.all() {
		q.want(now)
	}
	start := g.schedule(now)
	g.mu.Unlock()
	g.run(start)
}

// run begins dials, each in a goroutine that ends with it.
func (g *group) run(start []dial) {
	for _, d := range start {
		go g.dial(d)
	}
}

// done ends a task. The caller has the lock.
func (g *group) done() {
	g.tasks--
	if g.tasks == 0 {
		g.rested.Broadcast()
	}
}

// connect makes the connection that a dial is for.
func (g *group) connect(d dial) (inner sqldriver.Conn, took time.Duration, err error) {
	began := time.Now()
	var unswitched error
	if d.take {
		if unswitched = d.target.take(d.victim); unswitched == nil {
			g.switched(d.queue.server)
			return d.victim.inner, time.Since(began), nil
		}
	}
	if d.victim != nil {
		d.victim.end()
	}
	began = time.Now()
	inner, err = d.target.dial(max(g.limits.wait, dialTimeout))
	took = time.Since(began)
	if d.take {
		g.notSwitched(d.queue.server, unswitched, err)
	}
	if err == nil {
		g.dialled(took)
	}
	return inner, took, err
}

// switched counts a connection that was switched.
func (g *group) switched(s *server) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stat.Switches++
	s.switching.succeeded()
}

// notSwitched counts a connection that was dialled because switching failed. Where
// dialing fails too, that says nothing about switching.
func (g *group) notSwitched(s *server, err, dialing error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stat.Dials++
	if dialing == nil && !errors.Is(err, sqldriver.ErrSkip) {
		s.switching.failed(time.Now(), err)
	}
}

func (g *group) dial(d dial) {
	inner, took, err := g.connect(d)
	var fault driver.Fault
	if err != nil {
		fault = g.faultOf(d, err)
	}
	now := time.Now()
	c := &physical{inner: inner, queue: d.queue, target: d.target, generation: d.generation, endsAt: g.limits.endOfLife(now)}
	if d.take && err == nil && inner == d.victim.inner {
		c.endsAt = d.victim.endsAt
	}
	if err == nil {
		c.init()
	}
	g.mu.Lock()
	q := d.queue
	q.dialing = false
	q.server.dialing--
	g.dialing--
	if d.renews {
		g.renewing--
	}
	if err != nil {
		g.live--
		q.live--
		g.stat.Failures++
		if !q.moved { // it says nothing of where the tenant is now
			g.failed(q, err, fault, now)
		}
		g.done()
		start := g.schedule(now)
		g.mu.Unlock()
		g.run(start)
		return
	}
	if !q.moved {
		q.server.breaker.succeeded()
		q.breaker.succeeded()
	}
	g.cost, g.costAt = (7*g.cost+took)/8, now
	g.done()
	if c.generation != q.generation || g.closed {
		g.discard(c, nil)
		g.mu.Unlock()
		return
	}
	q.pushIdle(c, now)
	g.serve(q, now)
	q.want(now)
	start := g.schedule(now)
	g.mu.Unlock()
	g.run(start)
}

// faultOf says what the error of a dial is about. Where that is not clear it asks
// the server, in the place of the connection that failed, unless the answer would
// change nothing.
func (g *group) faultOf(d dial, err error) driver.Fault {
	f := d.target.fault(err)
	if f != driver.FaultUnclear {
		return f
	}
	g.mu.Lock()
	needless := d.queue.breaker.failing(time.Now()) && !d.queue.server.breaker.tripped()
	g.mu.Unlock()
	if needless {
		return f
	}
	return d.target.ask()
}

// failed counts a dial that failed, and tells those who have nothing else to
// wait for: the tenant's own waiters and, when the server is down, all. A tenant
// that fails again takes only its like along.
func (g *group) failed(q *queue, err error, f driver.Fault, now time.Time) {
	again := q.tenant != "" && q.breaker.failing(now)
	q.breaker.failed(now, err)
	b := &q.server.breaker
	switch {
	case f == driver.FaultDatabase: // the server answered
		b.succeeded()
	case again:
		b.failedAgain(now)
	default:
		b.failedFor(now, err)
	}
	if b.tripped() {
		for other := range g.waiting.all() {
			if other != q && other.server == q.server && other.live == 0 && (!again || other.breaker.failing(now)) {
				g.failAll(other, b.err)
			}
		}
	}
	if q.live == 0 {
		g.failAll(q, err)
	} else {
		q.want(now)
	}
}

// failAll tells a queue's waiters that dialling failed.
func (g *group) failAll(q *queue, err error) {
	for w := q.next(); w != nil; w = q.next() {
		q.remove(w)
		g.stat.Waiting--
		g.stat.WaitTime += time.Since(w.since)
		w.got <- grant{err: err}
	}
}

// discard closes a connection that is neither idle nor in use, and then frees
// its slot, and calls done if that is not nil. The caller has the lock.
func (g *group) discard(c *physical, done func()) {
	g.tasks++
	g.closing++
	c.queue.closing++
	go func() {
		c.end()
		g.mu.Lock()
		g.done()
		g.closing--
		g.live--
		c.queue.closing--
		c.queue.live--
		start := g.schedule(time.Now())
		g.mu.Unlock()
		g.run(start)
		if done != nil {
			done()
		}
	}()
}

// removeIdle takes a connection out of those that are idle.
func (g *group) removeIdle(c *physical) {
	c.queue.unlinkIdle(c)
	last := g.idle[len(g.idle)-1]
	g.idle[c.at] = last
	last.at = c.at
	g.idle[len(g.idle)-1] = nil
	g.idle = g.idle[:len(g.idle)-1]
}

// close ends everything that is idle, and refuses what comes.
func (g *group) close() {
	g.mu.Lock()
	if g.closed {
		g.rest()
		g.mu.Unlock()
		return
	}
	g.closed = true
	close(g.orphans.closed)
	if g.timer != nil {
		g.timer.Stop()
	}
	idle := append([]*physical(nil), g.idle...)
	for _, c := range idle {
		g.removeIdle(c)
		g.discard(c, nil)
	}
	for q := range g.waiting.all() {
		g.failAll(q, tenancy.ErrClosed)
	}
	g.rest()
	g.mu.Unlock()
}

// rest waits until no dial and no close is in flight. The caller has the lock.
func (g *group) rest() {
	for g.tasks > 0 {
		g.rested.Wait()
	}
}
