package main

import (
	"cmp"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy/internal/nextuse"
)

// policy decides which idle connection is least worth keeping.
type policy interface {
	// used notes a use of a connection, when it begins.
	used(c *conn, now time.Time)
	// least returns the one of some idle connections that is least worth keeping.
	least(of iter.Seq[*conn], now time.Time) *conn
}

// tenant is one of the simulation, with its connection, if it has any.
type tenant struct {
	conn   *conn
	visits nextuse.Tenant
}

type conn struct {
	tenant    *tenant
	uses      int
	idleSince time.Time
}

// cost is what a dial takes.
const cost = 5 * time.Millisecond

// nextUse is the policy of dbpool.
type nextUse struct{ *nextuse.Policy }

func newNextUse() nextUse { return nextUse{nextuse.New(cost)} }

func (p nextUse) used(c *conn, now time.Time) { p.Used(&c.tenant.visits, c.uses == 0, cost, now) }

func (p nextUse) least(of iter.Seq[*conn], now time.Time) *conn {
	var longest time.Duration
	var low float64
	var worst *conn
	for c := range of {
		idle := now.Sub(c.idleSince)
		rate := p.Rate(&c.tenant.visits, idle, now)
		if worst == nil || rate < low || rate == low && idle > longest {
			worst, low, longest = c, rate, idle
		}
	}
	return worst
}

// scale is how large a simulation is.
type scale struct {
	tenants, budget int
	requests        int     // of one query each
	rate            float64 // queries a second
}

// simulate returns the dials for each query when queries take no time, leaving
// out the first quarter.
func (l load) simulate(s scale, p policy) float64 {
	type query struct {
		tenant int
		at     time.Time
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	requests := s.requests / l.queries
	who := l.begin(rnd, s.tenants, requests)
	now := time.Now()
	var queries []query
	for i := range requests {
		now = now.Add(time.Duration(rnd.ExpFloat64() * float64(l.queries) / s.rate * float64(time.Second)))
		one := query{who(i), now}
		for range l.queries {
			queries = append(queries, one)
			one.at = one.at.Add(time.Duration(rnd.ExpFloat64() * float64(l.apart)))
		}
	}
	slices.SortStableFunc(queries, func(a, b query) int { return a.at.Compare(b.at) })

	tenants := make([]tenant, s.tenants)
	future, clairvoyant := p.(belady)
	next := make([]time.Time, len(queries))
	if clairvoyant {
		never := now.Add(time.Hour)
		for i, q := range slices.Backward(queries) {
			next[i] = cmp.Or(future.next[&tenants[q.tenant]], never)
			future.next[&tenants[q.tenant]] = q.at
		}
	}
	var idle []*conn
	dials := 0
	for i, each := range queries {
		t := &tenants[each.tenant]
		if t.conn == nil {
			if i >= len(queries)/4 {
				dials++
			}
			t.conn = &conn{tenant: t}
			if len(idle) < s.budget {
				idle = append(idle, t.conn)
			} else {
				victim := p.least(slices.Values(idle), each.at)
				idle[slices.Index(idle, victim)] = t.conn
				victim.tenant.conn = nil
			}
		}
		p.used(t.conn, each.at)
		if clairvoyant {
			future.next[t] = next[i]
		}
		t.conn.uses++
		t.conn.idleSince = each.at
		t.visits.Freed(each.at)
	}
	return float64(dials) / float64(len(queries)-len(queries)/4)
}
