package runs_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// untag removes the tags of a tenant.
func (b *bench) untag(id tenancy.ID) {
	b.t.Helper()
	if _, err := b.catalog.Edit(b.t.Context(), id, func(t *tenancy.Tenant) error { t.Tags = nil; return nil }); err != nil {
		b.t.Fatal(err)
	}
}

// A ticket that was used while its run was paused is no attempt: the tenant is checked against the filter again.
func TestTicketWithoutAttempt(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		for _, c := range []struct {
			name  string
			untag bool
			want  runs.TenantState
		}{{"selected", false, runs.TenantDone}, {"not selected any more", true, runs.TenantSkipped}} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, s, 1)
				h := &holding{tickets: make(chan runs.Ticket, 100)}
				h.refuse.Store(1) // nor is a batch that was refused an attempt
				number := 0
				r := b.with(&runs.Options{Executor: h, Tasks: runs.Tasks{"work": {Do: func(_ context.Context, _ *tenancy.Tenant, a tenancy.Attempt) error {
					number = a.Number
					return nil
				}}}})
				b.work(r)
				run := b.begin(r, runs.Spec{Filter: "tag:tag-0"})
				<-h.tickets
				ticket := <-h.tickets
				if _, err := r.Pause(t.Context(), run.ID, ""); err != nil {
					t.Fatal(err)
				}
				if state, err := r.Do(t.Context(), ticket, false); state != "" || !errors.Is(err, tenancy.ErrConflict) {
					t.Fatalf("of a run that is paused: got %q, %v, want ErrConflict", state, err)
				}
				if c.untag {
					b.untag("id-0000")
				}
				if _, err := r.Resume(t.Context(), run.ID); err != nil {
					t.Fatal(err)
				}
				if state, err := r.Do(t.Context(), <-h.tickets, false); state != c.want || err != nil {
					t.Errorf("got %q, %v, want %q", state, err, c.want)
				}
				if !c.untag && number != 1 {
					t.Errorf("got attempt %d, want the first", number)
				}
			})
		}
	})
}

// busy returns a runner with one worker, which a run has until the test calls goOn, and another run that waits for it.
func (b *bench) busy(calls *atomic.Int64) (r *runs.Runner, waiting *runs.Run, end, goOn func()) {
	b.t.Helper()
	began, released := make(chan struct{}), make(chan struct{})
	goOn = sync.OnceFunc(func() { close(released) })
	var looks atomic.Int64
	r = b.with(&runs.Options{Workers: 1, Grace: time.Hour, Tasks: runs.Tasks{"work": {
		Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error {
			if calls.Add(1) == 1 {
				close(began)
				<-released
			}
			return nil
		},
		Complete: func(p tenancy.Params) (tenancy.Params, error) { looks.Add(1); return p, nil },
	}}})
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		goOn()
		if err := <-done; err != nil {
			b.t.Errorf("Run: %v", err)
		}
	})
	b.t.Cleanup(end)
	b.begin(r, runs.Spec{Filter: "tag:tag-0"})
	<-began
	waiting = b.begin(r, runs.Spec{Filter: "tag:tag-1"})
	for until, first := time.Now().Add(10*time.Minute), looks.Load(); looks.Load() < first+10; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			b.t.Fatal("the instance does not look for work")
		}
	}
	return r, waiting, end, goOn
}

// An instance leaves tenants to others for which it has no free worker.
func TestOthersWorkWhileOneIsBusy(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		var calls atomic.Int64
		_, run, _, _ := b.busy(&calls)
		idle := b.runner(nothing)
		b.work(idle)
		b.await(idle, run.ID, runs.StateDone)
		if n := calls.Load(); n != 1 {
			t.Errorf("the busy instance called its task %d times, want once", n)
		}
	})
}

// When a worker becomes free, it works on the run that waits for one.
func TestARunThatWaitsGetsAWorker(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		var calls atomic.Int64
		r, run, _, goOn := b.busy(&calls)
		goOn()
		b.await(r, run.ID, runs.StateDone)
	})
}

// An instance that ends begins with nothing: a tenant for which it had no worker was not attempted.
func TestEndBeforeAttempt(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		var calls atomic.Int64
		ending, run, end, _ := b.busy(&calls)
		end()
		if n := calls.Load(); n != 1 {
			t.Errorf("the task was called %d times, want once", n)
		}
		if got := b.results(ending, run.ID)["t-01"]; got.State != runs.TenantPending || got.Attempt != 0 {
			t.Errorf("got %+v, want it pending without an attempt", got)
		}
		b.untag("id-0001")
		other := b.runner(nothing)
		b.work(other)
		if run = b.await(other, run.ID, runs.StateDone); run.Skipped != 1 {
			t.Errorf("got %+v, want the tenant skipped", run.Counts)
		}
	})
}

// So it is with tickets that wait for a worker in an instance that ends.
func TestTicketsAtTheEnd(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		began, goOn := make(chan struct{}), make(chan struct{})
		var calls atomic.Int64
		h := &holding{tickets: make(chan runs.Ticket, 100)}
		r := b.with(&runs.Options{Executor: h, Workers: 1, Grace: time.Hour, Tasks: runs.Tasks{"work": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error {
			if calls.Add(1) == 1 {
				close(began)
				<-goOn
			}
			return nil
		}}}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		run := b.begin(r, runs.Spec{})
		type answer struct {
			state runs.TenantState
			err   error
		}
		use := func() chan answer {
			out := make(chan answer, 1)
			ticket := <-h.tickets
			go func() {
				state, err := r.Do(t.Context(), ticket, false)
				out <- answer{state, err}
			}()
			return out
		}
		first := use()
		<-began
		second := use()
		until := time.Now().Add(10 * time.Minute)
		for taken := 0; taken < 2; time.Sleep(5 * time.Millisecond) {
			if err := b.db.Get(&taken, `SELECT COUNT(*) FROM tenancy_run_tenants WHERE worker LIKE 'worker/%'`); err != nil || time.Now().After(until) {
				t.Fatalf("got %d tickets taken, %v, want both", taken, err)
			}
		}
		cancel()
		select {
		case a := <-second:
			if a.state != runs.TenantPending || !errors.Is(a.err, tenancy.ErrUnavailable) {
				t.Errorf("got %q, %v, want it given back", a.state, a.err)
			}
		case <-time.After(10 * time.Minute):
			t.Error("the ticket still waits for a worker")
		}
		close(goOn)
		if a := <-first; a.state != runs.TenantDone || a.err != nil {
			t.Errorf("got %q, %v, want the tenant in hand done", a.state, a.err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("the task was called %d times, want once", n)
		}
		rest := b.results(r, run.ID, runs.TenantPending, runs.TenantWorking)
		if len(rest) != 1 {
			t.Errorf("got %d tenants that are not done, want the one whose ticket waited", len(rest))
		}
		for _, each := range rest {
			want := 0
			if each.State == runs.TenantWorking { // with its next ticket
				want = 1
			}
			if each.Attempt != want {
				t.Errorf("got %+v, want attempt %d: the task was not called", each, want)
			}
		}
	})
}
