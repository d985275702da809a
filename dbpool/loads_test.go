package dbpool

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// load is a way in which requests spread over tenants.
type load struct {
	name    string
	queries int           // of one request, each on a connection of its own
	apart   time.Duration // from one query to the next
	// begin returns the tenant of request i, for i from 0 to n-1 in this order.
	begin func(rnd *rand.Rand, tenants, n int) func(i int) int
}

func loads() []load {
	return []load{
		{"uniform", 1, 0, zipf(0)},
		{"Zipf 0.8", 1, 0, zipf(0.8)},
		{"Zipf 1.0", 1, 0, zipf(1)},
		{"Zipf 1.2", 1, 0, zipf(1.2)},
		{"bursts", 1, 0, bursts},
		{"crawler", 1, 0, crawler},
		{"shift", 1, 0, shift},
		{"sessions", 1, 0, sessions},
		{"pages", 4, 5 * time.Millisecond, zipf(1)},
	}
}

// ranks returns the ranks from 0 to n-1 at random, each as likely as
// 1/(rank+1)^s. Unlike rand.Zipf it does so for any s.
func ranks(rnd *rand.Rand, s float64, n int) func() int {
	sums := make([]float64, n)
	total := 0.0
	for i := range sums {
		total += math.Pow(float64(i+1), -s)
		sums[i] = total
	}
	return func() int { return sort.SearchFloat64s(sums, rnd.Float64()*total) }
}

func zipf(s float64) func(*rand.Rand, int, int) func(int) int {
	return func(rnd *rand.Rand, tenants, _ int) func(int) int {
		rank := ranks(rnd, s, tenants)
		return func(int) int { return rank() }
	}
}

// bursts has Zipf 1.0, and of each 1,000 requests 50 within 100 that are of one
// tenant of the quieter half.
func bursts(rnd *rand.Rand, tenants, _ int) func(int) int {
	rank := ranks(rnd, 1, tenants)
	who := 0
	return func(i int) int {
		switch at := i % 1000; {
		case at == 0:
			who = tenants/2 + rnd.IntN(tenants/2)
		case at < 100 && at%2 == 0:
			return who
		}
		return rank()
	}
}

// crawler has Zipf 1.0, and now and then one that asks each tenant once, with
// every other request.
func crawler(rnd *rand.Rand, tenants, _ int) func(int) int {
	rank := ranks(rnd, 1, tenants)
	return func(i int) int {
		if at := i % (8 * tenants); at < 2*tenants && at%2 == 0 {
			return at / 2
		}
		return rank()
	}
}

// shift has Zipf 1.0, and three times others become the busy ones.
func shift(rnd *rand.Rand, tenants, n int) func(int) int {
	rank := ranks(rnd, 1, tenants)
	var order []int
	return func(i int) int {
		if i%(n/4) == 0 {
			order = rnd.Perm(tenants)
		}
		return order[rank()]
	}
}

// sessions has 1.5 tenants for each ten that are busy at a time, for 40 requests
// on average.
func sessions(rnd *rand.Rand, tenants, _ int) func(int) int {
	rank := ranks(rnd, 0.8, tenants)
	busy := make([]int, tenants*3/20)
	for i := range busy {
		busy[i] = rank()
	}
	return func(int) int {
		i := rnd.IntN(len(busy))
		tenant := busy[i]
		if rnd.IntN(40) == 0 {
			busy[i] = rank()
		}
		return tenant
	}
}

// scale is how large a simulation is.
type scale struct {
	tenants, budget int
	requests        int     // of one query each
	rate            float64 // of simulate, queries a second
	workers         int     // of race
}

// simulate returns the dials for each query when queries take no time, leaving
// out the first quarter. It drives the budget's own books, without goroutines.
func (l load) simulate(s scale, of func(*budget) policy) float64 {
	type query struct {
		tenant int
		at     time.Time
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	requests := s.requests / l.queries
	tenant := l.begin(rnd, s.tenants, requests)
	now := time.Now()
	var queries []query
	for i := range requests {
		now = now.Add(time.Duration(rnd.ExpFloat64() * float64(l.queries) / s.rate * float64(time.Second)))
		one := query{tenant(i), now}
		for range l.queries {
			queries = append(queries, one)
			one.at = one.at.Add(time.Duration(rnd.ExpFloat64() * float64(l.apart)))
		}
	}
	slices.SortStableFunc(queries, func(a, b query) int { return a.at.Compare(b.at) })

	g := newBudget("main", limits{budget: s.budget})
	g.cost = 5 * time.Millisecond
	g.policy = of(g)
	lanes := make([]*lane, s.tenants)
	for i := range lanes {
		lanes[i] = &lane{budget: g}
	}
	future, clairvoyant := g.policy.(belady)
	next := make([]time.Time, len(queries))
	if clairvoyant {
		never := now.Add(time.Hour)
		for i, q := range slices.Backward(queries) {
			next[i] = cmp.Or(future.next[lanes[q.tenant]], never)
			future.next[lanes[q.tenant]] = q.at
		}
	}
	dials := 0
	for i, each := range queries {
		q := lanes[each.tenant]
		c := q.popIdle()
		if c == nil {
			if i >= len(queries)/4 {
				dials++
			}
			if g.live < s.budget {
				g.live++
			} else {
				victim := g.victim(q, each.at)
				g.removeIdle(victim)
				victim.lane.live--
			}
			q.live++
			c = &conn{lane: q}
		}
		g.markUsed(c, each.at)
		if clairvoyant {
			future.next[q] = next[i]
		}
		q.pushIdle(c, each.at)
	}
	return float64(dials) / float64(len(queries)-len(queries)/4)
}

// race has workers use a group as fast as they can, with queries of 1 ms and
// dials of 5 ms, and returns the dials for each query and the queries a second,
// leaving out the first quarter.
func (l load) race(t *testing.T, s scale, of func(*budget) policy) (dials, rate float64) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, s.tenants, limits{budget: s.budget, dials: 6, queue: 1000, wait: time.Minute})
		h.policy = of(h.budget)
		h.server.delay = func() time.Duration { return 5 * time.Millisecond }
		rnd := rand.New(rand.NewPCG(1, 2))
		requests := s.requests / l.queries
		tenant := l.begin(rnd, s.tenants, requests)
		var mu sync.Mutex
		var warm Stat
		var began time.Time
		i := 0
		next := func() (who int, apart time.Duration, ok bool) {
			mu.Lock()
			defer mu.Unlock()
			if i == requests {
				return 0, 0, false
			}
			if i == requests/4 {
				warm, began = h.count(), time.Now()
			}
			i++
			return tenant(i - 1), time.Duration(rnd.ExpFloat64() * float64(l.apart)), true
		}
		var wg sync.WaitGroup
		for range s.workers {
			wg.Go(func() {
				for who, apart, ok := next(); ok; who, apart, ok = next() {
					for range l.queries {
						if err := h.use(t.Context(), who, time.Millisecond, true); err != nil {
							t.Error(err)
						}
						time.Sleep(apart)
					}
				}
			})
		}
		wg.Wait()
		end := h.count()
		queries := float64(end.Requests - warm.Requests)
		dials, rate = float64(end.Dials-warm.Dials)/queries, queries/time.Since(began).Seconds()
		h.close()
	})
	return dials, rate
}

// count returns what the group did so far.
func (h *harness) count() Stat {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stat
}
