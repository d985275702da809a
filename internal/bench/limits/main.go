//go:build unix

// Limits measures what limits the requests of tenants, on a Redis of its own:
//
//	go run . -decisions   # of the limiter in Redis in a second, beside others
//	go run . -accuracy    # of four processes at twice the limit, for a minute
//	go run . -noisy       # what a tenant at 50 times its limit does to another
//
// With -quick the runs are short. Each of the three prints its rows, with medians
// over the rounds and the least and the greatest in brackets.
//
// # Decisions
//
// The sides are those of one request that passes: one limit in [ratelimit.Redis];
// three limits there, of the tenant, a key and an address, in one call; the package
// rueidislimiter, which counts one limit in windows; and a script with INCR and
// PEXPIRE alone, which is the least that counts in Redis. All have a client with
// the same options, and 1,000 tenants in turn. Each round runs every side once.
//
// # Accuracy
//
// Four processes ask for one tenant, together at twice its limit and evenly in time.
// What passes is compared with what the rate yields in that time, and the burst
// that passes at the beginning.
//
// # Noisy neighbour
//
// A service on loopback, with [middleware.Tenant], [middleware.RateLimit] in memory
// and [middleware.Concurrency], whose handler waits for two milliseconds, as for a
// database, and computes for one. The requests of tenant B come at random
// times, at its normal rate, whether those before were answered or not, and are
// timed from when they were due. Rows: B alone; with A at 50 times its limit; and
// the same without limits. The clients are in a process of their own, on the same
// machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

var (
	decisions = flag.Bool("decisions", false, "decisions in a second")
	accuracy  = flag.Bool("accuracy", false, "how exact the limit is")
	noisy     = flag.Bool("noisy", false, "a noisy neighbour")
	quick     = flag.Bool("quick", false, "short runs")
	rounds    = flag.Int("rounds", 3, "how often each run is made")
	child     = flag.String("child", "", "what this process does for another one")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	switch *child {
	case "accuracy":
		return accuracyChild(ctx)
	case "noisy":
		return noisyChild(ctx)
	}
	if *noisy {
		return measureNoisy(ctx)
	}
	if !*decisions && !*accuracy {
		flag.Usage()
		return nil
	}
	dir, err := os.MkdirTemp("", "limits")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := testserver.StartRedis(ctx, dir)
	if err != nil {
		return err
	}
	defer server.Kill()
	if *decisions {
		return measureDecisions(ctx, server.URL)
	}
	return measureAccuracy(ctx, server.URL)
}

func connect(address string) (rueidis.Client, error) {
	opts, err := rueidis.ParseURL(address)
	if err != nil {
		return nil, err
	}
	opts.ForceSingleClient = true
	return rueidis.NewClient(opts)
}

// newTenant returns the tenant of that number.
func newTenant(i int) *tenancy.Tenant {
	return &tenancy.Tenant{ID: tenancy.ID(fmt.Sprint("t", i)), Slug: fmt.Sprint("t", i), Status: tenancy.StatusActive}
}

func seconds(long, short int) time.Duration {
	if *quick {
		long = short
	}
	return time.Duration(long) * time.Second
}

// spread formats the median, and the least and the greatest.
func spread(format string, all []float64) string {
	all = slices.Sorted(slices.Values(all))
	return fmt.Sprintf(format+" ("+format+" to "+format+")", all[len(all)/2], all[0], all[len(all)-1])
}
