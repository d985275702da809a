package dbpool

import (
	"iter"
	"math"
	"time"
)

// policy decides which idle connection is least worth keeping. The group's lock
// guards it.
type policy interface {
	// used is told of each use of a connection, when it begins.
	used(c *physical, now time.Time)
	// least returns the one of some idle connections that is least worth
	// keeping, or nil if there are none.
	least(of iter.Seq[*physical], now time.Time) *physical
}

// nextUse gives up the connection that seems to have the fewest uses a second
// ahead. It expects a tenant's visits to be as far apart as its latest ones were,
// and a connection that was idle for a while to stay so for half as long again.
// To one that came back just now it adds the chance that the visitor has another
// query, which it learns from other visitors.
//
// It counts in visits and dials, not in seconds, so it knows as much at one
// request a second as at thousands. What it knows of a tenant outlasts the
// connection.
type nextUse struct {
	group *group
	began time.Time

	// Of visits that began with a dial:
	again float64       // the share that had another query soon, less than 1
	after time.Duration // how soon
}

const (
	// memory is how many visits tell the pace of a tenant.
	memory = 8
	// away is after how many times its pace a tenant was away, as people are at
	// night: that says nothing about its pace when it is back.
	away = 16
	// soon is within how many dials' time a visitor's next query comes.
	soon = 4
	// visitors is how many of them tell whether one does.
	visitors = 32
)

func newNextUse(g *group) *nextUse { return &nextUse{group: g, began: time.Now(), after: g.cost} }

func (p *nextUse) used(c *physical, now time.Time) {
	q := c.queue
	if gap := now.Sub(q.freed); q.fresh && gap < soon*p.group.cost {
		p.again = min(p.again+1./visitors, 1-1./visitors)
		p.after += (gap - p.after) / visitors
	}
	if q.fresh = c.uses == 0; q.fresh {
		p.again -= p.again / visitors
	}
	q.pace.add(now.Sub(p.began), p.group.cost)
}

func (p *nextUse) least(of iter.Seq[*physical], now time.Time) *physical {
	var worst *physical
	var lowest float64
	var longest time.Duration
	for c := range of {
		idle := now.Sub(c.idleSince)
		apart := max(c.queue.pace.apart(now.Sub(p.began)), idle/2)
		rate := 1/apart.Seconds() + p.chance(idle)/p.after.Seconds()
		if worst == nil || rate < lowest || rate == lowest && idle > longest {
			worst, lowest, longest = c, rate, idle
		}
	}
	return worst
}

// chance is how likely a visitor has another query when none came so far.
func (p *nextUse) chance(idle time.Duration) float64 {
	yet := p.again * math.Exp(-idle.Seconds()/p.after.Seconds())
	return yet / (yet + 1 - p.again)
}

// pace is how fast the visits of a tenant follow each other: the latest memory
// of them, to twice as many.
type pace struct {
	visits           int           // since from, with that one
	from, half, last time.Duration // when visits began; half is the one memory after from
}

// add counts a use, unless it is of a visit that began just before.
func (p *pace) add(at, visit time.Duration) {
	gap := at - p.last
	if p.visits > 0 && gap < visit {
		return
	}
	if p.visits > memory {
		if apart := p.apart(p.last); gap > away*apart {
			p.from += gap - apart
			p.half += gap - apart
		}
	}
	p.last = at
	p.visits++
	switch p.visits {
	case 1:
		p.from = at
	case 1 + memory:
		p.half = at
	case 1 + 2*memory:
		p.from, p.half, p.visits = p.half, at, 1+memory
	}
}

// apart is the time from one visit to the next; for ever, when there was one at
// most.
func (p *pace) apart(at time.Duration) time.Duration {
	if p.visits < 2 {
		return math.MaxInt64
	}
	return (at - p.from) / time.Duration(p.visits-1)
}

// victim returns the idle connection to give up for q, of another tenant than
// q's, or nil. Connections that a tenant keeps in reserve go last.
func (g *group) victim(q *queue, now time.Time) *physical {
	if c := g.policy.least(g.candidates(q, false), now); c != nil {
		return c
	}
	return g.policy.least(g.candidates(q, true), now)
}

// candidates yields of each tenant but q's the idle connection that was used
// least lately: of the tenants with no more of them than they keep in reserve,
// or of the others.
func (g *group) candidates(q *queue, reserved bool) iter.Seq[*physical] {
	return func(yield func(*physical) bool) {
		for _, c := range g.idle {
			o := c.queue
			if o != q && c == o.idle[0] && (len(o.idle) <= o.conns.reserve) == reserved && !yield(c) {
				return
			}
		}
	}
}
