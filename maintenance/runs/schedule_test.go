package runs_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// scheduled returns a runner with the schedule "nightly", changed by change.
func (b *bench) scheduled(do func(context.Context, *tenancy.Tenant, tenancy.Attempt) error, change func(*runs.Schedule)) *runs.Runner {
	s := runs.Schedule{Name: "nightly", Cron: "0 3 1 1 *", Zone: "Europe/Berlin", Task: "work"}
	if change != nil {
		change(&s)
	}
	return b.with(&runs.Options{Tasks: runs.Tasks{"work": {Do: do}}, Schedules: []runs.Schedule{s}})
}

// due makes the schedule one that was due some time ago.
func (b *bench) due(ago time.Duration) {
	b.t.Helper()
	at := time.Now().Add(-ago).Truncate(time.Minute).UnixMicro()
	b.db.MustExec(b.db.Rebind(`UPDATE tenancy_run_schedules SET slot_at = ?, due_at = ?`), at, at)
}

// status waits until the schedule is one that the condition wants.
func (b *bench) status(r *runs.Runner, want func(runs.ScheduleStatus) bool) runs.ScheduleStatus {
	b.t.Helper()
	for until := time.Now().Add(10 * time.Minute); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		all, err := r.Schedules(b.t.Context())
		if err != nil || len(all) != 1 {
			b.t.Fatalf("got %+v, %v, want one schedule", all, err)
		}
		if want(all[0]) {
			return all[0]
		}
	}
	b.t.Fatal("the schedule did not become what was wanted")
	return runs.ScheduleStatus{}
}

func (b *bench) count(r *runs.Runner) int {
	b.t.Helper()
	all, err := r.List(b.t.Context(), runs.Query{})
	if err != nil {
		b.t.Fatal(err)
	}
	return len(all)
}

// Of three instances, one starts the run that is due.
func TestSchedule(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 3)
		var actors sync.Map
		do := func(ctx context.Context, _ *tenancy.Tenant, _ tenancy.Attempt) error {
			actors.Store(tenancy.ActorFrom(ctx).String(), true)
			return nil
		}
		r := b.scheduled(do, nil)
		first := b.status(r, func(runs.ScheduleStatus) bool { return true })
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		if at := first.NextAt.In(berlin); at.Hour() != 3 || at.Day() != 1 || at.Month() != time.January || first.LastRun != "" {
			t.Errorf("got %+v, want it due on the first of January at three in Berlin", first)
		}
		b.due(time.Minute)
		for range 3 {
			b.work(b.scheduled(do, nil))
		}
		after := b.status(r, func(s runs.ScheduleStatus) bool { return s.LastRun != "" })
		if !after.NextAt.Equal(first.NextAt) || after.Note != "" {
			t.Errorf("got %+v, want it due next as before", after)
		}
		b.await(r, after.LastRun, runs.StateDone)
		b.due(time.Hour) // a time that was missed is made up for
		next := b.status(r, func(s runs.ScheduleStatus) bool { return s.LastRun != after.LastRun })
		b.await(r, next.LastRun, runs.StateDone)
		if n := b.count(r); n != 2 {
			t.Errorf("got %d runs, want 2", n)
		}
		if _, ok := actors.Load("system:schedule:nightly"); !ok {
			t.Errorf("got no actor that names the schedule")
		}
		run, err := r.Trigger(t.Context(), "nightly")
		if err != nil {
			t.Fatal(err)
		}
		b.await(r, run.ID, runs.StateDone)
		if _, err := r.Trigger(t.Context(), "daily"); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("a schedule that is not there: got %v, want ErrNotFound", err)
		}
	})
}

func TestScheduleThatStartsNoRun(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 1)
		goOn := make(chan struct{})
		do := func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { <-goOn; return nil }
		r := b.scheduled(do, func(s *runs.Schedule) { s.SkipMissed = true })
		b.status(r, func(runs.ScheduleStatus) bool { return true })
		b.due(time.Hour)
		stop := b.work(r)
		b.status(r, func(s runs.ScheduleStatus) bool { return strings.HasPrefix(s.Note, "missed") })
		b.due(2 * time.Minute)
		first := b.status(r, func(s runs.ScheduleStatus) bool { return s.LastRun != "" })
		b.due(time.Minute)
		b.status(r, func(s runs.ScheduleStatus) bool { return strings.Contains(s.Note, "has not ended") })
		close(goOn)
		b.await(r, first.LastRun, runs.StateDone)
		if err := r.PauseSchedule(t.Context(), "nightly"); err != nil {
			t.Fatal(err)
		}
		stop()
		b.due(time.Minute)
		paused := b.status(r, func(s runs.ScheduleStatus) bool { return s.Paused })
		if err := r.ResumeSchedule(t.Context(), "nightly"); err != nil {
			t.Fatal(err)
		}
		if got := b.status(r, func(s runs.ScheduleStatus) bool { return !s.Paused }); !got.NextAt.After(paused.NextAt) {
			t.Errorf("got %+v, want what passed while it was paused left out", got)
		}
		if n := b.count(r); n != 1 {
			t.Errorf("got %d runs, want 1", n)
		}
		changed := b.scheduled(do, func(s *runs.Schedule) { s.Cron = "0 4 2 2 *" })
		if got := b.status(changed, func(runs.ScheduleStatus) bool { return true }); got.NextAt.Month() != time.February || got.LastRun != first.LastRun {
			t.Errorf("got %+v, want the new time and what was known", got)
		}
		empty := b.scheduled(do, func(s *runs.Schedule) { s.Spec.Filter = "status:blocked" })
		b.status(empty, func(runs.ScheduleStatus) bool { return true })
		b.due(time.Minute)
		b.work(empty)
		b.status(empty, func(s runs.ScheduleStatus) bool { return strings.Contains(s.Note, "no tenant matches the filter") })
	})
}

// Two versions of a program with other times: while both run, neither keeps the other from being
// due, and a time that came before the change is not lost.
func TestScheduleOfTwoVersions(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 1)
		first := b.scheduled(nothing, nil)
		second := b.scheduled(nothing, func(s *runs.Schedule) { s.Cron = "0 4 2 2 *" })
		next := func(r *runs.Runner) time.Time {
			t.Helper()
			return b.status(r, func(runs.ScheduleStatus) bool { return true }).NextAt
		}
		one, two := next(first), next(second)
		if one.Equal(two) {
			t.Fatalf("got %v for both", one)
		}
		earlier := one
		if two.Before(one) {
			earlier = two
		}
		for range 2 {
			if a, b := next(first), next(second); !a.Equal(earlier) || !b.Equal(earlier) {
				t.Errorf("while both run: got %v and %v, want the earlier, %v", a, b, earlier)
			}
		}
		b.due(time.Hour)
		third := b.scheduled(nothing, func(s *runs.Schedule) { s.Cron = "0 5 3 3 *" })
		if at := next(third); !at.Before(time.Now()) {
			t.Errorf("a time that came before the change: got it due at %v, want it due", at)
		}
		b.work(third)
		after := b.status(third, func(s runs.ScheduleStatus) bool { return s.LastRun != "" })
		if after.NextAt.Month() != time.March {
			t.Errorf("got %+v, want the next time of the new program", after)
		}
		b.await(third, after.LastRun, runs.StateDone)
	})
}

// Once PauseSchedule has returned no run of the schedule starts, not even one that is being planned.
func TestPauseWhileDue(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 1)
		planning, goOn := make(chan struct{}), make(chan struct{})
		var once sync.Once
		r := b.with(&runs.Options{
			Schedules: []runs.Schedule{{Name: "nightly", Cron: "0 3 1 1 *", Task: "work"}},
			Tasks: runs.Tasks{"work": {Do: nothing, Eligible: func(*tenancy.Tenant) error {
				once.Do(func() { close(planning); <-goOn })
				return nil
			}}},
		})
		b.status(r, func(runs.ScheduleStatus) bool { return true })
		b.due(time.Minute)
		b.work(r)
		<-planning
		err := r.PauseSchedule(t.Context(), "nightly")
		close(goOn)
		if err != nil {
			t.Fatal(err)
		}
		run := b.begin(r, runs.Spec{})
		b.await(r, run.ID, runs.StateDone) // the instance is past its look at schedules
		all, err := r.List(t.Context(), runs.Query{})
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range all {
			if each.ID != run.ID && each.State != runs.StatePlanned {
				t.Errorf("got %+v, want no run of a schedule that is paused", each)
			}
		}
		if got := b.status(r, func(runs.ScheduleStatus) bool { return true }); !got.Paused || got.LastRun != "" {
			t.Errorf("got %+v, want it paused without a run", got)
		}
	})
}

func TestScheduleRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 0)
	tasks := runs.Tasks{"work": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }}}
	good := runs.Schedule{Name: "nightly", Cron: "@daily", Task: "work"}
	for name, change := range map[string]func(*runs.Schedule){
		"name": func(s *runs.Schedule) { s.Name = "Every night" }, "expression": func(s *runs.Schedule) { s.Cron = "often" },
		"never": func(s *runs.Schedule) { s.Cron = "0 0 30 2 *" }, "zone": func(s *runs.Schedule) { s.Zone = "Mars/Base" },
		"local zone": func(s *runs.Schedule) { s.Zone = "Local" }, "two zones": func(s *runs.Schedule) { s.Cron = "TZ=UTC 0 0 * * *" },
		"task": func(s *runs.Schedule) { s.Task = "fly" }, "jitter": func(s *runs.Schedule) { s.Jitter = -1 }, "key": func(s *runs.Schedule) { s.Spec.Key = "k" },
		"spec": func(s *runs.Schedule) { s.Spec.Parallel = -1 }, "filter": func(s *runs.Schedule) { s.Spec.Filter = "status:happy" },
	} {
		s := good
		change(&s)
		if _, err := runs.New(b.db, b.catalog, &runs.Options{Tasks: tasks, Schedules: []runs.Schedule{s}}); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := runs.New(b.db, b.catalog, &runs.Options{Tasks: tasks, Schedules: []runs.Schedule{good, good}}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("two of one name: got %v, want ErrInvalid", err)
	}
}

// A time that came while an instance was there is not missed when that instance dies in the middle of its plan, or takes long to make it: others
// wait for the plan as long as it grows, and no longer.
func TestScheduleWhosePlannerDies(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 501) // the plan is written 500 at a time
		planning, goOn := make(chan struct{}), make(chan struct{})
		end := sync.OnceFunc(func() { close(goOn) })
		var asked atomic.Bool
		nightly := []runs.Schedule{{Name: "nightly", Cron: "0 3 1 1 *", Task: "work", SkipMissed: true}}
		dying := b.with(&runs.Options{Schedules: nightly, Tasks: runs.Tasks{"work": {Do: nothing, Eligible: func(t *tenancy.Tenant) error {
			if t.ID == "id-0500" && asked.CompareAndSwap(false, true) { // by the plan, and not when its turn comes, which may be in this instance
				close(planning)
				<-goOn
			}
			return nil
		}}}})
		b.status(dying, func(runs.ScheduleStatus) bool { return true })
		b.due(time.Minute)
		stop := b.work(dying)
		t.Cleanup(end)
		<-planning
		var life int64
		if err := b.db.Get(&life, `SELECT expires_at - created_at FROM tenancy_runs`); err != nil || life > (3*time.Minute).Microseconds() {
			t.Errorf("got %v, %v, want that the plan is given up soon unless it grows", time.Duration(life)*time.Microsecond, err)
		}
		b.db.MustExec(b.db.Rebind(`UPDATE tenancy_run_schedules SET due_at = due_at - ?`), (10 * time.Minute).Microseconds())
		living := b.with(&runs.Options{Schedules: nightly, Tasks: runs.Tasks{"work": {Do: nothing}}})
		b.work(living)
		other := b.begin(living, runs.Spec{IDs: []tenancy.ID{"id-0000"}})
		b.await(living, other.ID, runs.StateDone) // it has looked at its schedules
		if got := b.status(living, func(runs.ScheduleStatus) bool { return true }); got.Note != "" {
			t.Errorf("got %+v, want that the time waits for its plan", got)
		}
		b.db.MustExec(b.db.Rebind(`UPDATE tenancy_runs SET expires_at = ? WHERE state = 'planning'`), time.Now().Add(-time.Second).UnixMicro())
		got := b.status(living, func(s runs.ScheduleStatus) bool { return s.LastRun != "" || s.Note != "" })
		if got.Note != "" {
			t.Fatalf("got %+v, want the run", got)
		}
		b.await(living, got.LastRun, runs.StateDone)
		end() // the one that seemed to be dead
		stop()
		var left int
		if err := b.db.Get(&left, `SELECT COUNT(*) FROM tenancy_run_tenants WHERE run_id NOT IN (SELECT id FROM tenancy_runs)`); err != nil || left != 0 {
			t.Errorf("got %d tenants, %v, of a plan that was given up", left, err)
		}
		if n := b.count(living); n != 2 {
			t.Errorf("got %d runs, want 2", n)
		}
	})
}
