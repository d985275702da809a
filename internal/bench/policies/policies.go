package main

import (
	"container/list"
	"iter"
	"math"
	"slices"
	"time"
)

// candidate is a policy that was looked at.
type candidate struct {
	name string
	make func() policy
}

// candidates are the policies that were compared; the first is the one of production.
func candidates() []candidate {
	return []candidate{
		{"next use", func() policy { return newNextUse() }},
		{"LRU", func() policy { return lru{} }},
		{"SIEVE", func() policy { return newSieve() }},
		{"GDSF", func() policy { return newGDSF() }},
		{"LRU-8", func() policy { return &lruK{8, map[*tenant][]time.Time{}} }},
		{"heat 2 s", func() policy { return newHeat(2, false) }},
		{"heat 10 s", func() policy { return newHeat(10, false) }},
		{"heat 60 s", func() policy { return newHeat(60, false) }},
		{"heat 10k uses", func() policy { return newHeat(10_000, true) }},
	}
}

// lowest returns the connection whose score is lowest.
func lowest(of iter.Seq[*conn], score func(*conn) float64) (worst *conn) {
	low := math.Inf(1)
	for c := range of {
		if s := score(c); worst == nil || s < low {
			worst, low = c, s
		}
	}
	return worst
}

// lru gives up the connection that was idle longest.
type lru struct{}

func (lru) used(*conn, time.Time) {}

func (lru) least(of iter.Seq[*conn], now time.Time) *conn {
	return lowest(of, func(c *conn) float64 { return -now.Sub(c.idleSince).Seconds() })
}

// sieve has a hand that goes round from the connection that was dialled first,
// spares those that were used since it last came by, and takes the first other.
// Source: Zhang et al., SIEVE is Simpler than LRU, NSDI 2024.
type sieve struct {
	order list.List // of *conn
	hand  *list.Element
	again map[*conn]bool // used again since the hand came by
}

func newSieve() *sieve { return &sieve{again: map[*conn]bool{}} }

func (s *sieve) used(c *conn, _ time.Time) {
	_, known := s.again[c]
	if !known {
		s.order.PushBack(c)
	}
	s.again[c] = known
}

func (s *sieve) least(of iter.Seq[*conn], _ time.Time) *conn {
	idle := map[*conn]bool{}
	for c := range of {
		idle[c] = true
	}
	for len(idle) > 0 {
		if s.hand == nil {
			s.hand = s.order.Front()
		}
		n := s.hand
		s.hand = n.Next()
		switch c := n.Value.(*conn); {
		case !idle[c]:
		case s.again[c]:
			s.again[c] = false
		default:
			s.order.Remove(n)
			delete(s.again, c)
			return c
		}
	}
	return nil
}

// gdsf adds the uses of a connection to an age, which is the score of the one
// that went last, so that what was used a lot long ago goes in the end. All
// connections are of the same size and cost. Source: Cherkasova, Improving WWW
// Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy, HPL-98-69.
type gdsf struct {
	age   float64
	score map[*conn]float64
}

func newGDSF() *gdsf { return &gdsf{score: map[*conn]float64{}} }

func (g *gdsf) used(c *conn, _ time.Time) { g.score[c] = g.age + float64(c.uses+1) }

func (g *gdsf) least(of iter.Seq[*conn], _ time.Time) *conn {
	c := lowest(of, func(c *conn) float64 { return g.score[c] })
	if c != nil {
		g.age = max(g.age, g.score[c])
		delete(g.score, c)
	}
	return c
}

// lruK takes the connection of the tenant whose k latest uses, and the silence
// since, took longest. Source: O'Neil et al., The LRU-K Page Replacement
// Algorithm For Database Disk Buffering, SIGMOD 1993.
type lruK struct {
	k    int
	uses map[*tenant][]time.Time
}

func (l *lruK) used(c *conn, now time.Time) {
	at := slices.Concat(l.uses[c.tenant], []time.Time{now})
	l.uses[c.tenant] = at[max(0, len(at)-l.k):]
}

func (l *lruK) least(of iter.Seq[*conn], now time.Time) *conn {
	return lowest(of, func(c *conn) float64 {
		at := l.uses[c.tenant]
		if len(at) == 0 {
			return 0
		}
		return float64(len(at)) / (now.Sub(at[0]).Seconds() + 1e-9)
	})
}

// heat counts a tenant's uses, which come to count half after a time or after a
// number of uses of all tenants.
type heat struct {
	half    float64
	inUses  bool
	uses    float64
	began   time.Time
	of, was map[*tenant]float64 // the count, and when it was right
}

func newHeat(half float64, inUses bool) *heat {
	return &heat{half: half, inUses: inUses, began: time.Now(), of: map[*tenant]float64{}, was: map[*tenant]float64{}}
}

func (h *heat) at(now time.Time) float64 {
	if h.inUses {
		return h.uses
	}
	return now.Sub(h.began).Seconds()
}

func (h *heat) count(t *tenant, at float64) float64 { return h.of[t] * math.Exp2((h.was[t]-at)/h.half) }

func (h *heat) used(c *conn, now time.Time) {
	h.uses++
	at := h.at(now)
	h.of[c.tenant], h.was[c.tenant] = h.count(c.tenant, at)+1, at
}

func (h *heat) least(of iter.Seq[*conn], now time.Time) *conn {
	at := h.at(now)
	return lowest(of, func(c *conn) float64 { return h.count(c.tenant, at) })
}

// belady knows the future, and takes the connection that is used again last.
// No policy dials less.
type belady struct{ next map[*tenant]time.Time }

func (belady) used(*conn, time.Time) {}

func (b belady) least(of iter.Seq[*conn], now time.Time) *conn {
	return lowest(of, func(c *conn) float64 { return -b.next[c.tenant].Sub(now).Seconds() })
}
