//go:build unix

package dbpool_test

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// BenchmarkPoliciesOfServer runs the policies on a PostgreSQL server: 32 workers
// on 300 databases with 40 connections. One iteration is 1,000 requests.
func BenchmarkPoliciesOfServer(b *testing.B) {
	const tenants, budget, workers, round = 300, 40, 32, 1000
	dir, err := os.MkdirTemp("", "policies")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := testserver.StartPostgres(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = server.Stop() }()
	engine, err := postgres.New(server.URL, nil)
	if err != nil {
		b.Fatal(err)
	}
	all := make([]*tenancy.Tenant, tenants)
	for i := range all {
		id := tenancy.NewID()
		all[i] = &tenancy.Tenant{ID: id, Placement: tenancy.Placement{Server: "main", Database: fmt.Sprintf("tenant_%s", id)}}
		if err := engine.Create(b.Context(), all[i].Placement.Database, id); err != nil {
			b.Fatal(err)
		}
	}
	for _, load := range []string{"uniform", "Zipf 1.0", "Zipf 1.2", "shift", "sessions", "pages"} {
		b.Run(load, func(b *testing.B) {
			for _, policy := range dbpool.Candidates() {
				b.Run(policy, func(b *testing.B) {
					pool, err := dbpool.New(map[string]driver.Engine{"main": engine}, &dbpool.Options{Budget: budget})
					if err != nil {
						b.Fatal(err)
					}
					defer func() { _ = pool.Close() }()
					pool.SetPolicy(policy)
					queries, tenant := dbpool.BeginLoad(load, tenants, 20*round)
					var mu sync.Mutex
					i := 0
					next := func(end int) (*tenancy.Tenant, bool) {
						mu.Lock()
						defer mu.Unlock()
						if i == end {
							return nil, false
						}
						i++
						return all[tenant(i-1)], true
					}
					run := func(requests int) {
						end := i + requests
						var wg sync.WaitGroup
						for range workers {
							wg.Go(func() {
								for t, ok := next(end); ok; t, ok = next(end) {
									for range queries {
										db, err := pool.For(b.Context(), t)
										if err == nil {
											err = db.GetContext(b.Context(), new(string), `SELECT tenant_id FROM tenancy_marker`)
										}
										if err != nil {
											b.Error(err)
										}
									}
								}
							})
						}
						wg.Wait()
					}
					run(3 * round) // to know the tenants
					before, began, rounds := pool.Stat("main"), time.Now(), 0
					for b.Loop() {
						run(round)
						rounds++
					}
					after := pool.Stat("main")
					b.ReportMetric(float64(rounds*round*queries)/time.Since(began).Seconds(), "queries/s")
					b.ReportMetric(float64(after.Dials-before.Dials)/float64(after.Requests-before.Requests), "dials/query")
					b.ReportMetric(0, "ns/op")
				})
			}
		})
	}
}
