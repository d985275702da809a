package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/bench"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

func nothing(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }

// known measures runs over a catalog of many tenants: a plan over ten, and a task that does
// nothing over all.
func known(ctx context.Context, c *config, dir string) error {
	for _, engine := range []string{"sqlite", "postgres"} {
		file := ""
		if engine == "sqlite" {
			file = filepath.Join(dir, "known.db")
		}
		err := func() (err error) {
			k, err := newControl(ctx, c, file)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, k.close()) }()
			if err := fill(ctx, k.catalog, c.known); err != nil {
				return err
			}
			r, err := k.runner(ctx, &runs.Options{Tasks: runs.Tasks{"nothing": {Do: nothing}}, Poll: 200 * time.Millisecond, Workers: 256})
			if err != nil {
				return err
			}
			began := time.Now()
			var ids []tenancy.ID
			for i := range 10 {
				ids = append(ids, tenancy.ID(fmt.Sprintf("id-%08d", i*c.known/10)))
			}
			plan, err := r.Plan(ctx, "nothing", runs.Spec{IDs: ids})
			if err == nil {
				_, err = r.Start(ctx, plan.ID)
			}
			if err != nil {
				return err
			}
			row(fmt.Sprintf("%s, %d known: plan and start over 10", engine, c.known), "%v", time.Since(began).Round(time.Millisecond))
			if _, err := r.Cancel(ctx, plan.ID, ""); err != nil {
				return err
			}
			began = time.Now()
			var before runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			most := before.HeapInuse
			took, err := through(ctx, r, "nothing", runs.Spec{Parallel: 256}, true, func(runs.Progress) {
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapInuse)
			})
			if err != nil {
				return err
			}
			row(fmt.Sprintf("%s, %d known: a task that does nothing over all", engine, c.known), "%.0f tenants/s, planned in %v, heap +%.0f MB",
				float64(c.known)/took.Seconds(), (time.Since(began) - took).Round(10*time.Millisecond), float64(most-before.HeapInuse)/(1<<20))
			return nil
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// workerEnv makes the program one that works on runs in that database.
const workerEnv = "TENANCY_BENCH_RUNS_WORKER"

func workProcess(where string) error {
	dsn, database, _ := strings.Cut(where, " ")
	engine, err := postgres.New(dsn, nil)
	if err != nil {
		return err
	}
	connector, err := engine.Connector(database)
	if err != nil {
		return err
	}
	db := sqlx.NewDb(sql.OpenDB(connector), engine.DriverName())
	cat, err := catalog.New(db, nil)
	if err != nil {
		return err
	}
	r, err := runs.New(db, cat, &runs.Options{Tasks: counting(db), Poll: 100 * time.Millisecond, Lease: 3 * time.Second})
	if err != nil {
		return err
	}
	return r.Run(context.Background())
}

// counting has a task that takes 50 ms and counts a tenant once.
func counting(db *sqlx.DB) runs.Tasks {
	return runs.Tasks{"count": {Do: func(ctx context.Context, t *tenancy.Tenant, _ tenancy.Attempt) error {
		if _, err := db.ExecContext(ctx, `SELECT pg_sleep(0.05)`); err != nil {
			return err
		}
		_, err := db.ExecContext(ctx, `INSERT INTO counted (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING`, t.ID)
		return err
	}}}
}

// kills compares three workers that are left alone with three of which one is killed every
// five seconds.
func kills(ctx context.Context, c *config, _ string) (err error) {
	k, err := newControl(ctx, c, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.close()) }()
	n := max(c.tenants, 100) * 4
	if err := fill(ctx, k.catalog, n); err != nil {
		return err
	}
	r, err := k.runner(ctx, &runs.Options{Tasks: counting(k.db)})
	if err != nil {
		return err
	}
	start := func() *exec.Cmd {
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), workerEnv+"="+c.dsn+" "+k.name)
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return cmd
	}
	end := func(cmd *exec.Cmd) { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for _, disturbed := range []bool{false, true} {
		k.db.MustExec(`DROP TABLE IF EXISTS counted`)
		k.db.MustExec(`CREATE TABLE counted (tenant_id VARCHAR(36) PRIMARY KEY)`)
		workers := []*exec.Cmd{start(), start(), start()}
		last, killed := time.Now(), 0
		took, err := through(ctx, r, "count", runs.Spec{Parallel: 6}, false, func(p runs.Progress) {
			if disturbed && time.Since(last) > 5*time.Second && !p.State.Ended() {
				end(workers[killed%3])
				workers[killed%3] = start()
				killed++
				last = time.Now()
			}
		})
		for _, w := range workers {
			end(w)
		}
		if err != nil {
			return err
		}
		var counted int
		if err := k.db.Get(&counted, `SELECT COUNT(*) FROM counted`); err != nil {
			return err
		}
		row(fmt.Sprintf("three workers, %d tenants of 50 ms, parallel 6, %d killed", n, killed), "%v, %d counted", took.Round(10*time.Millisecond), counted)
	}
	return nil
}

// live measures requests beside a run that migrates on the same server.
func live(ctx context.Context, c *config, dir string) (err error) {
	files, err := tables(dir, 20)
	if err != nil {
		return err
	}
	f, err := newFleet(ctx, c, files)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close(ctx, c)) }()
	busy, err := newControl(ctx, c, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, busy.close()) }()
	busy.db.MustExec(`CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT)`)
	busy.db.MustExec(`INSERT INTO notes SELECT i, 'x' FROM generate_series(1, 10000) i`)
	var mu sync.Mutex
	var times []time.Duration
	traffic := func(ctx context.Context) {
		t := time.NewTicker(10 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			began := time.Now()
			var text string
			if err := busy.db.GetContext(ctx, &text, `SELECT text FROM notes WHERE id = $1`, began.UnixNano()%10000+1); err == nil {
				mu.Lock()
				times = append(times, time.Since(began))
				mu.Unlock()
			}
		}
	}
	with := func(do func() error) (time.Duration, error) {
		times = nil
		ctx, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() { defer close(done); traffic(ctx) }()
		err := do()
		stop()
		<-done
		return bench.Percentile(times, 99), err
	}
	alone, err := with(func() error { time.Sleep(5 * time.Second); return nil })
	if err != nil {
		return err
	}
	r, err := f.control.runner(ctx, &runs.Options{Tasks: runs.Tasks{"migrate": f.migrator.Task()}, Context: dbpool.LowPriority})
	if err != nil {
		return err
	}
	beside, err := with(func() error {
		_, err := through(ctx, r, "migrate", runs.Spec{Parallel: 1}, true, nil)
		return err
	})
	row("live traffic, p99: alone, and beside a run, parallel 1", "%v, %v: %.2fx", alone.Round(10*time.Microsecond), beside.Round(10*time.Microsecond), float64(beside)/float64(alone))
	return err
}

// follow counts what followers of a run ask the database, and what they cost.
func follow(ctx context.Context, c *config, _ string) (err error) {
	k, err := newControl(ctx, c, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.close()) }()
	if err := fill(ctx, k.catalog, c.known); err != nil {
		return err
	}
	worker, err := k.runner(ctx, &runs.Options{Tasks: runs.Tasks{"wait": {Do: func(ctx context.Context, _ *tenancy.Tenant, _ tenancy.Attempt) error {
		time.Sleep(2 * time.Millisecond)
		return nil
	}}}})
	if err != nil {
		return err
	}
	plan, err := worker.Plan(ctx, "wait", runs.Spec{Parallel: 4})
	if err != nil {
		return err
	}
	engine, err := postgres.New(c.dsn, nil)
	if err != nil {
		return err
	}
	connector, err := engine.Connector(k.name)
	if err != nil {
		return err
	}
	counter := &counted{Connector: connector}
	var wg sync.WaitGroup
	following, stop := context.WithCancel(ctx)
	defer stop()
	if _, err := worker.Start(ctx, plan.ID); err != nil {
		return err
	}
	cpu, began := cpuTime(), time.Now()
	var changes atomic.Int64
	for range c.followers {
		db := sqlx.NewDb(sql.OpenDB(counter), engine.DriverName())
		db.SetMaxOpenConns(1)
		defer func() { _ = db.Close() }()
		r, err := runs.New(db, k.catalog, nil)
		if err != nil {
			return err
		}
		wg.Go(func() {
			for _, err := range r.Follow(following, plan.ID) {
				if err != nil && following.Err() == nil {
					fmt.Fprintln(os.Stderr, "following:", err)
				}
				changes.Add(1)
			}
		})
	}
	// The followers alone first: the run waits for a worker.
	time.Sleep(10 * time.Second)
	used, took := cpuTime()-cpu, time.Since(began)
	row(fmt.Sprintf("%d followers of %d tenants, nothing changes", c.followers, c.known), "%.1f queries/s, %.2f %% of a core each",
		float64(counter.n.Load())/took.Seconds(), 100*used.Seconds()/took.Seconds()/float64(c.followers))
	counter.n.Store(0)
	changes.Store(0)
	began = time.Now()
	working, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- worker.Run(working) }()
	wg.Wait()
	end()
	took = time.Since(began)
	row(fmt.Sprintf("%d followers of %d tenants while they are worked on", c.followers, c.known), "%.1f queries/s, %d changes seen by each in %v",
		float64(counter.n.Load())/took.Seconds(), changes.Load()/int64(c.followers), took.Round(time.Second))
	return <-done
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// counted counts the queries over connections, which it lets prepare each.
type counted struct {
	driver.Connector
	n atomic.Int64
}

// Connect implements [driver.Connector].
func (c *counted) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return &countedConn{conn, &c.n}, err
}

type countedConn struct {
	driver.Conn
	n *atomic.Int64
}

// Prepare implements [driver.Conn].
func (c *countedConn) Prepare(query string) (driver.Stmt, error) {
	c.n.Add(1)
	return c.Conn.Prepare(query)
}
