package dbpool

import (
	"iter"
	"time"
)

// plan is what schedule decided: a connection to make in the place of another,
// or of none.
type plan struct {
	lane       *lane
	generation uint64
	victim     *conn
	switches   bool // the victim may become the tenant's
	renews     bool // the victim is the tenant's own, and old
}

// schedule decides which dials begin. It counts their slots at once; the caller
// runs them when it has given up the lock.
func (b *budget) schedule(now time.Time) []plan {
	var start []plan
	for class := foreground; class < classes; class++ {
		for b.dialing < b.limits.dials {
			l := b.nextInRing(class, now)
			if l == nil {
				break
			}
			var victim *conn
			switches := false
			if excess := b.live - b.ceiling(now); excess > 0 {
				break // it is coming down
			} else if excess == 0 {
				victim = b.victim(l, now)
				b.loan.missed++
				b.removeIdle(victim)
				victim.lane.live--
				b.stat.Evictions++
				switches = l.maySwitch(victim, now)
			} else {
				b.live++
			}
			d := plan{lane: l, generation: l.generation, victim: victim, switches: switches}
			b.begin(d)
			start = append(start, d)
		}
	}
	b.watch()
	return start
}

// begin counts a dial, whose slot is counted already.
func (b *budget) begin(d plan) {
	l := d.lane
	l.leaveRing()
	l.dialing = true
	l.live++
	l.server.dialing++
	b.dialing++
	b.tasks++
	if !d.switches {
		b.stat.Dials++
	}
}

// nextInRing returns the lane to dial for, or nil. It is the one with most
// waiters, since a dial serves them all; but the one that has stood in the ring
// longest goes first when it has waited twice as long as taking turns would
// have made it. A tenant that has a connection counts as one with one waiter.
func (b *budget) nextInRing(class class, now time.Time) *lane {
	ring := &b.ring[class]
	overdue := patientTurns * b.cost * time.Duration(1+ring.len()/b.limits.dials)
	full := b.live >= b.ceiling(now)
	var best *lane
	most := 0
	for l := range ring.all() {
		if !l.wantsDial(now) { // any more
			l.leaveRing()
			continue
		}
		if !l.server.mayDial(l, now) || full && len(l.idle) == len(b.idle) { // it would take its own place
			continue
		}
		if best == nil && now.Sub(l.next().since) > overdue {
			return l
		}
		n := 1
		if l.live == 0 {
			n = l.waiters[foreground].len() + l.waiters[background].len()
		}
		if n > most {
			best, most = l, n
		}
	}
	return best
}

// watch sets the timer by which queues that wait in vain for their own
// connections come to want another.
func (b *budget) watch() {
	if b.timed || b.waiting.len() == 0 || b.closed {
		return
	}
	b.timed = true
	if b.timer == nil {
		b.timer = time.AfterFunc(patience, b.tick)
	} else {
		b.timer.Reset(patience)
	}
}

func (b *budget) tick() {
	b.mu.Lock()
	b.timed = false
	now := time.Now()
	for l := range b.waiting.all() {
		l.want(now)
	}
	start := b.schedule(now)
	b.mu.Unlock()
	b.run(start)
}

// estimate is how long a dial that is wanted now will take, with those before it,
// and whether it is the first and may begin.
func (b *budget) estimate(class class, now time.Time) (wait time.Duration, first bool) {
	ahead := b.dialing
	for c := foreground; c <= class; c++ {
		ahead += b.ring[c].len()
	}
	if b.live < b.ceiling(now) || len(b.idle) > 0 {
		return b.cost * time.Duration(1+ahead/b.limits.dials), ahead == 0
	}
	return b.cost * time.Duration(1+turn+ahead/b.limits.dials), false
}

// turnIsOver reports whether a tenant has had its share in a row of a
// connection whose slot others wait for.
func (b *budget) turnIsOver(c *conn, now time.Time) bool {
	if b.live < b.ceiling(now) || b.dialing >= b.limits.dials || len(b.idle) > 0 || !b.othersWant(c.lane) {
		c.turnBegan = time.Time{}
		return false
	}
	if c.turnBegan.IsZero() {
		c.turnBegan = now
		return false
	}
	return now.Sub(c.turnBegan) > turn*b.cost
}

func (b *budget) othersWant(l *lane) bool {
	n := b.ring[foreground].len()
	if l.wants != nil && l.wantsClass == foreground {
		n--
	}
	return n > 0
}

// victim returns the idle connection to give up for q, of another tenant than
// q's, or nil. Connections that a tenant keeps in reserve go last.
func (b *budget) victim(l *lane, now time.Time) *conn {
	if c := b.leastWorth(b.candidates(l, false), now); c != nil {
		return c
	}
	return b.leastWorth(b.candidates(l, true), now)
}

// candidates yields of each tenant but q's the idle connection that was used
// least lately: of the tenants with no more of them than they keep in reserve,
// or of the others.
func (b *budget) candidates(l *lane, reserved bool) iter.Seq[*conn] {
	return func(yield func(*conn) bool) {
		for _, c := range b.idle {
			o := c.lane
			if o != l && c == o.idle[0] && (len(o.idle) <= o.conns.reserve) == reserved && !yield(c) {
				return
			}
		}
	}
}

// leastWorth returns the one of some idle connections of which the fewest uses are
// expected, or nil if there are none.
func (b *budget) leastWorth(of iter.Seq[*conn], now time.Time) (worst *conn) {
	var lowest float64
	var longest time.Duration
	for c := range of {
		idle := now.Sub(c.idleSince)
		rate := b.visits.Rate(&c.lane.visits, idle, now)
		if worst == nil || rate < lowest || rate == lowest && idle > longest {
			worst, lowest, longest = c, rate, idle
		}
	}
	return worst
}
