// Nightly migrates all tenants every night, in waves, and reports.
//
//	go run ./examples/nightly -now
//
// It needs nothing: everything is SQLite files in -data. Of several processes with one
// -data, one starts the run, and all of them work on it.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

//go:embed migrations/*.sql
var embedded embed.FS

func main() {
	data := flag.String("data", "", "folder to keep data in (default: a new temporary one, which is removed at the end)")
	now := flag.Bool("now", false, "start the run at once, report, and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *data, *now); err != nil {
		fmt.Fprintln(os.Stderr, "nightly:", err)
		os.Exit(1)
	}
}

// run wires the program and works until ctx ends.
func run(ctx context.Context, data string, now bool) (err error) {
	if data == "" {
		if data, err = os.MkdirTemp("", "nightly-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	}
	files, err := sqlite.New(filepath.Join(data, "tenants"))
	if err != nil {
		return err
	}
	pool, err := dbpool.New(map[string]driver.Engine{"main": files}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	db, err := sqlite.Open(filepath.Join(data, "catalog.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	cat, err := catalog.New(db, nil)
	if err != nil {
		return err
	}
	schema, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return err
	}
	locks, err := lifecycle.NewLocks(db, nil) // one at a time works on a tenant's database
	if err != nil {
		return err
	}
	migrator, err := migrate.New(pool, schema, &migrate.Options{Records: cat, Locks: locks})
	if err != nil {
		return err
	}
	runner, err := runs.New(db, cat, &runs.Options{
		Tasks:   runs.Tasks{"migrate": migrator.Task()},
		Context: dbpool.LowPriority, // requests come first
		Schedules: []runs.Schedule{{
			Name: "nightly", Cron: "30 2 * * *", Zone: "Europe/Berlin", Jitter: 10 * time.Minute, Task: "migrate",
			Spec: runs.Spec{Waves: runs.Waves{Canary: 2, Then: "25%"}, Budget: runs.Budget{InAll: "5%"}, Parallel: 8},
		}},
	})
	if err != nil {
		return err
	}
	if err := errors.Join(cat.Migrate(ctx), locks.Migrate(ctx), runner.Migrate(ctx)); err != nil {
		return err
	}
	tenants, err := lifecycle.New(cat, pool, migrator, &lifecycle.Options{Server: "main", Locks: locks})
	if err != nil {
		return err
	}
	for i := range 10 {
		if _, err := tenants.Ensure(ctx, &tenancy.Tenant{Slug: fmt.Sprintf("customer-%d", i)}); err != nil {
			return err
		}
	}

	ctx, cancel := context.WithCancel(ctx)
	worked := make(chan error, 1)
	go func() { worked <- runner.Run(ctx) }()
	defer func() { cancel(); err = errors.Join(err, <-worked) }()
	if now {
		run, err := runner.Trigger(ctx, "nightly")
		if err != nil {
			return err
		}
		return report(ctx, runner, run.ID)
	}
	return watch(ctx, runner)
}
