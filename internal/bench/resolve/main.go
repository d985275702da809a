//go:build unix

// Resolve measures how a request finds its tenant: cache.Cache beside maps, and
// middleware.Tenant with it beside other ways, on a PostgreSQL and a Redis server
// of its own:
//
//	go run .          # some minutes
//	go run . -quick   # half a minute, for a first look
//
// It is a module of its own, so that the library does not depend on what it is
// measured beside.
//
// # Look-ups and requests
//
// A look-up has a slug and wants the record. The sides are a plain map, which may
// not change; a map under a sync.RWMutex; and cache.Cache with Run running, in
// front of PostgreSQL, with Redis. A loop over look-ups lets the processor begin the
// next ones while it waits for memory, as nobody's requests do: in turn, each begins
// when a field of the record before has been read.
//
// A request is a ready *http.Request, in a context as net/http makes it, with a
// response writer that does nothing and a handler that does nothing. The sides:
//
//   - nothing: the handler alone.
//   - WithContext: a copy of the request with a context that is ready. With value:
//     with a value put in before, which is the least that any middleware does.
//   - Subdomain and Host: middleware.Tenant with cache.Cache, by a label in front
//     of a base domain, and by the tenant's own domain.
//   - map by hand: the label cut off the host, looked up in a map under a
//     sync.RWMutex, the record put into the context if it is active; no look at
//     what else the host may be.
//   - dskit header: grafana/dskit takes the tenant's ID from a header into the
//     context, as its AuthenticateUser does. It looks nothing up.
//   - Redis GET: the record as JSON in Redis, by rueidis, asked at each request.
//     DoCache is the same with rueidis' client-side caching, warm.
//   - SQLite and PostgreSQL: middleware.Tenant with the catalog and no cache.
//
// gorm-multitenancy and go-saas, which take the tenant's name from the host, are
// not measured: the Go module proxy does not serve them everywhere.
//
// Requests draw their tenants at random, all sides the same ones. The strings that
// they hold are not those that a map or a cache holds: equal strings at one address
// are found equal without a look at them, which no request can profit from. They
// lie in memory in the order in which they are asked for, as what a connection has
// just read is in the processor's cache.
//
// Each round runs every side once, with one thread and with two (GOMAXPROCS and
// goroutines), so that what else the machine does hits all of them. Figures are
// medians over the rounds: nanoseconds from one answer to the next, over all
// threads; nanoseconds of the processors that this process took for one; scaling
// is how much more two threads do than one; a ratio is that of two runs of the same
// round, its median stands before its least and greatest.
//
// # Memory, back-ends, freshness
//
// Memory has the heap that is in use after a collection. Back-ends has the queries
// that the cache sends to the catalog, and the commands that the Redis server says
// it got; those that a script runs are counted apart. Freshness has the time from
// the beginning of a change by this process until each of three other processes
// finds it with [cache.Cache.Find], which they call all the time.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// config is what the flags say.
type config struct {
	rounds  int
	length  time.Duration // of a run
	sizes   []int
	memory  int // tenants
	warm    int // requests
	unknown int // requests
	changes int
	late    int           // changes without Redis
	idle    time.Duration // without requests
	only    []string
	dir     string
}

func full() config {
	return config{
		rounds: 9, length: 200 * time.Millisecond, sizes: []int{10, 10_000, 100_000}, memory: 100_000,
		warm: 1_000_000, unknown: 100_000, changes: 2000, late: 50, idle: 10 * time.Second,
	}
}

func quick() config {
	return config{
		rounds: 3, length: 50 * time.Millisecond, sizes: []int{10, 10_000}, memory: 10_000,
		warm: 1_000_000, unknown: 20_000, changes: 200, late: 5, idle: 2 * time.Second,
	}
}

type part struct {
	name string
	run  func(*ground, context.Context) error
}

var parts = []part{
	{"lookups", (*ground).runLookups}, {"requests", (*ground).runRequests}, {"memory", (*ground).runMemory},
	{"backends", (*ground).runBackends}, {"freshness", (*ground).runFreshness},
}

func main() {
	if task := os.Getenv(replicaEnv); task != "" {
		if err := replica(context.Background(), task); err != nil {
			log.Fatal("replica: ", err)
		}
		return
	}
	c := full()
	short := flag.Bool("quick", false, "fewer and shorter rounds, and no 100,000 tenants")
	rounds := flag.Int("rounds", 0, "runs of each side (default 9, with -quick 3)")
	only := flag.String("only", "", "what to measure, of lookups, requests, memory, backends and freshness (default: all)")
	dir := flag.String("dir", os.TempDir(), "where the servers' data are")
	flag.Parse()
	if *short {
		c = quick()
	}
	if *rounds > 0 {
		c.rounds = *rounds
	}
	c.only, c.dir = strings.Fields(*only), *dir
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, c config) (err error) {
	for _, name := range c.only {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("nothing is called %q", name)
		}
	}
	g, err := prepare(ctx, c)
	if err != nil {
		return err
	}
	defer func() {
		if e := g.close(); err == nil {
			err = e
		}
	}()
	for _, p := range parts {
		if len(c.only) > 0 && !slices.Contains(c.only, p.name) {
			continue
		}
		if err := p.run(g, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}
