package runs_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// instances work on runs in one database, with an executor or with the built-in workers.
type instances struct {
	db       *sqlx.DB
	executor *tenancytest.MemoryExecutor
}

func (i *instances) Start(t *testing.T, c runs.Catalog, tasks runs.Tasks) (*runs.Runner, func()) {
	t.Helper()
	opts := &runs.Options{Tasks: tasks, Poll: 5 * time.Millisecond, Grace: -1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if i.executor != nil {
		opts.Executor = i.executor
	}
	r, err := runs.New(i.db, c, opts)
	if err == nil {
		err = r.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	stop := (&bench{t: t}).work(r)
	if i.executor != nil {
		i.executor.Serve(r)
	}
	return r, stop
}

// The built-in workers, and an executor in memory, do what executors do.
func TestExecutors(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		t.Run("built-in", func(t *testing.T) {
			t.Parallel()
			tenancytest.TestExecutor(t, func(t *testing.T) tenancytest.Instances { return &instances{db: s.Database(t)} })
		})
		t.Run("memory", func(t *testing.T) {
			t.Parallel()
			tenancytest.TestExecutor(t, func(t *testing.T) tenancytest.Instances {
				return &instances{db: s.Database(t), executor: tenancytest.NewMemoryExecutor(t)}
			})
		})
	})
}

// holding is an executor that keeps tickets for the test.
type holding struct {
	tickets chan runs.Ticket
	refuse  atomic.Int64 // batches
}

func (h *holding) Execute(_ context.Context, batch []runs.Ticket) error {
	if h.refuse.Add(-1) >= 0 {
		for _, each := range batch { // they are used all the same
			h.tickets <- each
		}
		return errors.New("the queue is down")
	}
	for _, each := range batch {
		h.tickets <- each
	}
	return nil
}

// A ticket counts once: not while somebody works on it, not when it was done, not after
// the tenant was given back, and not if it is somebody's invention.
func TestTickets(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 3)
		h := &holding{tickets: make(chan runs.Ticket, 100)}
		h.refuse.Store(1)
		began, goOn := make(chan struct{}, 1), make(chan struct{})
		var calls atomic.Int64
		r := b.with(&runs.Options{Executor: h, Tasks: runs.Tasks{"work": {Do: func(_ context.Context, tenant *tenancy.Tenant, a tenancy.Attempt) error {
			switch calls.Add(1) {
			case 1:
				began <- struct{}{}
				<-goOn
			case 2:
				return errors.New("not yet")
			}
			return nil
		}}}})
		if state, err := r.Do(t.Context(), runs.Ticket{}, false); state != "" || !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("before Run: got %q, %v, want ErrUnavailable", state, err)
		}
		b.work(r)
		run := b.begin(r, runs.Spec{Parallel: 1})
		stale := <-h.tickets // of the batch that was refused
		ticket := <-h.tickets
		if ticket.Number != 1 || ticket.Task != "work" || ticket.Run != run.ID || ticket.Tenant != "id-0000" || ticket.Fence <= stale.Fence {
			t.Errorf("got %+v after %+v", ticket, stale)
		}
		worthless := func(what string, ticket runs.Ticket) {
			t.Helper()
			if state, err := r.Do(t.Context(), ticket, false); state != "" || !errors.Is(err, tenancy.ErrConflict) {
				t.Errorf("%s: got %q, %v, want ErrConflict", what, state, err)
			}
		}
		worthless("of a batch that was refused", stale)
		worthless("of no run", runs.Ticket{Run: "nothing", Number: 1, Fence: 1})
		done := make(chan runs.TenantState)
		go func() {
			state, err := r.Do(t.Context(), ticket, false)
			if err != nil {
				t.Error(err)
			}
			done <- state
		}()
		<-began
		worthless("that is worked on", ticket)
		close(goOn)
		if state := <-done; state != runs.TenantDone {
			t.Errorf("got %q, want it done", state)
		}
		worthless("that was done", ticket)

		ticket = <-h.tickets
		state, err := r.Do(t.Context(), ticket, true)
		if state != runs.TenantWorking || err == nil || !strings.Contains(err.Error(), "not yet") {
			t.Errorf("a failure that is tried again: got %q, %v", state, err)
		}
		if got := b.results(r, run.ID)["t-01"]; got.State != runs.TenantWorking || got.Text != "not yet" {
			t.Errorf("got %+v, want it working, with the error", got)
		}
		if state, err := r.Do(t.Context(), ticket, false); state != runs.TenantDone || err != nil {
			t.Errorf("again: got %q, %v, want it done", state, err)
		}
		if got := b.results(r, run.ID)["t-01"]; got.Attempt != 2 {
			t.Errorf("got %+v, want two attempts", got)
		}

		ticket = <-h.tickets
		if _, err := r.Pause(t.Context(), run.ID, ""); err != nil {
			t.Fatal(err)
		}
		worthless("of a run that is paused", ticket)
		if _, err := r.Resume(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
		ticket = <-h.tickets
		if state, err := r.Do(t.Context(), ticket, false); state != runs.TenantDone || err != nil {
			t.Errorf("after Resume: got %q, %v, want it done", state, err)
		}
		b.await(r, run.ID, runs.StateDone)
	})
}

// Tenants that an executor has lost get new tickets.
func TestLostTickets(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 1)
		h := &holding{tickets: make(chan runs.Ticket, 1000)}
		r := b.with(&runs.Options{Executor: h, Queued: time.Millisecond, Tasks: runs.Tasks{"work": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }}}})
		b.work(r)
		run := b.begin(r, runs.Spec{})
		lost := <-h.tickets
		for ticket := range h.tickets { // the next may be lost as well
			if ticket.Fence <= lost.Fence {
				t.Fatalf("got %+v after %+v, want another one", ticket, lost)
			}
			if state, _ := r.Do(t.Context(), ticket, false); state == runs.TenantDone {
				break
			}
		}
		if run = b.await(r, run.ID, runs.StateDone); run.Done != 1 {
			t.Errorf("got %+v, want it done", run.Counts)
		}
	})
}

// asked is an executor that says what waits.
type asked struct {
	holding
	waits chan map[int64]bool // by number; the latest answer
}

func (a *asked) Waiting(_ context.Context, tickets []runs.Ticket) (out []runs.Ticket, err error) {
	waits := <-a.waits
	a.waits <- waits
	for _, ticket := range tickets {
		if waits[ticket.Number] {
			out = append(out, ticket)
		}
	}
	return out, nil
}

// An executor that knows what waits is asked, and what does not wait gets a new ticket long
// before Queued is over.
func TestTicketsThatDoNotWait(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		a := &asked{holding: holding{tickets: make(chan runs.Ticket, 1000)}, waits: make(chan map[int64]bool, 1)}
		a.waits <- map[int64]bool{1: true}
		r := b.with(&runs.Options{Executor: a, Lease: time.Second, Tasks: runs.Tasks{"work": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }}}})
		b.work(r)
		run := b.begin(r, runs.Spec{})
		one, two := <-a.tickets, <-a.tickets
		if got := <-a.tickets; got.Number != 2 || got.Fence <= two.Fence {
			t.Errorf("got %+v after %+v and %+v, want a new one for the tenant that does not wait", got, one, two)
		}
		<-a.waits
		a.waits <- nil
		for got := range a.tickets { // until the first is lost as well
			if got.Number == 1 {
				break
			}
		}
		if _, err := r.Cancel(t.Context(), run.ID, ""); err != nil {
			t.Fatal(err)
		}
	})
}

// A tenant that has failed once and waits for its next attempt keeps its ticket, however long it waits.
func TestTicketThatWaitsForItsNextAttempt(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		a := &asked{holding: holding{tickets: make(chan runs.Ticket, 1000)}, waits: make(chan map[int64]bool, 1)}
		a.waits <- map[int64]bool{1: true, 2: true}
		r := b.with(&runs.Options{Executor: a, Queued: time.Millisecond, Tasks: runs.Tasks{"work": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error {
			return errors.New("not yet")
		}}}})
		b.work(r)
		run := b.begin(r, runs.Spec{})
		one, two := <-a.tickets, <-a.tickets
		if state, err := r.Do(t.Context(), one, true); state != runs.TenantWorking {
			t.Fatalf("got %q, %v, want it tried again", state, err)
		}
		<-a.waits
		a.waits <- map[int64]bool{1: true}
		if got := <-a.tickets; got.Number != 2 || got.Fence <= two.Fence { // the instance has looked
			t.Errorf("got %+v after %+v and %+v, want a new one for the tenant that does not wait", got, one, two)
		}
		if state, err := r.Do(t.Context(), one, false); state != runs.TenantFailed {
			t.Errorf("the last attempt: got %q, %v, want it failed", state, err)
		}
		if got := b.results(r, run.ID)["t-00"]; got.Attempt != 2 {
			t.Errorf("got %+v, want two attempts", got)
		}
		if _, err := r.Cancel(t.Context(), run.ID, ""); err != nil {
			t.Fatal(err)
		}
	})
}

// Tenants that an executor has are given back when the program has no executor any more.
func TestTicketsWithoutExecutor(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		h := &holding{tickets: make(chan runs.Ticket, 100)}
		task := runs.Tasks{"work": {Do: nothing}}
		before := b.with(&runs.Options{Executor: h, Tasks: task})
		stop := b.work(before)
		run := b.begin(before, runs.Spec{})
		<-h.tickets
		<-h.tickets
		stop()
		after := b.with(&runs.Options{Queued: time.Millisecond, Tasks: task})
		b.work(after)
		if run = b.await(after, run.ID, runs.StateDone); run.Done != 2 {
			t.Errorf("got %+v, want both done", run.Counts)
		}
	})
}

// What an instance has handed over is not taken from the executor when the instance ends.
func TestHandedOverOutlivesInstance(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 1)
		h := &holding{tickets: make(chan runs.Ticket, 100)}
		opts := func() *runs.Options {
			return &runs.Options{Executor: h, Tasks: runs.Tasks{"work": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }}}}
		}
		first := b.with(opts())
		stop := b.work(first)
		run := b.begin(first, runs.Spec{})
		ticket := <-h.tickets
		stop()
		second := b.with(opts())
		b.work(second)
		var err error
		for state := runs.TenantState(""); state == ""; { // until it works on runs
			if state, err = second.Do(t.Context(), ticket, false); err != nil && !errors.Is(err, tenancy.ErrUnavailable) {
				t.Fatal(err)
			}
		}
		if got := b.results(second, run.ID)["t-00"]; got.State != runs.TenantDone || got.Attempt != 1 {
			t.Errorf("got %+v, want it done in its first attempt", got)
		}
	})
}
