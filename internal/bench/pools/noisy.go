//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/bench"
)

// noises is what the quiet tenants have beside them.
var noises = []string{alone, tenfold, crowded}

const (
	alone   = "nobody"
	tenfold = "10x"
	crowded = "200 workers"

	crowd = 200
)

// runNoisy prints rows for each side, at a budget that is enough for a
// connection of every tenant, and at one that is enough for half of them.
func (g *ground) runNoisy(ctx context.Context) error {
	width := g.width()
	fmt.Printf("%d quiet tenants with %v req/s each, %d rounds of %v\n", g.quiet, g.rate, g.rounds, g.length)
	fmt.Printf("%-*s %-7s %-12s %8s %8s %9s %9s %7s %12s\n", width, "side", "budget", "beside", "requests", "req/s", "p50", "p99", "errors", "noisy req/s")
	for _, budget := range []int{max(g.budget, g.quiet+1), (g.quiet + 1) / 2} {
		for _, name := range g.sides {
			runs, loud := map[string][]sample{}, map[string][]sample{}
			err := bench.Interleave(g.rounds, noises, func(round int, noise string) error {
				quiet, noisy, err := g.runBeside(ctx, name, budget, noise, round)
				runs[noise], loud[noise] = append(runs[noise], quiet), append(loud[noise], noisy)
				return err
			})
			if err != nil {
				return err
			}
			for _, noise := range noises {
				r := runs[noise]
				remark := r[len(r)-1].note
				if noise != alone {
					remark = fmt.Sprintf("p99 %s of alone  %s", ratio(r, runs[alone], p99), remark)
				}
				fmt.Printf("%-*s %-7d %-12s %8.0f %8.0f %9v %9v %6.1f%% %12.0f  %s\n", width, name, budget, noise,
					middle(r, requests), middle(r, rate), middleTime(r, p50), middleTime(r, p99), 100*middle(r, failed), middle(loud[noise], rate), remark)
			}
		}
	}
	return nil
}

// runBeside measures the quiet tenants and the noisy one, which is the first.
func (g *ground) runBeside(ctx context.Context, name string, budget int, noise string, round int) (quiet, noisy sample, err error) {
	err = g.on(ctx, name, budget, func(s side) error {
		w := g.window()
		quietly, loudly := &tally{window: w}, &tally{window: w}
		var wg sync.WaitGroup
		for i, t := range g.tenants[1 : g.quiet+1] {
			wg.Go(func() { stream(ctx, s, t, newRand(i, round), g.rate, quietly) })
		}
		switch noise {
		case tenfold:
			wg.Go(func() { stream(ctx, s, g.tenants[0], newRand(g.quiet, round), 10*g.rate, loudly) })
		case crowded:
			for range crowd {
				wg.Go(func() { work(ctx, s, func() *tenancy.Tenant { return g.tenants[0] }, loudly) })
			}
		}
		wg.Wait()
		quiet, noisy = quietly.sample(), loudly.sample()
		quiet.note = s.note()
		g.progress("%s, budget %d, beside %s: p99 %v", name, budget, noise, quiet.p99)
		if loudly.wrong != nil {
			return loudly.wrong
		}
		return quietly.end(ctx)
	})
	return quiet, noisy, err
}

// stream sends a tenant's requests until the window ends, at random times that
// do not depend on each other, rate in a second on average. It returns when all
// have ended. A request's time begins when it is due.
func stream(ctx context.Context, s side, t *tenancy.Tenant, rnd *rand.Rand, rate float64, out *tally) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for due := time.Now(); ; {
		due = due.Add(time.Duration(rnd.ExpFloat64() / rate * float64(time.Second)))
		if !due.Before(out.window.to) {
			return
		}
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			err := ask(ctx, s, t)
			out.add(due, time.Now(), err)
		})
	}
}
