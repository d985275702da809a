package sched

import (
	"iter"
	"time"
)

// victim returns the idle connection to give up for a lane, of another lane than
// that, or nil: the one that is likely to be used again last, which package nextuse learns from visits. Connections that a tenant keeps in reserve go last.
func (b *Budget) victim(l *Lane, now time.Time) *Conn {
	if c := b.leastWorth(b.candidates(l, false), now); c != nil {
		return c
	}
	return b.leastWorth(b.candidates(l, true), now)
}

// candidates yields of each lane but one the idle connection that was used
// least lately: of the lanes with no more of them than they keep in reserve,
// or of the others.
func (b *Budget) candidates(l *Lane, reserved bool) iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, c := range b.idle {
			o := c.lane
			if o != l && c == o.idle[0] && (len(o.idle) <= o.conns.Reserve) == reserved && !yield(c) {
				return
			}
		}
	}
}

// leastWorth returns the one of some idle connections of which the fewest uses are
// expected, or nil if there are none.
func (b *Budget) leastWorth(of iter.Seq[*Conn], now time.Time) (worst *Conn) {
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
