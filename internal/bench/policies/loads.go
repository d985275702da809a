package main

import (
	"math"
	"math/rand/v2"
	"sort"
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
