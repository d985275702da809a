package sched

import (
	"math/rand/v2"
	"time"
)

// lifeSpread is by which part lives are shorter, at random, so that connections that
// were made together do not end together.
const lifeSpread = 5

// endOfLife returns when a connection that is made now has lived long enough; the
// zero time is never.
func (o *Options) endOfLife(now time.Time) time.Time {
	if o.Life == 0 {
		return time.Time{}
	}
	return now.Add(o.Life - rand.N(o.Life/lifeSpread+1)) // not a secret
}

// renewals is how many connections may be replaced, or closed for their age, at once.
func (o *Options) renewals() int { return max(1, o.Dials/2) }

// old reports whether a connection has lived long enough.
func (c *Conn) old(now time.Time) bool { return !c.endsAt.IsZero() && !now.Before(c.endsAt) }

// stale reports whether a connection was idle for too long.
func (o *Options) stale(c *Conn, now time.Time) bool {
	return o.Idle > 0 && now.Sub(c.idleSince) >= o.Idle
}

// dropStale closes a lane's connections that were idle for too long. The caller has
// the lock.
func (b *Budget) dropStale(l *Lane, now time.Time) {
	for len(l.idle) > 0 && b.opts.stale(l.idle[0], now) {
		c := l.idle[0]
		b.removeIdle(c)
		b.discard(c, nil)
	}
}

// renewal decides to dial in the place of a connection that comes back and has lived
// long enough. While dialing does not work the connection stays. The caller has the
// lock.
func (b *Budget) renewal(c *Conn, now time.Time) (d plan, ok bool) {
	l := c.lane
	if !c.old(now) || l.dialing || b.dialing >= b.opts.Dials || b.renewing >= b.opts.renewals() ||
		l.server.breaker.tripped() || l.breaker.open(now) {
		return plan{}, false
	}
	b.renewing++
	l.live-- // begin counts it again
	d = plan{lane: l, generation: l.generation, victim: c, renews: true}
	b.begin(d)
	return d, true
}

// Sweep closes idle connections that have lived long enough or were idle for too
// long, a few at a time. It returns before they are closed.
func (b *Budget) Sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := 0; i < len(b.idle) && !b.closed && b.renewing < b.opts.renewals(); {
		c := b.idle[i]
		if !c.old(now) && !b.opts.stale(c, now) {
			i++
			continue
		}
		b.removeIdle(c) // another one is at i then
		b.renewing++
		b.discard(c, func() {
			b.mu.Lock()
			b.renewing--
			b.mu.Unlock()
			b.Sweep(time.Now())
		})
	}
}
