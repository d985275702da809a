package dbpool

import (
	"context"
	"math/rand/v2"
	"time"
)

// lifeSpread is by which part lives are shorter, at random, so that connections that
// were made together do not end together.
const lifeSpread = 5

// sweepMost is the longest time between two looks at idle connections.
const sweepMost = time.Minute

// endOfLife returns when a connection that is made now has lived long enough; the
// zero time is never.
func (l limits) endOfLife(now time.Time) time.Time {
	if l.life == 0 {
		return time.Time{}
	}
	return now.Add(l.life - rand.N(l.life/lifeSpread+1)) //nolint:gosec // not a secret
}

// renewals is how many connections may be replaced, or closed for their age, at once.
func (l limits) renewals() int { return max(1, l.dials/2) }

// old reports whether a connection has lived long enough.
func (c *conn) old(now time.Time) bool { return !c.endsAt.IsZero() && !now.Before(c.endsAt) }

// stale reports whether a connection was idle for too long.
func (l limits) stale(c *conn, now time.Time) bool {
	return l.idle > 0 && now.Sub(c.idleSince) >= l.idle
}

// dropStale closes a lane's connections that were idle for too long. The caller has
// the lock.
func (b *budget) dropStale(l *lane, now time.Time) {
	for len(l.idle) > 0 && b.limits.stale(l.idle[0], now) {
		c := l.idle[0]
		b.removeIdle(c)
		b.discard(c, nil)
	}
}

// renewal decides to dial in the place of a connection that comes back and has lived
// long enough. While dialing does not work the connection stays. The caller has the
// lock.
func (b *budget) renewal(c *conn, now time.Time) (d plan, ok bool) {
	l := c.lane
	if !c.old(now) || l.dialing || b.dialing >= b.limits.dials || b.renewing >= b.limits.renewals() ||
		l.server.breaker.tripped() || l.breaker.open(now) {
		return plan{}, false
	}
	b.renewing++
	l.live-- // begin counts it again
	d = plan{lane: l, generation: l.generation, victim: c, renews: true}
	b.begin(d)
	return d, true
}

// sweep closes idle connections that have lived long enough or were idle for too
// long, a few at a time.
func (b *budget) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := 0; i < len(b.idle) && !b.closed && b.renewing < b.limits.renewals(); {
		c := b.idle[i]
		if !c.old(now) && !b.limits.stale(c, now) {
			i++
			continue
		}
		b.removeIdle(c) // another one is at i then
		b.renewing++
		b.discard(c, func() {
			b.mu.Lock()
			b.renewing--
			b.mu.Unlock()
			b.sweep(time.Now())
		})
	}
}

// age sweeps the budgets of all servers until the context ends.
func (p *Pool) age(ctx context.Context) {
	every := sweepMost
	for _, d := range []time.Duration{p.opts.MaxLifetime, p.opts.MaxIdleTime} {
		if d > 0 {
			every = min(every, max(d/10, time.Second))
		}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, b := range p.budgets() {
				b.sweep(now)
			}
		}
	}
}
