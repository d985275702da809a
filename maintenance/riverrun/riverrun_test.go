package riverrun_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jmoiron/sqlx"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/maintenance/riverrun"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// place is a database of PostgreSQL for runs and for River.
type place struct{ dsn, database string }

func newPlace(t *testing.T) place {
	t.Helper()
	s := tenancytest.NewServer(t, "postgres")
	p := place{s.DSN, s.Tenant(t, "control").Placement.Database}
	pool, err := p.pool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: quiet})
	if err == nil {
		_, err = migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p place) pool(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(p.dsn)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Database = p.database
	config.MaxConns = 6
	return pgxpool.NewWithConfig(ctx, config)
}

func (p place) db() (*sqlx.DB, error) {
	engine, err := postgres.New(p.dsn, nil)
	if err != nil {
		return nil, err
	}
	connector, err := engine.Connector(p.database)
	if err != nil {
		return nil, err
	}
	db := sqlx.NewDb(sql.OpenDB(connector), engine.DriverName())
	db.SetMaxOpenConns(6)
	return db, nil
}

// process is one process of an application with River.
type process struct {
	runner *runs.Runner
	client *river.Client[pgx.Tx]
	stop   func() // without waiting for jobs in hand
}

// start starts a process in a place.
func (p place) start(ctx context.Context, c runs.Catalog, opts riverrun.Options, o runs.Options) (*process, error) {
	pool, err := p.pool(ctx)
	if err != nil {
		return nil, err
	}
	db, err := p.db()
	if err != nil {
		return nil, err
	}
	opts.Snooze = 10 * time.Millisecond
	executor, err := riverrun.New(&opts)
	if err != nil {
		return nil, err
	}
	o.Executor, o.Logger, o.Grace = executor, quiet, -1
	if o.Poll == 0 {
		o.Poll = 5 * time.Millisecond
	}
	runner, err := runs.New(db, c, &o)
	if err == nil {
		err = runner.Migrate(ctx)
	}
	if err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, executor.Worker(runner))
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{executor.Queue(): {MaxWorkers: 10}}, Logger: quiet,
		FetchCooldown: 5 * time.Millisecond, FetchPollInterval: 50 * time.Millisecond, RetryPolicy: atOnce{},
	})
	if err != nil {
		return nil, err
	}
	executor.Use(client)
	if err := client.Start(ctx); err != nil {
		return nil, err
	}
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = runner.Run(working)
	}()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		_ = client.StopAndCancel(working)
		cancel()
		<-done
		_ = db.Close()
		pool.Close()
	}
	return &process{runner, client, stop}, nil
}

// atOnce is a retry policy that waits for nothing.
type atOnce struct{}

func (atOnce) NextRetry(*rivertype.JobRow) time.Time { return time.Now() }

// Start implements [tenancytest.Instances].
func (p place) Start(t *testing.T, c runs.Catalog, tasks runs.Tasks) (*runs.Runner, func()) {
	t.Helper()
	one, err := p.start(t.Context(), c, riverrun.Options{}, runs.Options{Tasks: tasks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(one.stop)
	return one.runner, one.stop
}

// River does what the built-in workers do.
func TestExecutor(t *testing.T) {
	t.Parallel()
	tenancytest.TestExecutor(t, func(t *testing.T) tenancytest.Instances { return newPlace(t) })
}

// River tries a tenant again before it has failed, and shows what it kept.
func TestRetries(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var calls atomic.Int64
	tasks := runs.Tasks{"work": {Do: func(_ context.Context, tenant *tenancy.Tenant, a tenancy.Attempt) error {
		calls.Add(1)
		if a.Number < 3 || tenant.Slug == "globex" {
			return fmt.Errorf("no luck in attempt %d", a.Number)
		}
		return nil
	}}}
	one, err := p.start(t.Context(), tenancytest.NewCatalog(t, tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")),
		riverrun.Options{MaxAttempts: 3}, runs.Options{Tasks: tasks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(one.stop)
	plan, err := one.runner.Plan(t.Context(), "work", runs.Spec{})
	if err == nil {
		_, err = one.runner.Start(t.Context(), plan.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var last runs.Progress
	for got, err := range one.runner.Follow(ctx, plan.ID) {
		if err != nil {
			t.Fatalf("%v; last %+v", err, last.Run)
		}
		last = got
	}
	if last.Done != 1 || last.Failed != 1 || calls.Load() != 6 {
		t.Errorf("got %+v after %d calls, want one done and one failed after 6", last.Counts, calls.Load())
	}
	// River writes a job's end after Work has returned.
	for {
		jobs, err := one.client.JobList(ctx, river.NewJobListParams().States(rivertype.JobStateDiscarded, rivertype.JobStateCompleted).Kinds("tenancy_run"))
		if err != nil {
			t.Fatal(err)
		}
		states := map[rivertype.JobState]int{}
		for _, job := range jobs.Jobs {
			states[job.State]++
			if job.State == rivertype.JobStateDiscarded && (len(job.Errors) != 3 || job.Queue != "tenancy" || job.Priority != 4) {
				t.Errorf("got the job %+v with %d errors, want 3", job, len(job.Errors))
			}
		}
		if states[rivertype.JobStateDiscarded] == 1 && states[rivertype.JobStateCompleted] == 1 {
			return
		}
		if len(jobs.Jobs) > 2 {
			t.Fatalf("got the jobs %v, want one of each", states)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, opts := range []riverrun.Options{{Priority: 5}, {Priority: -1}, {MaxAttempts: -1}, {Snooze: -1}} {
		if _, err := riverrun.New(&opts); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", opts, err)
		}
	}
	e, err := riverrun.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"Execute": e.Execute(t.Context(), []runs.Ticket{{}}), "Check": e.Check(t.Context())} {
		if !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("%s without a client: got %v, want ErrUnavailable", what, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	pool, err := p.pool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	e, err := riverrun.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	e.Use(client)
	if err := e.Check(t.Context()); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	pool.Close()
	if err := e.Check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("without River's database: got %v, want ErrUnavailable", err)
	}
}
