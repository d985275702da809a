package tenancytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// Instances makes instances of an application that work on the same runs, for
// [TestExecutor].
type Instances interface {
	// Start returns the runner of another instance, which works until the test ends or
	// stop is called. The catalog, and of the options the tasks, are the suite's; the rest
	// is the implementation's, with a Poll of milliseconds. stop does not wait for tasks
	// in hand: the tenants are given back.
	Start(t *testing.T, c runs.Catalog, tasks runs.Tasks) (r *runs.Runner, stop func())
}

// TestExecutor is the conformance suite for what works on runs: the built-in workers, or a
// [runs.Executor] with what calls [runs.Runner.Do]. The function returns instances whose
// runs are in a database that nobody has used.
func TestExecutor(t *testing.T, open func(t *testing.T) Instances) {
	for name, test := range map[string]func(e *executing){
		"EachOnce":    testExecutorEachOnce,
		"Outcomes":    testExecutorOutcomes,
		"Checkpoint":  testExecutorCheckpoint,
		"Waves":       testExecutorWaves,
		"Pause":       testExecutorPause,
		"Cancel":      testExecutorCancel,
		"GivenBack":   testExecutorGivenBack,
		"TimeLimit":   testExecutorTimeLimit,
		"UnknownTask": testExecutorUnknownTask,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&executing{T: t, instances: open(t)})
		})
	}
}

// executing is one run of a test of an executor.
type executing struct {
	*testing.T
	instances Instances
	catalog   runs.Catalog
}

type doing = func(context.Context, *tenancy.Tenant, tenancy.Attempt) error

// fill makes n tenants.
func (e *executing) fill(n int) {
	e.Helper()
	var all []*tenancy.Tenant
	for i := range n {
		t := NewTenant(fmt.Sprintf("t-%03d", i))
		t.ID = tenancy.ID(fmt.Sprintf("id-%04d", i))
		all = append(all, t)
	}
	e.catalog = NewCatalog(e, all...)
}

func (e *executing) start(do doing) (*runs.Runner, func()) {
	e.Helper()
	return e.instances.Start(e.T, e.catalog, runs.Tasks{"work": {Do: do}})
}

func (e *executing) begin(r *runs.Runner, spec runs.Spec) string {
	e.Helper()
	ctx := tenancy.WithActor(e.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada"})
	p, err := r.Plan(ctx, "work", spec)
	if err == nil {
		_, err = r.Start(ctx, p.ID)
	}
	if err != nil {
		e.Fatal(err)
	}
	return p.ID
}

// await follows a run until its state is that one.
func (e *executing) await(r *runs.Runner, id string, state runs.State) runs.Run {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), runBound)
	defer cancel()
	var last runs.Progress
	for p, err := range r.Follow(ctx, id) {
		if err != nil {
			e.Fatalf("following the run: %v; last %+v", err, last.Run)
		}
		if last = p; p.State == state {
			return p.Run
		}
	}
	e.Fatalf("got a run that is %s (%s), want %s", last.State, last.Reason, state)
	return runs.Run{}
}

// Two instances share a run: each tenant is worked on once, at most so many at a time, with
// what a task may rely on.
func testExecutorEachOnce(e *executing) {
	const n, parallel = 40, 4
	e.fill(n)
	var now, most atomic.Int64
	var mu sync.Mutex
	did := map[tenancy.ID]int{}
	do := func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
		inHand := now.Add(1)
		defer now.Add(-1)
		mu.Lock()
		defer mu.Unlock()
		most.Store(max(most.Load(), inHand))
		did[t.ID]++
		carried, ok := tenancy.FromContext(ctx)
		actor := tenancy.ActorFrom(ctx)
		if !ok || carried.ID != t.ID || a.Number != 1 || a.Fence < 1 || a.Run == "" || a.Params["x"] != "y" || actor.ID != "ada" {
			e.Errorf("got tenant %v in the context, attempt %+v, actor %v", carried, a, actor)
		}
		return nil
	}
	tasks := runs.Tasks{"work": {Do: do, Validate: func(tenancy.Params) error { return nil }}}
	a, _ := e.instances.Start(e.T, e.catalog, tasks)
	b, _ := e.instances.Start(e.T, e.catalog, tasks)
	id := e.begin(a, runs.Spec{Parallel: parallel, Params: tenancy.Params{"x": "y"}})
	run := e.await(b, id, runs.StateDone)
	if run.Done != n || len(did) != n {
		e.Errorf("got %+v and %d tenants, want %d done", run.Counts, len(did), n)
	}
	for id, times := range did {
		if times != 1 {
			e.Errorf("%s: got %d times, want once", id, times)
		}
	}
	if most.Load() > parallel {
		e.Errorf("got %d tenants at a time, want at most %d", most.Load(), parallel)
	}
}

// Errors, panics and skips are kept, and Retry is for the failed ones alone.
func testExecutorOutcomes(e *executing) {
	e.fill(4)
	var again atomic.Bool
	var calls atomic.Int64
	r, _ := e.start(func(_ context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
		calls.Add(1)
		switch {
		case t.Slug == "t-001" && !again.Load():
			return errors.New("the disk is full")
		case t.Slug == "t-002" && !again.Load():
			panic("a bug")
		case t.Slug == "t-003":
			return tenancy.Skip("nothing to do")
		}
		return nil
	})
	id := e.begin(r, runs.Spec{})
	run := e.await(r, id, runs.StateFailed)
	want := runs.Counts{Total: 4, Done: 1, Failed: 2, Skipped: 1}
	if run.Counts != want {
		e.Errorf("got %+v, want %+v", run.Counts, want)
	}
	results := resultsOf(e, r, id)
	for slug, text := range map[string]string{"t-001": "the disk is full", "t-002": "panic: a bug", "t-003": "nothing to do"} {
		if got := results[slug]; !strings.Contains(got.Text, text) || got.EndedAt.IsZero() {
			e.Errorf("%s: got %+v, want the text %q", slug, got, text)
		}
	}
	again.Store(true)
	before := calls.Load()
	if _, err := r.Retry(e.Context(), id); err != nil {
		e.Fatal(err)
	}
	run = e.await(r, id, runs.StateDone)
	if run.Done != 3 || run.Skipped != 1 || calls.Load()-before != 2 {
		e.Errorf("got %+v after %d calls, want the two that failed done", run.Counts, calls.Load()-before)
	}
}

// A checkpoint, the number and a larger fence reach the next attempt.
func testExecutorCheckpoint(e *executing) {
	e.fill(1)
	var mu sync.Mutex
	var seen []tenancy.Attempt
	r, _ := e.start(func(ctx context.Context, _ *tenancy.Tenant, a tenancy.Attempt) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, a)
		if len(seen) > 1 {
			return nil
		}
		if err := a.SaveCheckpoint(ctx, "half"); err != nil {
			return err
		}
		return errors.New("no more")
	})
	id := e.begin(r, runs.Spec{})
	e.await(r, id, runs.StateFailed)
	if got := resultsOf(e, r, id)["t-000"]; got.Text != "no more" || got.Checkpoint != "half" {
		e.Errorf("got %+v, want the error and the checkpoint", got)
	}
	if _, err := r.Retry(e.Context(), id); err != nil {
		e.Fatal(err)
	}
	e.await(r, id, runs.StateDone)
	if len(seen) != 2 || seen[1].Checkpoint != "half" || seen[1].Number != 2 || seen[1].Fence <= seen[0].Fence {
		e.Errorf("got the attempts %+v, want a second one with the checkpoint and a larger fence", seen)
	}
}

// A wave begins when the one before is over, and a failure in the canary stops the run.
func testExecutorWaves(e *executing) {
	e.fill(10)
	var canary atomic.Int64
	var fail atomic.Bool
	r, _ := e.start(func(_ context.Context, t *tenancy.Tenant, _ tenancy.Attempt) error {
		switch {
		case t.Slug == "t-000" && fail.Load():
			return errors.New("dead canary")
		case t.Slug < "t-002":
			canary.Add(1)
		case canary.Load() < 2:
			return errors.New("the canary is not over")
		}
		return nil
	})
	id := e.begin(r, runs.Spec{Waves: runs.Waves{Canary: 2, Then: "3"}})
	if run := e.await(r, id, runs.StateDone); run.Done != 10 || len(run.Waves) != 4 {
		e.Errorf("got %+v, want 10 done in 4 waves", run)
	}
	fail.Store(true)
	id = e.begin(r, runs.Spec{Waves: runs.Waves{Canary: 2}})
	if run := e.await(r, id, runs.StateStopped); run.Failed != 1 || run.Done > 1 {
		e.Errorf("got %+v, want it stopped in the canary", run.Counts)
	}
}

// While a run is paused no tenant is begun; those in hand are finished.
func testExecutorPause(e *executing) {
	e.fill(6)
	began, goOn := make(chan struct{}, 6), make(chan struct{})
	var paused atomic.Bool
	r, _ := e.start(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error {
		if paused.Load() {
			e.Error("a tenant was begun while the run was paused")
		}
		began <- struct{}{}
		<-goOn
		return nil
	})
	id := e.begin(r, runs.Spec{Parallel: 2})
	<-began
	<-began
	if _, err := r.Pause(e.Context(), id, "lunch"); err != nil {
		e.Fatal(err)
	}
	paused.Store(true)
	close(goOn)
	ctx, cancel := context.WithTimeout(e.Context(), runBound)
	defer cancel()
	for p, err := range r.Follow(ctx, id) {
		if err != nil {
			e.Fatal(err)
		}
		if p.Done == 2 {
			break
		}
	}
	paused.Store(false)
	if _, err := r.Resume(e.Context(), id); err != nil {
		e.Fatal(err)
	}
	if run := e.await(r, id, runs.StateDone); run.Done != 6 {
		e.Errorf("got %+v, want 6 done", run.Counts)
	}
}

// A run that is cancelled finishes what is in hand, and begins nothing.
func testExecutorCancel(e *executing) {
	e.fill(6)
	began, goOn := make(chan struct{}, 6), make(chan struct{})
	var calls atomic.Int64
	r, _ := e.start(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error {
		calls.Add(1)
		began <- struct{}{}
		<-goOn
		return nil
	})
	id := e.begin(r, runs.Spec{Parallel: 2})
	<-began
	<-began
	if _, err := r.Cancel(e.Context(), id, "enough"); err != nil {
		e.Fatal(err)
	}
	close(goOn)
	want := runs.Counts{Total: 6, Done: 2, Cancelled: 4}
	var run *runs.Run
	err := until(e.Context(), func(ctx context.Context) (ok bool, err error) {
		run, err = r.Get(ctx, id)
		return err == nil && run.Counts == want, err
	})
	if err != nil || calls.Load() != 2 {
		e.Errorf("got %+v after %d calls, %v, want %+v", run, calls.Load(), err, want)
	}
}

// An instance that ends gives back what it has in hand, and another one goes on.
func testExecutorGivenBack(e *executing) {
	e.fill(3)
	began := make(chan struct{}, 1)
	var first atomic.Bool
	first.Store(true)
	do := func(ctx context.Context, _ *tenancy.Tenant, a tenancy.Attempt) error {
		if first.CompareAndSwap(true, false) {
			began <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	a, stop := e.start(do)
	id := e.begin(a, runs.Spec{Parallel: 1})
	<-began
	b, _ := e.start(do)
	stop()
	run := e.await(b, id, runs.StateDone)
	attempts := 0
	for _, each := range resultsOf(e, b, id) {
		attempts += each.Attempt
	}
	// The one that was begun is an attempt more. Others that were given back before they began are not; a lease that was lost may be.
	if run.Done != 3 || run.Failed != 0 || attempts < 4 {
		e.Errorf("got %+v after %d attempts, want 3 done after 4 or more", run.Counts, attempts)
	}
}

// A task that does not return in time has failed.
func testExecutorTimeLimit(e *executing) {
	e.fill(1)
	r, _ := e.start(func(ctx context.Context, _ *tenancy.Tenant, _ tenancy.Attempt) error {
		<-ctx.Done()
		return ctx.Err()
	})
	id := e.begin(r, runs.Spec{Timeout: 1})
	e.await(r, id, runs.StateFailed)
	if got := resultsOf(e, r, id)["t-000"].Text; !strings.Contains(got, "time limit") {
		e.Errorf("got %q, want it named the time limit", got)
	}
}

// An instance that does not know the task leaves it to one that does.
func testExecutorUnknownTask(e *executing) {
	e.fill(5)
	var calls atomic.Int64
	other, _ := e.instances.Start(e.T, e.catalog, runs.Tasks{"other": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }}})
	r, _ := e.start(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { calls.Add(1); return nil })
	id := e.begin(r, runs.Spec{})
	if run := e.await(other, id, runs.StateDone); run.Done != 5 || calls.Load() != 5 {
		e.Errorf("got %+v after %d calls, want 5 done", run.Counts, calls.Load())
	}
	if got := slices.Sorted(maps.Keys(resultsOf(e, other, id))); len(got) != 5 {
		e.Errorf("got %q, want 5 tenants", got)
	}
}
