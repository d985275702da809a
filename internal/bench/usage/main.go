//go:build unix

// Usage measures package analytics on a PostgreSQL server of its own, with the usage of many tenants in it:
//
//	go run ./internal/bench/usage                          # 10,000 tenants, 14 days of hours and 90 of days
//	go run ./internal/bench/usage -days 90 -dir /dev/shm   # 21.6 million rows of hours
//
// The rows of hours and days are made by the server, then the keeper makes the sums of them as in production. Reports are asked
// by eight callers at once; "first" is the first call of new reports; "shared" is of callers who share answers, as by default.
// The last column is the goal, or a baseline without package analytics. Beside them stands the schema that has a row for each
// tenant, hour and metric.
//
// Everything shares the machine: figures are those of this run, and a crowded machine makes them worse. "own" is the processor
// time of this process alone, without the server's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

type config struct {
	tenants, days, logsDays int
	dir, only               string
}

func main() {
	var c config
	flag.IntVar(&c.tenants, "tenants", 10_000, "how many tenants there are")
	flag.IntVar(&c.days, "days", 14, "how many days of hours there are; of days there are 90")
	flag.IntVar(&c.logsDays, "logs-days", 2, "how many days are in the schema with a row for each metric")
	flag.StringVar(&c.dir, "dir", "", "where the server's data is. Default: the folder for temporary files")
	flag.StringVar(&c.only, "only", "", "hot (requests and statements), store or forecasts. Default: hot and store")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, c config) (err error) {
	dir, err := os.MkdirTemp(c.dir, "usage-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // the server runs as another user
		return err
	}
	server, err := testserver.StartPostgres(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	engine, err := postgres.New(server.URL, nil)
	if err != nil {
		return err
	}
	row("", "measured", "goal or baseline")
	if c.only == "" || c.only == "hot" {
		if err := hot(ctx, engine, dir); err != nil {
			return err
		}
	}
	if c.only == "hot" {
		return nil
	}
	db, err := sqlx.Open("pgx", server.URL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxIdleConns(16)
	store, err := analytics.NewSQL(db, nil)
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err != nil {
		return err
	}
	g := &ground{config: c, db: db, store: store}
	steps := []func(context.Context) error{g.load, g.flushes, g.rollUps, g.sizes, g.reports, g.exports, g.forecasts, g.logs}
	if c.only == "forecasts" {
		steps = []func(context.Context) error{g.load, g.rollUps, g.forecasts}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// row prints a row of the table.
func row(what, measured, goal string) { fmt.Printf("%-58s | %-34s | %s\n", what, measured, goal) }

// processorTime returns what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func round(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
