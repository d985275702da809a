//go:build unix

// Pools measures dbpool beside PgBouncer, a naive pool per tenant, and a pool
// that keeps no idle connections, on a PostgreSQL server of its own:
//
//	go run ./internal/bench/pools
//
// Every side has the same budget of server connections and runs the same
// one-row query. All of them share the machine, so the CPU that PgBouncer takes
// counts on its side.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// load is one row of the table.
type load struct {
	workers, tenants int
	zipf             float64 // 0 is uniform
}

var loads = []load{
	{16, 20, 0}, {400, 150, 0}, {400, 1000, 0}, {64, 1000, 1.2}, {64, 1000, 0},
}

// side gives a worker a handle to a tenant's database.
type side interface {
	db(t *tenancy.Tenant) (*sqlx.DB, error)
	close()
}

func main() {
	seconds := flag.Int("seconds", 8, "length of each run")
	budget := flag.Int("budget", 90, "server connections")
	only := flag.Int("load", -1, "run only this row of the table, from 0")
	dials := flag.Int("dials", 0, "dials in flight of dbpool (default: its own)")
	sides := flag.String("sides", "dbpool pgbouncer naive noidle", "what to measure")
	flag.Parse()
	if err := run(*seconds, *budget, *only, *dials, *sides); err != nil {
		log.Fatal(err)
	}
}

func run(seconds, budget, only, dials int, sides string) error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the servers run as another user
		return err
	}
	server, err := testserver.StartPostgres(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { _ = server.Stop() }()
	engine, err := postgres.New(server.URL, nil)
	if err != nil {
		return err
	}
	fmt.Println("making 1,000 databases …")
	tenants := make([]*tenancy.Tenant, 1000)
	for i := range tenants {
		id := tenancy.NewID()
		tenants[i] = &tenancy.Tenant{ID: id, Placement: tenancy.Placement{Server: "main", Database: "tenant_" + string(id)}}
		if err := engine.Create(ctx, tenants[i].Placement.Database, id); err != nil {
			return err
		}
	}
	fmt.Printf("%-8s %-8s %-8s %-10s %10s %10s %10s %9s %s\n", "workers", "tenants", "load", "side", "req/s", "p50", "p99", "errors", "")
	for i, l := range loads {
		if only >= 0 && i != only {
			continue
		}
		for _, name := range []string{"dbpool", "pgbouncer", "naive", "noidle"} {
			if !contains(sides, name) {
				continue
			}
			s, err := newSide(ctx, name, server, dir, engine, budget, dials)
			if err != nil {
				return err
			}
			r := measure(ctx, s, l, tenants[:l.tenants], time.Duration(seconds)*time.Second)
			s.close()
			kind := "uniform"
			if l.zipf > 0 {
				kind = fmt.Sprint("zipf ", l.zipf)
			}
			extra := ""
			if p, ok := s.(*ours); ok {
				extra = fmt.Sprintf("dials/request %.2f", p.pool.Stat("main").DialsPerRequest())
			}
			fmt.Printf("%-8d %-8d %-8s %-10s %10.0f %10v %10v %8.1f%% %s\n", l.workers, l.tenants, kind, name,
				r.rate, r.p50.Round(100*time.Microsecond), r.p99.Round(100*time.Microsecond), 100*r.errors, extra)
		}
	}
	return nil
}

type result struct {
	rate, errors float64
	p50, p99     time.Duration
}

func measure(ctx context.Context, s side, l load, tenants []*tenancy.Tenant, d time.Duration) result {
	const warm = 2 * time.Second
	began := time.Now()
	var mu sync.Mutex
	var all []time.Duration
	var failed atomic.Int64
	var wg sync.WaitGroup
	for w := range l.workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 7)) //nolint:gosec // not a secret
			pick := func() int { return rnd.IntN(len(tenants)) }
			if l.zipf > 0 {
				z := rand.NewZipf(rnd, l.zipf, 1, uint64(len(tenants)-1))
				pick = func() int { return int(z.Uint64()) } //nolint:gosec // small
			}
			var mine []time.Duration
			for time.Since(began) < warm+d {
				start := time.Now()
				err := query(ctx, s, tenants[pick()])
				if time.Since(began) < warm {
					continue
				}
				if err != nil {
					failed.Add(1)
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			all = append(all, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(all)
	if len(all) == 0 {
		return result{}
	}
	good := float64(len(all)) - float64(failed.Load())
	return result{
		rate: good / d.Seconds(), errors: float64(failed.Load()) / float64(len(all)),
		p50: all[len(all)/2], p99: all[len(all)*99/100],
	}
}

func query(ctx context.Context, s side, t *tenancy.Tenant) error {
	db, err := s.db(t)
	if err != nil {
		return err
	}
	var id tenancy.ID
	if err := db.GetContext(ctx, &id, `SELECT tenant_id FROM tenancy_marker`); err != nil {
		return err
	}
	if id != t.ID {
		log.Fatalf("tenant %s got an answer of %s", t.ID, id)
	}
	return nil
}

// ours is dbpool.
type ours struct{ pool *dbpool.Pool }

func (s *ours) db(t *tenancy.Tenant) (*sqlx.DB, error) { return s.pool.For(context.Background(), t) }
func (s *ours) close()                                 { _ = s.pool.Close() }
