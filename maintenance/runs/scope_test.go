package runs_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Somebody with a scope learns nothing of the tenants outside of it: not whether they exist, nor how long work on them took, nor what was
// planned for them and why their run stopped.
func TestScopesDoNotLeak(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 4)
		fails := func(_ context.Context, t *tenancy.Tenant, _ tenancy.Attempt) error {
			if t.ID == "id-0001" {
				return errors.New("no")
			}
			return nil
		}
		r := b.runner(fails)
		mine := r.Within(tenancy.ByIDs("id-0000"))
		texts := map[tenancy.ID]string{}
		for _, other := range []tenancy.ID{"id-0001", "id-9999"} {
			_, err := mine.Plan(t.Context(), "work", runs.Spec{IDs: []tenancy.ID{"id-0000", other}})
			if !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("a plan with %s: got %v, want that it is invalid", other, err)
				continue
			}
			texts[other] = strings.ReplaceAll(err.Error(), string(other), "ID")
		}
		if texts["id-0001"] != texts["id-9999"] {
			t.Errorf("got %q, want the same", texts)
		}
		b.work(r)
		run := b.begin(r, runs.Spec{IDs: []tenancy.ID{"id-0000", "id-0001", "id-0002"}, Exclude: []tenancy.ID{"id-0002"}, Waves: runs.Waves{CanaryIDs: []tenancy.ID{"id-0001"}}})
		for p, err := range r.Follow(t.Context(), run.ID) {
			if err != nil {
				t.Fatal(err)
			}
			if p.State.Ended() {
				break
			}
		}
		if _, err := r.Within(tenancy.ByIDs("id-0003")).Get(t.Context(), run.ID); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("a run of others: got %v, want that it does not exist", err)
		}
		got, err := mine.Get(t.Context(), run.ID)
		if err != nil {
			t.Fatal(err)
		}
		all, err := mine.List(t.Context(), runs.Query{})
		if err != nil || len(all) == 0 {
			t.Fatalf("got %d runs, %v, want one", len(all), err)
		}
		for _, run := range []*runs.Run{got, all[len(all)-1]} {
			if text, _ := json.Marshal(run); strings.Contains(string(text), "id-0001") || strings.Contains(string(text), "id-0002") || run.Reason != "" {
				t.Errorf("got %s, want nothing of others", text)
			}
		}
		filtered := b.begin(r, runs.Spec{Filter: "t-03"})
		if _, err := mine.Get(t.Context(), filtered.ID); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("somebody else's run: got %v, want that it does not exist", err)
		}
		// Whose run is all theirs sees all of it.
		own, err := mine.Plan(t.Context(), "work", runs.Spec{Filter: "t-00"})
		if err != nil || own.Spec.Filter != "t-00" || own.Estimate != 0 {
			t.Errorf("got %+v, %v, want their filter, and no estimate: no run of theirs is done", own, err)
		}
	})
}

// An estimate is made of the tenants of the scope.
func TestEstimatesAreOfTheScope(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		r := b.runner(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil })
		b.work(r)
		finish := func(id string) {
			for p, err := range r.Follow(t.Context(), id) {
				if err != nil {
					t.Fatal(err)
				}
				if p.State.Ended() {
					break
				}
			}
		}
		first := b.begin(r, runs.Spec{Filter: "t-00"})
		finish(first.ID)
		second := b.begin(r, runs.Spec{Filter: "t-01"})
		finish(second.ID)
		for id, took := range map[string]time.Duration{first.ID: time.Minute, second.ID: time.Hour} {
			for _, q := range []string{`UPDATE tenancy_run_waves SET busy = ? WHERE run_id = ?`, `UPDATE tenancy_run_tenants SET ended_at = started_at + ? WHERE run_id = ?`} {
				if _, err := b.db.Exec(b.db.Rebind(q), took.Microseconds(), id); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, tt := range []struct {
			scope tenancy.Scope
			want  time.Duration
		}{{tenancy.AllTenants(), time.Hour}, {tenancy.ByIDs("id-0000"), time.Minute}, {tenancy.ByIDs("id-0001"), time.Hour}} {
			p, err := r.Within(tt.scope).Plan(t.Context(), "work", runs.Spec{Parallel: 100})
			if err != nil || p.Estimate != tt.want {
				t.Errorf("%v: got %v, %v, want %v", tt.scope, p.Estimate, err, tt.want)
			}
		}
	})
}

// Somebody with a scope of tags neither sees nor lets go on what is done to tenants that have left the scope since the run was planned, and
// the run that they planned leaves these alone, also when others let it go on.
func TestTenantsThatLeftTheScope(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 6)
		var broken atomic.Bool
		broken.Store(true)
		var count tally
		r := b.runner(func(_ context.Context, each *tenancy.Tenant, _ tenancy.Attempt) error {
			count.begin(t, each)
			defer count.end(each)
			if broken.Load() && each.ID == "id-0003" {
				return errors.New("no")
			}
			return nil
		})
		mine := r.Within(tenancy.ByTags("tag-0")) // id-0000 and id-0003
		tag := func(id tenancy.ID, tags ...string) {
			t.Helper()
			if _, err := b.catalog.Edit(t.Context(), id, func(t *tenancy.Tenant) error { t.Tags = tags; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		plan := func() string {
			t.Helper()
			p, err := mine.Plan(t.Context(), "work", runs.Spec{IDs: []tenancy.ID{"id-0000", "id-0003"}})
			if err != nil {
				t.Fatal(err)
			}
			return p.ID
		}
		first, second, third := plan(), plan(), plan()
		b.work(r)
		for _, id := range []string{first, third} {
			if _, err := mine.Start(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			b.await(r, id, runs.StateFailed)
		}
		tag("id-0003", "tag-1")
		got, err := mine.Get(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		b.wantCounts(got.Counts, runs.Counts{Total: 1, Done: 1})
		if got.Spec.IDs != nil {
			t.Errorf("got the IDs %q, want none: one is outside of the scope", got.Spec.IDs)
		}
		if results := b.results(mine, first); len(results) != 1 || results["t-00"].State != runs.TenantDone {
			t.Errorf("got %+v, want the tenant that is in the scope", results)
		}
		if _, err := mine.Retry(t.Context(), first); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("Retry: got %v, want that it is forbidden", err)
		}
		if _, err := mine.Start(t.Context(), second); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("Start: got %v, want that it is forbidden", err)
		}
		broken.Store(false)
		if _, err := r.Retry(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Start(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{first, second} {
			b.await(r, id, runs.StateDone)
			if left := b.results(r, id, runs.TenantSkipped); !strings.Contains(left["t-03"].Text, "outside of the scope") {
				t.Errorf("got %+v, want t-03 skipped, and why", left)
			}
		}
		if did, _ := count.all(); did["t-03"] != 2 {
			t.Errorf("the task was called %d times for t-03, want 2: before it left the scope", did["t-03"])
		}
		// With the last tenant of the scope, the runs are not there any more. A page has those that are.
		tag("id-0000")
		tag("id-0003", "tag-0")
		older, err := mine.Plan(t.Context(), "work", runs.Spec{})
		if err != nil {
			t.Fatal(err)
		}
		tag("id-0003")
		tag("id-0000", "tag-0")
		page, err := mine.List(t.Context(), runs.Query{Limit: 1})
		if err != nil || len(page) != 1 || page[0].ID != third {
			t.Errorf("got %+v, %v, want the run %s, and not %s", page, err, third, older.ID)
		}
		if _, err := mine.Results(t.Context(), older.ID, runs.ResultQuery{}); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("Results: got %v, want that there is no run", err)
		}
	})
}

// lists counts what is read of the catalog.
type lists struct {
	runs.Catalog
	n atomic.Int64
}

func (l *lists) List(ctx context.Context, f tenancy.Filter) ([]*tenancy.Tenant, error) {
	l.n.Add(1)
	return l.Catalog.List(ctx, f)
}

// Who follows a run in a scope of tags does not read its tenants each time that it looks at the run.
func TestFollowInAScopeOfTags(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 24)
	steps := make(chan struct{}, 24)
	b.work(b.runner(func(ctx context.Context, _ *tenancy.Tenant, _ tenancy.Attempt) error {
		select {
		case <-steps:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}))
	counted := &lists{Catalog: b.catalog}
	r, err := runs.New(b.db, counted, &runs.Options{Poll: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	run := b.begin(b.runner(nothing), runs.Spec{Filter: "tag:tag-0", Parallel: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	began, seen := time.Now(), 0
	for p, err := range r.Within(tenancy.ByTags("tag-0")).Follow(ctx, run.ID) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; p.State == runs.StateRunning {
			steps <- struct{}{}
		}
	}
	most := int64(1 + time.Since(began)/(10*time.Second))
	if n := counted.n.Load(); n == 0 || n > most || seen < 3 {
		t.Errorf("got %d reads of the catalog and %d looks at the run, want 1 to %d, and several looks", n, seen, most)
	}
}
