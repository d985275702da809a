package tenancytest

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// runPoll is how often runners of tests look for work.
const runPoll = 5 * time.Millisecond

// NewRunner returns a runner that keeps its runs in a database of the test's own, and works
// on them until the test ends. Options that matter are Tasks, Schedules, Selector and
// Fields; the rest has values for tests. See also [RunTask].
func NewRunner(t testing.TB, c runs.Catalog, opts *runs.Options) *runs.Runner {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "runs.db"))
	if err != nil {
		t.Fatalf("tenancytest: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() })
	o := runs.Options{}
	if opts != nil {
		o = *opts
	}
	if o.Poll == 0 {
		o.Poll = runPoll
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Grace == 0 {
		o.Grace = -1
	}
	r, err := runs.New(db, c, &o)
	if err == nil {
		err = r.Migrate(t.Context())
	}
	if err != nil {
		t.Fatalf("tenancytest: %v", err)
	}
	work(t, r)
	return r
}

// work lets a runner work until the test ends or stop is called.
func work(t testing.TB, r *runs.Runner) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("tenancytest: Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// RunTask does a task for tenants as a run does: it checks the parameters, leaves out
// tenants that cannot take part, catches panics, and tries each tenant that fails once
// more, with its checkpoint, as an operator does with Retry. It returns what became of
// each, by slug. A task that runs refuse fails the test.
func RunTask(t testing.TB, task tenancy.Task, params tenancy.Params, tenants ...*tenancy.Tenant) map[string]runs.Result {
	t.Helper()
	r := NewRunner(t, NewCatalog(t, tenants...), &runs.Options{Tasks: runs.Tasks{"task": task}})
	p, err := r.Plan(t.Context(), "task", runs.Spec{Params: params})
	if err == nil {
		_, err = r.Start(t.Context(), p.ID)
	}
	if err != nil {
		t.Fatalf("tenancytest: %v", err)
	}
	run := ended(t, r, p.ID)
	if run.State == runs.StateFailed {
		if _, err := r.Retry(t.Context(), p.ID); err != nil {
			t.Fatalf("tenancytest: %v", err)
		}
		ended(t, r, p.ID)
	}
	return resultsOf(t, r, p.ID)
}

// runBound is how long a test waits for a run.
const runBound = 5 * time.Minute

// ended follows a run until it has ended.
func ended(t testing.TB, r *runs.Runner, id string) *runs.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runBound)
	defer cancel()
	var last runs.Progress
	for p, err := range r.Follow(ctx, id) {
		if err != nil {
			t.Fatalf("tenancytest: following the run: %v; last %+v", err, last.Run)
		}
		last = p
	}
	return &last.Run
}

// resultsOf returns what became of the tenants of a run, by slug.
func resultsOf(t testing.TB, r *runs.Runner, id string) map[string]runs.Result {
	t.Helper()
	out := map[string]runs.Result{}
	for q := (runs.ResultQuery{Limit: 1000}); ; {
		page, err := r.Results(t.Context(), id, q)
		if err != nil {
			t.Fatalf("tenancytest: %v", err)
		}
		for _, each := range page {
			out[each.Slug], q.After = each, each.Number
		}
		if len(page) < q.Limit {
			return out
		}
	}
}

// until asks again and again, until the answer is yes.
func until(ctx context.Context, ask func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, runBound)
	defer cancel()
	tick := time.NewTicker(runPoll)
	defer tick.Stop()
	for {
		if ok, err := ask(ctx); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
