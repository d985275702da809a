package riverrun_test

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/artflow-studio/tenancy/maintenance/riverrun"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// workerEnv makes this test program one that works on runs with River: the server's
// address and the database.
const workerEnv = "TENANCY_TEST_RIVER_WORKER"

func TestMain(m *testing.M) {
	if where := os.Getenv(workerEnv); where != "" {
		dsn, database, _ := strings.Cut(where, " ")
		if err := workProcess(place{dsn, database}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// workProcess works until it is killed.
func workProcess(p place) error {
	ctx := context.Background()
	db, err := p.db()
	if err != nil {
		return err
	}
	cat, err := catalog.New(db, nil)
	if err != nil {
		return err
	}
	if _, err := p.start(ctx, cat, riverrun.Options{}, runs.Options{Tasks: counting(db), Lease: 5 * time.Second, Poll: 20 * time.Millisecond}); err != nil {
		return err
	}
	select {}
}

// counting has a task that counts each tenant once. A tenant that was counted although its
// first attempt has just begun has been worked on by two.
func counting(db *sqlx.DB) runs.Tasks {
	return runs.Tasks{"count": {Do: func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
		n := 0
		err := db.GetContext(ctx, &n, `WITH new AS (INSERT INTO counted (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING 1) SELECT COUNT(*) FROM new`, t.ID)
		if err == nil && n == 0 && a.Number == 1 {
			err = errors.New("somebody else was here")
		}
		return err
	}}}
}

// Three processes with River work on one run, and one after another is killed. Every
// tenant is counted once, and the run ends.
func TestKilledProcesses(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("TENANCY_SOAK")); err == nil {
		kills = max(50, n)
	}
	p := newPlace(t)
	db, err := p.db()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	cat, err := catalog.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := runs.New(db, cat, &runs.Options{Tasks: counting(db), Poll: 20 * time.Millisecond, Logger: quiet})
	if err = errors.Join(err, cat.Migrate(t.Context()), r.Migrate(t.Context())); err != nil {
		t.Fatal(err)
	}
	db.MustExec(`CREATE TABLE counted (tenant_id VARCHAR(36) NOT NULL PRIMARY KEY)`)
	n := 60 * kills
	for i := range n {
		_, err := cat.Create(t.Context(), &tenancy.Tenant{ID: tenancy.ID(fmt.Sprintf("id-%06d", i)), Slug: fmt.Sprintf("t-%06d", i), Status: tenancy.StatusActive})
		if err != nil {
			t.Fatal(err)
		}
	}
	plan, err := r.Plan(t.Context(), "count", runs.Spec{Parallel: 12, Waves: runs.Waves{Then: "30%"}})
	if err == nil {
		_, err = r.Start(t.Context(), plan.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	start := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), workerEnv+"="+p.dsn+" "+p.database)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Error(err)
		}
		return cmd
	}
	end := func(cmd *exec.Cmd) { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	processes := []*exec.Cmd{start(), start(), start()}
	defer func() {
		for _, cmd := range processes {
			end(cmd)
		}
	}()
	killed, next := 0, n/(kills+1)
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Minute)
	defer cancel()
	var last runs.Progress
	for p, err := range r.Follow(ctx, plan.ID) {
		if err != nil {
			t.Fatalf("%v; last %+v", err, last.Run)
		}
		last = p
		if p.Finished() >= next && killed < kills && !p.State.Ended() {
			i := rand.N(len(processes)) // not a secret
			end(processes[i])
			processes[i] = start()
			killed++
			next += n / (kills + 1)
		}
	}
	var counted, again int
	err = errors.Join(db.Get(&counted, `SELECT COUNT(*) FROM counted`), db.Get(&again, `SELECT COUNT(*) FROM tenancy_run_tenants WHERE attempt > 1`))
	if err != nil {
		t.Fatal(err)
	}
	if last.State != runs.StateDone || last.Done != n || counted != n {
		t.Errorf("got %+v and %d counted, want %d done, each once", last.Run, counted, n)
	}
	if killed == 0 {
		t.Error("no process was killed before the run had ended")
	}
	t.Logf("%d killed, %d tenants tried again", killed, again)
}
