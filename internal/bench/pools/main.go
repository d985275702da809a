//go:build unix

// Pools measures dbpool beside other ways to reach the databases of many
// tenants, on a PostgreSQL or MariaDB server of its own:
//
//	go run ./internal/bench/pools -rounds 5                   # loads, PostgreSQL
//	go run ./internal/bench/pools -rounds 5 -engine mariadb   # loads, MariaDB
//	go run ./internal/bench/pools -rounds 5 -noisy            # a noisy neighbour
//	go run ./internal/bench/pools -rounds 5 -cold             # a cold burst
//
// # Sides
//
// The sides are dbpool; noidle, a *sql.DB for each tenant that keeps no
// connection, behind a semaphore; pgbouncer, a PgBouncer in transaction mode;
// naive, a *sql.DB for each tenant with the two idle connections that database/sql
// keeps; and bare, a *sql.DB for each tenant that keeps its part of the budget for
// itself, the most that is possible when there are few tenants. Each has the same
// budget of server connections, except for naive, which knows none, and for bare when
// there are more tenants than connections. All run the same one-row query, and check that the answer is the
// tenant's own. Everything shares the machine, so the CPU that PgBouncer takes
// counts on its side.
//
// Settings may follow a colon: of pgbouncer those of its configuration, as in
// pgbouncer:default_pool_size=1;pkt_buf=8192, and of dbpool its options MaxConns,
// MaxDials and MinIdle, as in dbpool:MaxConns=1;MaxDials=2.
//
// Each round runs every side once, so that what else the machine does hits all
// of them. A run begins with a side that has no connection yet, on a server that
// nobody is connected to, and with two seconds that do not count.
//
// # Rows
//
// A row has the medians over the rounds. Times are those of requests that were
// answered. At the end of the row of another side than the first stands how the
// first compares with it: "dbpool 2.09x (1.95 to 2.20), p99 0.47x (0.40 to 0.51)"
// is twice the requests per second in half the time. A ratio is that of two runs
// of the same round; its median stands before its least and greatest.
//
// With -noisy the requests of each tenant come at random times, whether those
// before were answered or not, and their times are counted from when they were
// due. The rows have the quiet tenants' figures: alone; beside a tenant that sends
// ten times the requests of one of them; and beside one with 200 workers, each of
// which sends its next request as soon as it has an answer. All with a budget
// that is enough for every tenant, and with one that is enough for half of them.
// A row ends with how its p99 compares with that of the quiet tenants alone.
//
// With -cold every tenant sends one request, all at once, to a side without any
// connection. Dials are counted by the server; unused are those connections that
// answered no request, by the numbers that the server gives to connections. A
// PgBouncer that is new dials once more for each database, for what it tells a
// client at login.
//
// # Databases
//
// Before it measures, the program makes the databases, those of PostgreSQL with
// 7 MB and 300 files each. With -dir /dev/shm they are in memory, some 40 a second
// on two cores; on a disk that depends on the file system.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/artflow-studio/tenancy/internal/testserver"
)

// config is what the flags say.
type config struct {
	engine         testserver.Engine
	sides          []string
	warm           time.Duration // before a run counts
	length         time.Duration // of what counts
	rounds, budget int
	load           int // the only one to run, or -1
	tenants        int // at the most
	noisy, cold    bool
	quiet          int     // tenants
	rate           float64 // of each
	dir            string
}

func main() {
	c := config{warm: 2 * time.Second}
	engine := flag.String("engine", "postgres", "postgres or mariadb")
	sides := flag.String("sides", "", "what to measure, of dbpool, noidle, naive, bare and pgbouncer (default: depends on the engine and on -noisy, -cold)")
	seconds := flag.Float64("seconds", 8, "length of each run")
	flag.IntVar(&c.rounds, "rounds", 1, "runs of each side")
	flag.IntVar(&c.budget, "budget", 0, "server connections (default: 90, with -cold 50)")
	flag.IntVar(&c.load, "load", -1, "run only this load, from 0")
	flag.IntVar(&c.tenants, "tenants", 1000, "reduce loads of more tenants to these")
	flag.BoolVar(&c.noisy, "noisy", false, "measure quiet tenants beside a noisy one")
	flag.IntVar(&c.quiet, "quiet", 50, "quiet tenants")
	flag.Float64Var(&c.rate, "rate", 4, "requests of each quiet tenant per second")
	flag.BoolVar(&c.cold, "cold", false, "measure a burst of 200 tenants on no connections")
	flag.StringVar(&c.dir, "dir", os.TempDir(), "where the server's data are")
	flag.Parse()

	c.engine = testserver.Engine(*engine)
	c.length = time.Duration(*seconds * float64(time.Second))
	c.sides = strings.Fields(*sides)
	if err := c.complete(); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		log.Fatal(err)
	}
}

// complete fills in what depends on other flags, and checks all.
func (c *config) complete() error {
	if c.engine != testserver.Postgres && c.engine != testserver.MariaDB {
		return fmt.Errorf("no engine is called %q", c.engine)
	}
	if c.noisy && c.cold {
		return errors.New("either -noisy or -cold")
	}
	if c.budget == 0 {
		c.budget = 90
		if c.cold {
			c.budget = 50
		}
	}
	if c.noisy {
		c.quiet = min(c.quiet, c.tenants-1)
	}
	if c.length <= 0 || min(c.rounds, c.budget, c.tenants, c.quiet) < 1 || c.rate <= 0 || c.load >= len(loads[c.engine]) {
		return errors.New("a number is out of range")
	}
	if len(c.sides) == 0 {
		c.sides = []string{"dbpool", "noidle"}
		if c.engine == testserver.Postgres {
			c.sides = []string{"dbpool", "noidle", "pgbouncer", "pgbouncer:default_pool_size=1"}
			if c.noisy || c.cold {
				c.sides = []string{"dbpool", "pgbouncer"}
			}
		}
	}
	for _, name := range c.sides {
		name, settings, _ := strings.Cut(name, ":")
		if !slices.Contains([]string{"dbpool", "noidle", "naive", "bare", "pgbouncer"}, name) {
			return fmt.Errorf("no side is called %q", name)
		}
		if name == "dbpool" {
			if _, err := poolOptions(settings, c.budget); err != nil {
				return err
			}
		} else if name != "pgbouncer" && settings != "" {
			return fmt.Errorf("%s has no settings", name)
		}
		if name == "pgbouncer" && c.engine != testserver.Postgres {
			return errors.New("pgbouncer is for PostgreSQL")
		}
	}
	if slices.ContainsFunc(c.sides, isBouncer) && findBouncer() == "" {
		fmt.Println("PgBouncer is left out: it is not installed (apt-get install pgbouncer)")
		c.sides = slices.DeleteFunc(c.sides, isBouncer)
	}
	if len(c.sides) == 0 {
		return errors.New("no side is left")
	}
	return nil
}

func run(ctx context.Context, c config) (err error) {
	g, err := prepare(ctx, c, c.need())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	switch {
	case c.noisy:
		return g.runNoisy(ctx)
	case c.cold:
		return g.runCold(ctx)
	}
	return g.runLoads(ctx)
}

// need is how many tenants what the flags ask for takes.
func (c *config) need() int {
	switch {
	case c.noisy:
		return c.quiet + 1
	case c.cold:
		return min(c.tenants, burst)
	}
	n := 0
	for _, l := range c.loads() {
		n = max(n, l.tenants)
	}
	return n
}
