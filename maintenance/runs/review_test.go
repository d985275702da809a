package runs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// nothing is a task that does nothing.
func nothing(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }

// A panic of what says whether a tenant can take part is that tenant's failure, and that of a plan is the plan's.
func TestPanicOfEligible(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 3)
	var armed atomic.Bool
	r := b.with(&runs.Options{Tasks: runs.Tasks{"work": {Do: nothing, Eligible: func(t *tenancy.Tenant) error {
		if armed.Load() && t.Slug == "t-01" {
			panic("oh")
		}
		return nil
	}}}})
	run := b.begin(r, runs.Spec{})
	armed.Store(true)
	if _, err := r.Plan(t.Context(), "work", runs.Spec{}); err == nil || !strings.Contains(err.Error(), "oh") {
		t.Errorf("Plan: got %v, want an error that names the panic", err)
	}
	b.work(r)
	b.await(r, run.ID, runs.StateFailed)
	if got := b.results(r, run.ID, runs.TenantFailed); len(got) != 1 || !strings.Contains(got["t-01"].Text, "oh") {
		t.Errorf("got %+v, want the failure of one tenant", got)
	}
}

// What a task does to its parameters is not seen by the others.
func TestParamsAreTheTasksOwn(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 4)
	r := b.with(&runs.Options{Tasks: runs.Tasks{"work": {
		Validate: func(tenancy.Params) error { return nil },
		Do: func(_ context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
			if a.Params["to"] != "x" {
				return errors.New("somebody else's parameters")
			}
			a.Params["to"] = t.Slug
			return nil
		},
	}}})
	b.work(r)
	run := b.begin(r, runs.Spec{Params: tenancy.Params{"to": "x"}})
	b.await(r, run.ID, runs.StateDone)
}

// A plan leaves the caller's spec as it is.
func TestPlanLeavesTheSpec(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 3)
	ids := []tenancy.ID{"id-0002", "id-0000", "id-0002"}
	before := slices.Clone(ids)
	if _, err := b.runner(nothing).Plan(t.Context(), "work", runs.Spec{IDs: ids}); err != nil || !slices.Equal(ids, before) {
		t.Errorf("got %q, %v, want them as they were", ids, err)
	}
}

// A plan shows the first of those that it leaves out, and to somebody who sees a part of the tenants the first of these.
func TestSamplesOfPlans(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 50)
		var exclude []tenancy.ID
		for _, tenant := range b.tenants[:25] {
			exclude = append(exclude, tenant.ID)
		}
		r := b.runner(nothing)
		p, err := r.Plan(t.Context(), "work", runs.Spec{Exclude: exclude, Key: "once"})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.LeftOut) != 10 || p.LeftOut[0].Slug != "t-00" || p.LeftOut[9].Slug != "t-09" {
			t.Errorf("got %+v left out, want t-00 to t-09", p.LeftOut)
		}
		if len(p.Sample) != 10 || p.Sample[0].Slug != "t-25" || p.Sample[9].Slug != "t-34" {
			t.Errorf("got the sample %+v, want t-25 to t-34", p.Sample)
		}
		p, err = r.Within(tenancy.ByIDs("id-0048", "id-0020")).Plan(t.Context(), "work", runs.Spec{Key: "once"})
		if err != nil || len(p.Sample) != 1 || p.Sample[0].Slug != "t-48" || len(p.LeftOut) != 1 {
			t.Errorf("got %+v, %v, want the two tenants of the scope", p, err)
		}
	})
}

// A run that somebody cancelled before its instance had noted it for its time, and one of another task with its key, do not keep the
// schedule from being due again.
func TestScheduleGoesOn(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*bench, *runs.Runner, string) string{
		"cancelled": func(b *bench, r *runs.Runner, key string) string {
			p, err := r.PlanOfSchedule(b.t.Context(), "work", runs.Spec{Key: key})
			if err == nil {
				_, err = r.Start(b.t.Context(), p.ID)
			}
			if err == nil {
				_, err = r.Cancel(b.t.Context(), p.ID, "a mistake")
			}
			if err != nil {
				b.t.Fatal(err)
			}
			return p.ID
		},
		"cancelled before it was started": func(b *bench, r *runs.Runner, key string) string {
			p, err := r.PlanOfSchedule(b.t.Context(), "work", runs.Spec{Key: key})
			if err == nil {
				_, err = r.Cancel(b.t.Context(), p.ID, "a mistake")
			}
			if err != nil {
				b.t.Fatal(err)
			}
			return p.ID
		},
		"another task": func(b *bench, r *runs.Runner, key string) string {
			if _, err := r.PlanOfSchedule(b.t.Context(), "other", runs.Spec{Key: key}); err != nil {
				b.t.Fatal(err)
			}
			return ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tenancytest.NewServer(t, "sqlite"), 3)
			r := b.with(&runs.Options{
				Tasks:     runs.Tasks{"work": {Do: nothing}, "other": {Do: nothing}},
				Schedules: []runs.Schedule{{Name: "nightly", Cron: "0 3 1 1 *", Task: "work"}},
			})
			b.status(r, func(runs.ScheduleStatus) bool { return true })
			b.due(time.Minute)
			var slot int64
			if err := b.db.Get(&slot, `SELECT slot_at FROM tenancy_run_schedules`); err != nil {
				t.Fatal(err)
			}
			last := before(b, r, "schedule/nightly/"+time.UnixMicro(slot).UTC().Format(time.RFC3339))
			b.work(r)
			got := b.status(r, func(s runs.ScheduleStatus) bool { return s.NextAt.After(time.Now()) })
			if got.LastRun != last || last == "" && got.Note == "" {
				t.Errorf("got %+v, want the run %q, or a note", got, last)
			}
		})
	}
}

// Who follows a run sees its end, also when the clock of the database was set back meanwhile.
func TestFollowAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 3)
	bell := tenancytest.NewMemoryBell()
	r := b.with(&runs.Options{Tasks: runs.Tasks{"work": {Do: nothing}}, Bell: bell})
	run := b.begin(r, runs.Spec{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	message, err := json.Marshal(map[string]any{ // from before: an hour later by the clock of then
		"run": run.ID, "at": time.Now().Add(time.Hour).UnixMicro(), "state": "running", "wave": 1, "waves": []runs.Counts{{Total: 3, Done: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ringing, heard := context.WithCancel(ctx)
	var ringer sync.WaitGroup
	ringer.Go(func() { // again until it is heard: who does not listen yet misses it
		for ringing.Err() == nil {
			if err := bell.Ring(ctx, message); err != nil && ringing.Err() == nil {
				t.Error(err)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	defer ringer.Wait()
	defer heard()
	for p, err := range r.Follow(ctx, run.ID) {
		switch {
		case err != nil:
			t.Fatalf("%v; last %+v", err, run)
		case p.Done == 1:
			heard()
			ringer.Wait()
			b.work(r)
		}
		run = &p.Run
	}
	if run.State != runs.StateDone {
		t.Errorf("got %+v, want the end", run)
	}
}

// Of two calls of Run in one process, one ends: the other goes on with tickets.
func TestTicketsOfTwoWorkers(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 1)
	h := &holding{tickets: make(chan runs.Ticket, 100)}
	r := b.with(&runs.Options{Executor: h, Tasks: runs.Tasks{"work": {Do: nothing}}})
	b.work(r)
	waitForWorkers(t, b, 1)
	stop := b.work(r)
	waitForWorkers(t, b, 2)
	stop()
	run := b.begin(r, runs.Spec{})
	if state, err := r.Do(t.Context(), <-h.tickets, false); state != runs.TenantDone || err != nil {
		t.Errorf("got %q, %v, want it done", state, err)
	}
	b.await(r, run.ID, runs.StateDone)
}

// waitForWorkers waits until so many instances hold a lease, and have begun.
func waitForWorkers(t *testing.T, b *bench, n int) {
	t.Helper()
	for until := time.Now().Add(10 * time.Minute); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		var got int
		if err := b.db.Get(&got, `SELECT COUNT(*) FROM tenancy_runs_leases WHERE holder <> ''`); err != nil {
			t.Fatal(err)
		}
		if got == n {
			return
		}
	}
	t.Fatalf("there are not %d workers", n)
}

// To pause a run that would go on by itself is somebody's doing, and has an entry like every other.
func TestPauseBetweenWavesIsAudited(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 2)
	trail := new(tenancytest.Audit)
	r := b.with(&runs.Options{Tasks: runs.Tasks{"work": {Do: nothing}}, Audit: trail})
	b.work(r)
	run := b.begin(r, runs.Spec{Waves: runs.Waves{Then: "1", Pause: time.Hour}})
	b.await(r, run.ID, runs.StatePaused)
	if run, err := r.Pause(t.Context(), run.ID, "lunch"); err != nil || !run.ResumeAt.IsZero() || run.Reason != "lunch" {
		t.Fatalf("got %+v, %v, want it paused until somebody resumes it", run, err)
	}
	if run, err := r.Pause(t.Context(), run.ID, "again"); err != nil || run.Reason != "lunch" {
		t.Fatalf("again: got %+v, %v, want it as it was", run, err)
	}
	var actions []string
	for _, e := range trail.All() {
		actions = append(actions, e.Action)
	}
	if want := []string{"run.plan", "run.start", "run.pause"}; !slices.Equal(actions, want) {
		t.Errorf("got the entries %q, want %q", actions, want)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 1)
		r := b.runner(nil)
		if err := r.Check(t.Context()); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Check(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that ended: got %v, want Canceled", err)
		}
		if err := b.db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := r.Check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("without the database: got %v, want ErrUnavailable", err)
		}
	})
}

// Who comes late with the end of a pause does not end the one that has begun meanwhile.
func TestTheNextPauseGoesOn(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		r := b.runner(nothing)
		run := b.begin(r, runs.Spec{Waves: runs.Waves{Then: "1", Pause: time.Hour}})
		paused := func(until time.Duration) {
			b.db.MustExec(b.db.Rebind(`UPDATE tenancy_runs SET state = ?, resume_at = ? WHERE id = ?`), runs.StatePaused, time.Now().Add(until).UnixMicro(), run.ID)
		}
		for until, want := range map[time.Duration]runs.State{time.Hour: runs.StatePaused, -time.Hour: runs.StateRunning} {
			paused(until)
			if err := r.EndPause(t.Context(), run.ID); err != nil {
				t.Fatal(err)
			}
			if got, err := r.Get(t.Context(), run.ID); err != nil || got.State != want {
				t.Errorf("a pause until %v from now: got %+v, %v, want the run %s", until, got, err, want)
			}
		}
	})
}

// A run of more tenants than one transaction changes is cancelled all the same, also by others if who cancels it is cut off.
func TestCancelOfManyTenants(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 4)
		r := b.runner(nothing)
		run := b.begin(r, runs.Spec{Waves: runs.Waves{Then: "2"}})
		const more = 10_500 // in the first wave, with numbers that the plan does not have
		b.db.MustExec(b.db.Rebind(`UPDATE tenancy_run_tenants SET seq = seq + ? WHERE seq > 2`), more)
		for from := 3; from < 3+more; from += 500 {
			var rows []string
			var args []any
			for seq := from; seq < from+500; seq++ {
				rows = append(rows, `(?, ?, ?, '', '', '', 'pending', 0, 0, 0, '', '', '', 0, 0)`)
				args = append(args, run.ID, seq, fmt.Sprintf("other-%d", seq))
			}
			b.db.MustExec(b.db.Rebind(`INSERT INTO tenancy_run_tenants (run_id, seq, tenant_id, slug, server, tags, state, attempt, fence, deaths, worker, note, checkpoint, started_at, ended_at)
				VALUES `+strings.Join(rows, ", ")), args...)
		}
		b.db.MustExec(b.db.Rebind(`UPDATE tenancy_run_waves SET last_seq = last_seq + ?`), more)
		b.db.MustExec(b.db.Rebind(`UPDATE tenancy_run_waves SET total = total + ? WHERE wave = 1`), more)
		want := []runs.Wave{{Number: 1, Counts: runs.Counts{Total: more + 2, Cancelled: more + 2}}, {Number: 2, Counts: runs.Counts{Total: 2, Cancelled: 2}}}
		got, err := r.Cancel(t.Context(), run.ID, "")
		if err != nil || !slices.Equal(got.Waves, want) {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
		b.db.MustExec(`UPDATE tenancy_run_tenants SET state = 'pending' WHERE seq > 10000`) // as if it was cut off
		b.db.MustExec(b.db.Rebind(`UPDATE tenancy_run_waves SET cancelled = total - ? WHERE wave = 1`), more+2-10000)
		b.db.MustExec(`UPDATE tenancy_run_waves SET cancelled = 0 WHERE wave = 2`)
		b.work(r)
		for until := time.Now().Add(10 * time.Minute); !slices.Equal(got.Waves, want) || len(b.pending(r, run.ID)) > 0; time.Sleep(5 * time.Millisecond) {
			if got, err = r.Get(t.Context(), run.ID); err != nil || time.Now().After(until) {
				t.Fatalf("got %+v, %v, want %+v", got, err, want)
			}
		}
	})
}

// pending returns some of the tenants of a run whose turn has not come.
func (b *bench) pending(r *runs.Runner, id string) []runs.Result {
	b.t.Helper()
	page, err := r.Results(b.t.Context(), id, runs.ResultQuery{States: []runs.TenantState{runs.TenantPending}, Limit: 1})
	if err != nil {
		b.t.Fatal(err)
	}
	return page
}

// A panic of what makes the context of tasks is the failure of the tenant whose turn it was. Its worker works on.
func TestPanicOfTheContext(t *testing.T) {
	t.Parallel()
	for name, executor := range map[string]*tenancytest.MemoryExecutor{"built-in": nil, "executor": tenancytest.NewMemoryExecutor(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tenancytest.NewServer(t, "sqlite"), 3)
			var calls atomic.Int64
			opts := &runs.Options{Workers: 1, Tasks: runs.Tasks{"work": {Do: nothing}}, Context: func(ctx context.Context) context.Context {
				if calls.Add(1) == 1 {
					panic("oh")
				}
				return ctx
			}}
			if executor != nil {
				opts.Executor = executor
			}
			r := b.with(opts)
			run := b.begin(r, runs.Spec{Budget: runs.Budget{InAll: "1"}})
			b.work(r)
			if executor != nil {
				executor.Serve(r)
			}
			b.await(r, run.ID, runs.StateFailed)
			failed := b.results(r, run.ID, runs.TenantFailed)
			if done := b.results(r, run.ID, runs.TenantDone); len(done) != 2 || len(failed) != 1 {
				t.Errorf("got %d done and %d failed, want 2 and 1", len(done), len(failed))
			}
			for _, each := range failed {
				if each.Text != "panic: oh" {
					t.Errorf("got %q, want the panic", each.Text)
				}
			}
		})
	}
}
