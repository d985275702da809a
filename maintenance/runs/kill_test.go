package runs_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// workerEnv makes this test program one that works on runs: the engine, its address,
// and the database.
const workerEnv = "TENANCY_TEST_RUNS_WORKER"

func TestMain(m *testing.M) {
	if where := os.Getenv(workerEnv); where != "" {
		if err := workProcess(where); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// workProcess works on runs until it is killed.
func workProcess(where string) error {
	part := strings.Split(where, " ")
	var engine driver.Engine
	var err error
	switch part[0] {
	case "sqlite":
		engine, err = sqlite.New(part[1])
	case "postgres":
		engine, err = postgres.New(part[1], nil)
	default:
		engine, err = mysql.New(part[1], nil)
	}
	if err != nil {
		return err
	}
	connector, err := engine.Connector(part[2])
	if err != nil {
		return err
	}
	db := sqlx.NewDb(sql.OpenDB(connector), engine.DriverName())
	r, err := countingRunner(db)
	if err != nil {
		return err
	}
	return r.Run(context.Background())
}

// countingRunner has a task that counts each tenant once. A tenant that was counted
// although its first attempt has just begun has been worked on by two.
func countingRunner(db *sqlx.DB) (*runs.Runner, error) {
	cat, err := catalog.New(db, nil)
	if err != nil {
		return nil, err
	}
	dialect, err := sqlkit.FromDriver(db.DriverName())
	if err != nil {
		return nil, err
	}
	return runs.New(db, cat, &runs.Options{
		Poll: 20 * time.Millisecond, Lease: 5 * time.Second, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Tasks: runs.Tasks{"count": {Do: func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
			_, err := db.ExecContext(ctx, dialect.Rebind(`INSERT INTO counted (tenant_id, fence) VALUES (?, ?)`), t.ID, a.Fence)
			for dialect == sqlkit.SQLite && sqlkit.IsBusy(err) && ctx.Err() == nil { // the others write, on a slow machine
				_, err = db.ExecContext(ctx, dialect.Rebind(`INSERT INTO counted (tenant_id, fence) VALUES (?, ?)`), t.ID, a.Fence)
			}
			if sqlkit.IsUnique(err) && a.Number > 1 {
				err = nil // an attempt before counted, and was killed before it could say so
			}
			return err
		}}},
	})
}

// Processes that work on one run are killed, one after another. Every tenant is counted
// once, and the run ends.
func TestKilledProcesses(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	kills := 3
	if os.Getenv("TENANCY_SOAK") != "" {
		kills = soakKills()
	}
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) { killLoop(t, s, kills, nil) })
}

// The same while the server is killed and started again now and then: tenants whose work
// was cut off have failed, and are done after a retry.
func TestKilledProcessesAndServers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts servers and many processes")
	}
	kills := 4
	if os.Getenv("TENANCY_SOAK") != "" {
		kills = soakKills()
	}
	for name, e := range map[string]testserver.Engine{"postgres": testserver.Postgres, "mysql": testserver.MariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := e.Find(); err != nil {
				if os.Getenv(tenancytest.RequireEnv) != "" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			dir, err := os.MkdirTemp("", "server")
			if err == nil {
				err = os.Chmod(dir, 0o755) // the server runs as another user
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			server, err := testserver.Start(t.Context(), e, dir, &testserver.Options{Durable: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = server.Stop() })
			s := &tenancytest.Server{Name: name, DSN: server.URL}
			if e == testserver.Postgres {
				s.Engine, err = postgres.New(server.URL, nil)
			} else {
				s.Engine, err = mysql.New(server.URL, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			killLoop(t, s, kills, func() {
				server.Kill()
				if err := server.Restart(t.Context()); err != nil {
					t.Errorf("restarting the server: %v", err)
				}
			})
		})
	}
}

// soakKills is how many processes are killed in a soak test: TENANCY_SOAK, or 200.
func soakKills() int {
	if n, err := strconv.Atoi(os.Getenv("TENANCY_SOAK")); err == nil && n > 1 {
		return n
	}
	return 200
}

// killLoop kills processes that work on one run, and calls restart, unless it is nil, after
// every second one of the first four, and then after every tenth.
func killLoop(t *testing.T, s *tenancytest.Server, kills int, restart func()) {
	t.Helper()
	control := s.Tenant(t, "control")
	connector, err := s.Engine.Connector(control.Placement.Database)
	if err != nil {
		t.Fatal(err)
	}
	db := sqlx.NewDb(sql.OpenDB(connector), s.Engine.DriverName())
	t.Cleanup(func() { _ = db.Close() })
	r, err := countingRunner(db)
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.New(db, nil)
	if err = errors.Join(err, r.Migrate(t.Context()), cat.Migrate(t.Context())); err != nil {
		t.Fatal(err)
	}
	db.MustExec(`CREATE TABLE counted (tenant_id VARCHAR(36) NOT NULL PRIMARY KEY, fence BIGINT NOT NULL)`)
	n := 100 * kills
	if err := fill(t.Context(), db, n); err != nil {
		t.Fatal(err)
	}
	p, err := r.Plan(t.Context(), "count", runs.Spec{Parallel: 6, Waves: runs.Waves{Then: "30%"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Start(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	start := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), workerEnv+"="+strings.Join([]string{s.Name, s.DSN, control.Placement.Database}, " "))
		if err := cmd.Start(); err != nil {
			t.Error(err)
		}
		return cmd
	}
	end := func(cmd *exec.Cmd) { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	workers := []*exec.Cmd{start(), start(), start()}
	defer func() {
		for _, cmd := range workers {
			end(cmd)
		}
	}()
	killed, restarted, next := 0, 0, n/(kills+1)
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Minute)
	defer cancel()
	follow := func() (last runs.Progress) {
		for p, err := range r.Follow(ctx, p.ID) {
			if err != nil && restart != nil && errors.Is(err, tenancy.ErrUnavailable) && ctx.Err() == nil {
				continue // the server is being restarted
			}
			if err != nil {
				t.Fatalf("%v; last %+v", err, last.Run)
			}
			last = p
			if p.Finished() < next || killed >= kills || p.State.Ended() {
				continue
			}
			i := rand.N(len(workers)) // not a secret
			end(workers[i])
			workers[i] = start()
			killed++
			next += n / (kills + 1)
			if restart != nil && (killed <= 4 && killed%2 == 0 || killed%10 == 0) {
				restart()
				restarted++
			}
		}
		return last
	}
	last := follow()
	failures := last.Failed
	for range 5 { // those whose work was cut off
		if last.State != runs.StateFailed || restart == nil {
			break
		}
		if _, err := r.Retry(ctx, p.ID); err != nil {
			t.Fatal(err)
		}
		last = follow()
	}
	var counted int
	if err := db.Get(&counted, `SELECT COUNT(*) FROM counted`); err != nil {
		t.Fatal(err)
	}
	if last.State != runs.StateDone || last.Done != n || counted != n {
		t.Errorf("got %+v and %d counted, want %d done, each once; failures: %+v", last.Run, counted, n, (&bench{t: t}).results(r, p.ID, runs.TenantFailed))
	}
	if killed == 0 {
		t.Error("no process was killed before the run had ended")
	}
	var again int
	if err := db.Get(&again, `SELECT COUNT(*) FROM tenancy_run_tenants WHERE attempt > 1`); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d processes killed, server restarted %d times, %d failures, %d tenants tried again", killed, restarted, failures, again)
}

// fill makes n active tenants without databases.
func fill(ctx context.Context, db *sqlx.DB, n int) error {
	cat, err := catalog.New(db, nil)
	if err != nil {
		return err
	}
	for i := range n {
		if _, err := cat.Create(ctx, &tenancy.Tenant{ID: tenancy.ID(fmt.Sprintf("id-%06d", i)), Slug: fmt.Sprintf("t-%06d", i), Status: tenancy.StatusActive}); err != nil {
			return err
		}
	}
	return nil
}
