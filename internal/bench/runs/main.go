// Command runs measures package runs beside loops over goose, on the PostgreSQL server that
// TENANCY_TEST_POSTGRES names and on SQLite:
//
//	go run ./internal/testserver/run -- go run ./internal/bench/runs -tenants 1000 -known 100000
//
// It prints the table of what is measured. The databases that it makes are removed.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// config is what the flags say.
type config struct {
	tenants, known, followers int
	only                      string
	dsn                       string
}

func (c *config) wants(what string) bool {
	return c.only == "" || slices.Contains(strings.Split(c.only, ","), what)
}

func main() {
	if where := os.Getenv(workerEnv); where != "" {
		fmt.Fprintln(os.Stderr, "runs:", workProcess(where))
		os.Exit(1)
	}
	c := &config{dsn: os.Getenv("TENANCY_TEST_POSTGRES")}
	flag.IntVar(&c.tenants, "tenants", 100, "tenants with databases")
	flag.IntVar(&c.known, "known", 10_000, "tenants in the catalog without databases")
	flag.IntVar(&c.followers, "followers", 50, "followers of one run")
	flag.StringVar(&c.only, "only", "", "migrate, known, kills, live, follow; separated by commas (default: all)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	if err := measure(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "runs:", err)
		stop()
		os.Exit(1)
	}
}

func measure(ctx context.Context, c *config) (err error) {
	if c.dsn == "" {
		return errors.New("TENANCY_TEST_POSTGRES is empty; see the comment of the program")
	}
	dir, err := os.MkdirTemp("", "bench-runs-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, each := range []struct {
		name string
		do   func(context.Context, *config, string) error
	}{{"migrate", migrations}, {"known", known}, {"kills", kills}, {"live", live}, {"follow", follow}} {
		if !c.wants(each.name) {
			continue
		}
		if err := each.do(ctx, c, dir); err != nil {
			return fmt.Errorf("%s: %w", each.name, err)
		}
	}
	return nil
}

// control is a database for the catalog and for runs.
type control struct {
	db      *sqlx.DB
	name    string // of the database
	catalog *catalog.Catalog
	close   func() error
}

// newControl makes one on PostgreSQL, or in a file of SQLite if file is given.
func newControl(ctx context.Context, c *config, file string) (*control, error) {
	out := &control{name: file}
	var err error
	if file != "" {
		out.db, err = sqlite.Open(file)
		if err != nil {
			return nil, err
		}
		out.close = out.db.Close
	} else {
		engine, err := postgres.New(c.dsn, nil)
		if err != nil {
			return nil, err
		}
		out.name = fmt.Sprintf("bench_runs_%d_%d", os.Getpid(), time.Now().UnixNano())
		if err := inServer(ctx, c, "CREATE DATABASE "+out.name); err != nil {
			return nil, err
		}
		connector, err := engine.Connector(out.name)
		if err != nil {
			return nil, err
		}
		out.db = sqlx.NewDb(sql.OpenDB(connector), engine.DriverName())
		out.close = func() error {
			return errors.Join(out.db.Close(), inServer(context.WithoutCancel(ctx), c, "DROP DATABASE "+out.name+" WITH (FORCE)"))
		}
	}
	out.catalog, err = catalog.New(out.db, nil)
	if err == nil {
		err = out.catalog.Migrate(ctx)
	}
	return out, err
}

// inServer executes a statement in the server's own database.
func inServer(ctx context.Context, c *config, statement string) error {
	db, err := sql.Open("pgx", c.dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// runner returns a runner with one task.
func (c *control) runner(ctx context.Context, opts *runs.Options) (*runs.Runner, error) {
	r, err := runs.New(c.db, c.catalog, opts)
	if err == nil {
		err = r.Migrate(ctx)
	}
	return r, err
}

// through plans, starts and follows a run, with this process working on it if works is
// set, and returns how long it took from the start to the end.
func through(ctx context.Context, r *runs.Runner, task string, spec runs.Spec, works bool, seen func(runs.Progress)) (took time.Duration, err error) {
	plan, err := r.Plan(ctx, task, spec)
	if err != nil {
		return 0, err
	}
	if works {
		working, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- r.Run(working) }()
		defer func() { stop(); err = errors.Join(err, <-done) }()
	}
	run, err := r.Start(ctx, plan.ID)
	if err != nil {
		return 0, err
	}
	for p, err := range r.Follow(ctx, run.ID) {
		if err != nil {
			return 0, err
		}
		if seen != nil {
			seen(p)
		}
		run = &p.Run
	}
	if run.State != runs.StateDone {
		return 0, fmt.Errorf("the run is %s: %s", run.State, run.Reason)
	}
	return run.EndedAt.Sub(run.StartedAt), nil
}

// tables returns migrations that make n tables, one in each file.
func tables(dir string, n int) (fs.FS, error) {
	folder := filepath.Join(dir, fmt.Sprintf("tables-%d", n))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	for i := range n {
		text := fmt.Sprintf("-- +goose Up\nCREATE TABLE t%d (id BIGINT PRIMARY KEY, name TEXT NOT NULL, at TIMESTAMPTZ);\nCREATE INDEX t%d_name ON t%d (name);\n", i, i, i)
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%05d_t.sql", i+1)), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return os.DirFS(folder), nil
}

// fill makes n active tenants without databases.
func fill(ctx context.Context, cat *catalog.Catalog, n int) error {
	for i := range n {
		_, err := cat.Create(ctx, &tenancy.Tenant{ID: tenancy.ID(fmt.Sprintf("id-%08d", i)), Slug: fmt.Sprintf("t-%08d", i), Status: tenancy.StatusActive,
			Placement: tenancy.Placement{Server: "main", Database: fmt.Sprintf("t_%08d", i)}})
		if err != nil {
			return err
		}
	}
	return nil
}

func row(what, format string, args ...any) {
	fmt.Printf("%-58s %s\n", what, fmt.Sprintf(format, args...))
}

func each(d time.Duration, n int) string {
	return fmt.Sprintf("%.2f ms a tenant", float64(d.Microseconds())/1000/float64(n))
}
