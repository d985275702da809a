package sched

import "time"

// turn is for how many dials' time a tenant may hand a connection on while
// others wait for a slot.
const turn = 4

// release takes a connection back, and hands it to the waiter who is next.
func (b *Budget) release(c *Conn, reusable bool) {
	b.mu.Lock()
	now := time.Now() // no waiter came later
	if reusable && b.orphans.wait.head != nil && b.orphans.hand(helper{wire: c.Wire, conn: c}, c.lane.killer) {
		b.mu.Unlock()
		return
	}
	l := c.lane
	b.stat.InUse--
	l.inUse--
	if !reusable || b.closed || c.generation != l.generation || b.tooMany(l, now) {
		b.discard(c, nil)
		b.mu.Unlock()
		return
	}
	if d, ok := b.renewal(c, now); ok {
		b.mu.Unlock()
		b.run([]plan{d})
		return
	}
	if w := l.next(); w != nil && !b.turnIsOver(c, w, now) {
		c.idleSince = now // though not for long
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

// tooMany reports whether a lane has more connections than it may, or the budget has.
func (b *Budget) tooMany(l *Lane, now time.Time) bool {
	return l.has() > l.conns.Most || b.live-b.closing > b.ceiling(now)
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
	b.take(c)
}

// take counts a connection that somebody has from now on.
func (b *Budget) take(c *Conn) {
	b.stat.InUse++
	c.lane.inUse++
}

// turnIsOver reports whether a lane does not hand a connection on to its waiter, because others wait for
// the slot: work of low priority gives it to requests at once, and otherwise a tenant has its share in a row.
func (b *Budget) turnIsOver(c *Conn, w *waiter, now time.Time) bool {
	requests := b.othersWant(c.lane, foreground)
	alike := requests || w.class == background && b.othersWant(c.lane, background)
	if !alike || b.live < b.ceiling(now) || b.dialing >= b.opts.Dials || len(b.idle) > 0 {
		c.turnBegan = time.Time{}
		return false
	}
	if requests && w.class == background {
		return true
	}
	if c.turnBegan.IsZero() {
		c.turnBegan = now
		return false
	}
	return now.Sub(c.turnBegan) > turn*b.cost
}

// othersWant reports whether waiters of a class in other lanes want a dial.
func (b *Budget) othersWant(l *Lane, class class) bool {
	n := b.ring[class].len()
	if l.wants != nil && l.wantsClass == class {
		n--
	}
	return n > 0
}
