package dbpool

import (
	"iter"
	"math"
	"time"
)

// policy decides which idle connection is least worth keeping. The budget's lock
// guards it.
type policy interface {
	// used is told of each use of a connection, when it begins.
	used(c *conn, now time.Time)
	// least returns the one of some idle connections that is least worth
	// keeping, or nil if there are none.
	least(of iter.Seq[*conn], now time.Time) *conn
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
	budget *budget
	began  time.Time

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

func newNextUse(b *budget) *nextUse { return &nextUse{budget: b, began: time.Now(), after: b.cost} }

func (p *nextUse) used(c *conn, now time.Time) {
	l := c.lane
	if gap := now.Sub(l.freed); l.fresh && gap < soon*p.budget.cost {
		p.again = min(p.again+1./visitors, 1-1./visitors)
		p.after += (gap - p.after) / visitors
	}
	if l.fresh = c.uses == 0; l.fresh {
		p.again -= p.again / visitors
	}
	l.pace.add(now.Sub(p.began), p.budget.cost)
}

func (p *nextUse) least(of iter.Seq[*conn], now time.Time) *conn {
	var worst *conn
	var lowest float64
	var longest time.Duration
	for c := range of {
		idle := now.Sub(c.idleSince)
		apart := max(c.lane.pace.apart(now.Sub(p.began)), idle/2)
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
