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
func (c *physical) old(now time.Time) bool { return !c.endsAt.IsZero() && !now.Before(c.endsAt) }

// stale reports whether a connection was idle for too long.
func (l limits) stale(c *physical, now time.Time) bool {
	return l.idle > 0 && now.Sub(c.idleSince) >= l.idle
}

// dropStale closes a queue's connections that were idle for too long. The caller has
// the lock.
func (g *group) dropStale(q *queue, now time.Time) {
	for len(q.idle) > 0 && g.limits.stale(q.idle[0], now) {
		c := q.idle[0]
		g.removeIdle(c)
		g.discard(c, nil)
	}
}

// renewal decides to dial in the place of a connection that comes back and has lived
// long enough. While dialing does not work the connection stays. The caller has the
// lock.
func (g *group) renewal(c *physical, now time.Time) (d dial, ok bool) {
	q := c.queue
	if !c.old(now) || q.dialing || g.dialing >= g.limits.dials || g.renewing >= g.limits.renewals() ||
		q.server.breaker.tripped() || q.breaker.open(now) {
		return dial{}, false
	}
	g.renewing++
	q.live-- // begin counts it again
	d = dial{queue: q, target: q.target, generation: q.generation, victim: c, renews: true}
	g.begin(d)
	return d, true
}

// sweep closes idle connections that have lived long enough or were idle for too
// long, a few at a time.
func (g *group) sweep(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := 0; i < len(g.idle) && !g.closed && g.renewing < g.limits.renewals(); {
		c := g.idle[i]
		if !c.old(now) && !g.limits.stale(c, now) {
			i++
			continue
		}
		g.removeIdle(c) // another one is at i then
		g.renewing++
		g.discard(c, func() {
			g.mu.Lock()
			g.renewing--
			g.mu.Unlock()
			g.sweep(time.Now())
		})
	}
}

// age sweeps all groups until the context ends.
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
			for _, g := range p.groups() {
				g.sweep(now)
			}
		}
	}
}
