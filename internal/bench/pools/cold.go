//go:build unix

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/bench"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// burst is the number of tenants that come at once.
const burst = 200

// coldRun is what a burst cost.
type coldRun struct {
	sample
	whole         time.Duration // until the last answer
	dials, unused int
}

// runCold prints a row for each side.
func (g *ground) runCold(ctx context.Context) error {
	fmt.Printf("%d tenants at once, budget %d, %d rounds\n", len(g.tenants), g.budget, g.rounds)
	fmt.Printf("%-*s %18s %18s %9s %9s %9s %7s\n", g.width(), "side", "dials", "unused", "p50", "p99", "whole", "errors")
	runs := map[string][]coldRun{}
	err := bench.Interleave(g.rounds, g.sides, func(_ int, name string) error {
		r, err := g.burst(ctx, name)
		runs[name] = append(runs[name], r)
		g.progress("%s: %d dials, %d unused, %v", name, r.dials, r.unused, r.whole)
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range g.sides {
		var samples []sample
		var dials, unused, whole []float64
		for _, r := range runs[name] {
			samples = append(samples, r.sample)
			dials, unused = append(dials, float64(r.dials)), append(unused, float64(r.unused))
			whole = append(whole, float64(r.whole))
		}
		fmt.Printf("%-*s %18s %18s %9v %9v %9v %6.1f%%\n", g.width(), name, bench.Spread(dials), bench.Spread(unused), middleTime(samples, p50),
			middleTime(samples, p99), time.Duration(bench.Median(whole)).Round(time.Millisecond), 100*middle(samples, failed))
	}
	return nil
}

// burst lets every tenant send a request to a side without connections, and
// counts the connections when all have ended.
func (g *ground) burst(ctx context.Context, name string) (out coldRun, err error) {
	if err := g.calm(ctx); err != nil {
		return out, err
	}
	before, err := g.sessions(ctx)
	if err != nil {
		return out, err
	}
	used := map[int64]bool{}
	err = g.on(ctx, name, g.budget, func(s side) error {
		began := time.Now()
		t := &tally{window: window{began, began.Add(time.Hour)}}
		var mu sync.Mutex // guards used
		var wg sync.WaitGroup
		for _, tenant := range g.tenants {
			wg.Go(func() {
				conn, err := g.askConn(ctx, s, tenant)
				t.add(began, time.Now(), err)
				if err == nil {
					mu.Lock()
					used[conn] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		out.whole = time.Since(began)
		out.sample = t.sample()
		return t.end(ctx)
	})
	if err != nil {
		return out, err
	}
	if err := g.calm(ctx); err != nil { // the server has counted them all
		return out, err
	}
	after, err := g.sessions(ctx)
	out.dials = after - before
	out.unused = out.dials - len(used)
	return out, err
}

// askConn is ask, and tells which of the server's connections answered.
func (g *ground) askConn(ctx context.Context, s side, t *tenancy.Tenant) (conn int64, err error) {
	query := `SELECT tenant_id, pg_backend_pid() AS conn FROM tenancy_marker`
	if g.config.engine == testserver.MariaDB {
		query = `SELECT tenant_id, CONNECTION_ID() AS conn FROM tenancy_marker`
	}
	err = s.with(ctx, t, func(db *sqlx.DB) error {
		var id tenancy.ID
		if err := db.QueryRowxContext(ctx, query).Scan(&id, &conn); err != nil {
			return err
		}
		return same(t, id)
	})
	return conn, err
}
