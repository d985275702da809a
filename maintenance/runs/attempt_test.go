package runs_test

import (
	"context"
	"errors"
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

// A tenant that waited for a worker when the instance ended was not attempted.
func TestEndBeforeAttempt(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		began := make(chan struct{})
		ending := b.with(&runs.Options{Workers: 1, Grace: -1, Tasks: runs.Tasks{"work": {Do: func(ctx context.Context, _ *tenancy.Tenant, _ tenancy.Attempt) error {
			close(began)
			<-ctx.Done()
			return ctx.Err()
		}}}})
		stop := b.work(ending)
		b.begin(ending, runs.Spec{Filter: "tag:tag-0"})
		<-began
		run := b.begin(ending, runs.Spec{Filter: "tag:tag-1"})
		for until := time.Now().Add(3 * time.Minute); len(b.results(ending, run.ID, runs.TenantWorking)) == 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatal("the second run's tenant was not claimed")
			}
		}
		stop()
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
