//go:build unix

package main

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/bench"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// load is workers that each send a request to a tenant, and the next one when
// they have the answer.
type load struct {
	workers, tenants int
	zipf             float64 // 0 is uniform
}

var loads = map[testserver.Engine][]load{
	testserver.Postgres: {{16, 20, 0}, {400, 150, 0}, {400, 1000, 0}, {64, 1000, 1.2}, {64, 1000, 0}},
	testserver.MariaDB:  {{64, 1000, 0}, {64, 1000, 1.2}},
}

func (l load) String() string {
	if l.zipf > 0 {
		return fmt.Sprint("zipf ", l.zipf)
	}
	return "uniform"
}

// loads returns those that the flags ask for.
func (c *config) loads() []load {
	var list []load
	for i, l := range loads[c.engine] {
		if c.load < 0 || c.load == i {
			l.tenants = min(l.tenants, c.tenants)
			list = append(list, l)
		}
	}
	return list
}

// runLoads prints a row for each load and side.
func (g *ground) runLoads(ctx context.Context) error {
	first, width := g.sides[0], g.width()
	fmt.Printf("budget %d, %d rounds of %v\n", g.budget, g.rounds, g.length)
	fmt.Printf("%-8s %-8s %-9s %-*s %8s %9s %9s %7s\n", "workers", "tenants", "load", width, "side", "req/s", "p50", "p99", "errors")
	for _, l := range g.loads() {
		runs := map[string][]sample{}
		err := bench.Interleave(g.rounds, g.sides, func(round int, name string) error {
			s, err := g.runLoad(ctx, name, l, round)
			runs[name] = append(runs[name], s)
			return err
		})
		if err != nil {
			return err
		}
		for _, name := range g.sides {
			r := runs[name]
			remark := r[len(r)-1].note
			if name != first {
				remark = fmt.Sprintf("%s %s, p99 %s", first, ratio(runs[first], r, rate), ratio(runs[first], r, p99))
			}
			fmt.Printf("%-8d %-8d %-9v %-*s %8.0f %9v %9v %6.1f%%  %s\n", l.workers, l.tenants, l, width, name,
				middle(r, rate), middleTime(r, p50), middleTime(r, p99), 100*middle(r, failed), remark)
		}
	}
	return nil
}

// width is that of the column with the sides' names.
func (c *config) width() int {
	n := 10
	for _, name := range c.sides {
		n = max(n, len(name))
	}
	return n
}

// on runs fn with a side that has no connection yet, on a server that nobody
// else is connected to.
func (g *ground) on(ctx context.Context, name string, budget int, fn func(side) error) error {
	if err := g.calm(ctx); err != nil {
		return err
	}
	s, err := g.newSide(ctx, name, budget)
	if err != nil {
		return err
	}
	defer s.close()
	return fn(s)
}

func (g *ground) runLoad(ctx context.Context, name string, l load, round int) (out sample, err error) {
	err = g.on(ctx, name, g.budget, func(s side) error {
		t := &tally{window: g.window()}
		var wg sync.WaitGroup
		for w := range l.workers {
			wg.Go(func() { work(ctx, s, l.picker(round, w, g.tenants), t) })
		}
		wg.Wait()
		out = t.sample()
		out.note = s.note()
		g.progress("%s: %.0f req/s, p99 %v", name, out.rate, out.p99)
		return t.end(ctx)
	})
	return out, err
}

// newRand returns random numbers that are the same for all sides.
func newRand(worker, round int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(worker), uint64(round))) // not secret, not negative
}

// picker returns a worker's choice of tenants.
func (l load) picker(round, worker int, tenants []*tenancy.Tenant) func() *tenancy.Tenant {
	rnd := newRand(worker, round)
	if l.zipf > 0 {
		z := rand.NewZipf(rnd, l.zipf, 1, uint64(l.tenants-1)) // at least 1
		return func() *tenancy.Tenant { return tenants[z.Uint64()] }
	}
	return func() *tenancy.Tenant { return tenants[rnd.IntN(l.tenants)] }
}

// work is one worker.
func work(ctx context.Context, s side, pick func() *tenancy.Tenant, t *tally) {
	for {
		began := time.Now()
		if !began.Before(t.window.to) || ctx.Err() != nil {
			return
		}
		err := ask(ctx, s, pick())
		t.add(began, time.Now(), err)
	}
}

// ask sends the request of all measurements.
func ask(ctx context.Context, s side, t *tenancy.Tenant) error {
	return s.with(ctx, t, func(db *sqlx.DB) error {
		var id tenancy.ID
		if err := db.GetContext(ctx, &id, `SELECT tenant_id FROM tenancy_marker`); err != nil {
			return err
		}
		return same(t, id)
	})
}

func same(t *tenancy.Tenant, got tenancy.ID) error {
	if got != t.ID {
		return fmt.Errorf("%w: %s got an answer of %s", errWrongTenant, t.ID, got)
	}
	return nil
}

// progress tells of a single run, of several.
func (g *ground) progress(format string, args ...any) {
	if g.rounds > 1 {
		log.Printf(format, args...)
	}
}
