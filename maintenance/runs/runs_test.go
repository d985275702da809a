package runs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// bench is a catalog with tenants t-00, t-01 …, and a database for runs.
type bench struct {
	t       *testing.T
	db      *sqlx.DB
	catalog *catalog.Catalog
	tenants []*tenancy.Tenant
}

func newBench(t *testing.T, s *tenancytest.Server, tenants int) *bench {
	t.Helper()
	b := &bench{t: t, db: s.Database(t), catalog: tenancytest.NewCatalog(t)}
	for i := range tenants {
		b.create(i)
	}
	if err := b.runner(nil).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) create(i int) *tenancy.Tenant {
	b.t.Helper()
	t, err := b.catalog.Create(b.t.Context(), &tenancy.Tenant{
		ID: tenancy.ID(fmt.Sprintf("id-%04d", i)), Slug: fmt.Sprintf("t-%02d", i), Status: tenancy.StatusActive,
		Placement: tenancy.Placement{Server: fmt.Sprintf("server-%d", i%2), Database: "x"}, Tags: []string{fmt.Sprintf("tag-%d", i%3)},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.tenants = append(b.tenants, t)
	return t
}

// runner returns a runner with a task called "work", which nobody works on yet.
func (b *bench) runner(do func(context.Context, *tenancy.Tenant, tenancy.Attempt) error) *runs.Runner {
	b.t.Helper()
	tasks := runs.Tasks{}
	if do != nil {
		tasks["work"] = tenancy.Task{Do: do, Eligible: func(t *tenancy.Tenant) error {
			if t.Status == tenancy.StatusArchived {
				return errors.New("archived")
			}
			return nil
		}}
	}
	return b.with(&runs.Options{Tasks: tasks})
}

func (b *bench) with(opts *runs.Options) *runs.Runner {
	b.t.Helper()
	opts.Poll = 5 * time.Millisecond
	opts.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	r, err := runs.New(b.db, b.catalog, opts)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// work lets a runner work until the test ends or stop is called.
func (b *bench) work(r *runs.Runner) (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			b.t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	b.t.Cleanup(stop)
	return stop
}

// begin plans and starts a run.
func (b *bench) begin(r *runs.Runner, spec runs.Spec) *runs.Run {
	b.t.Helper()
	p, err := r.Plan(b.t.Context(), "work", spec)
	if err != nil {
		b.t.Fatal(err)
	}
	run, err := r.Start(b.t.Context(), p.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return run
}

// await follows a run until its state is one of those.
func (b *bench) await(r *runs.Runner, id string, states ...runs.State) *runs.Run {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Minute)
	defer cancel()
	for p, err := range r.Follow(ctx, id) {
		if err != nil {
			b.t.Fatal(err)
		}
		if slices.Contains(states, p.State) {
			return &p.Run
		}
		if p.State.Ended() {
			b.t.Fatalf("the run is %s (%s), want %q", p.State, p.Reason, states)
		}
	}
	b.t.Fatalf("the run ended otherwise than %q", states)
	return nil
}

// results returns the tenants of a run in these states, by slug.
func (b *bench) results(r *runs.Runner, id string, states ...runs.TenantState) map[string]runs.Result {
	b.t.Helper()
	out := map[string]runs.Result{}
	q := runs.ResultQuery{States: states, Limit: 7}
	for {
		page, err := r.Results(b.t.Context(), id, q)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, each := range page {
			out[each.Slug] = each
			q.After = each.Number
		}
		if len(page) < q.Limit {
			return out
		}
	}
}

func (b *bench) wantCounts(got, want runs.Counts) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("got counts %+v, want %+v", got, want)
	}
}

// tally counts what a task did, and how many of it at a time.
type tally struct {
	mu   sync.Mutex
	did  map[string]int
	now  map[string]int
	on   map[string]int // by server
	most int
}

func (c *tally) begin(t *testing.T, tenant *tenancy.Tenant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.did == nil {
		c.did, c.now, c.on = map[string]int{}, map[string]int{}, map[string]int{}
	}
	c.did[tenant.Slug]++
	c.now[tenant.Slug]++
	c.on[tenant.Placement.Server]++
	if c.now[tenant.Slug] > 1 {
		t.Errorf("tenant %s: two at a time", tenant.Slug)
	}
	all := 0
	for _, n := range c.now {
		all += n
	}
	c.most = max(c.most, all)
}

// all returns what was done, and how many at a time.
func (c *tally) all() (did map[string]int, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.did), c.most
}

func (c *tally) end(tenant *tenancy.Tenant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now[tenant.Slug]--
	c.on[tenant.Placement.Server]--
}

func TestRun(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 25)
		for _, each := range b.tenants[:3] {
			if _, err := b.catalog.SetStatus(t.Context(), each.ID, tenancy.StatusArchived); err != nil {
				t.Fatal(err)
			}
		}
		var c tally
		actor := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "jo"}
		r := b.runner(func(ctx context.Context, tenant *tenancy.Tenant, a tenancy.Attempt) error {
			c.begin(t, tenant)
			defer c.end(tenant)
			if in, _ := tenancy.FromContext(ctx); in != tenant || tenancy.ActorFrom(ctx) != actor {
				t.Errorf("got tenant %v and actor %v in the context", in, tenancy.ActorFrom(ctx))
			}
			if a.Number != 1 || a.Fence < 1 || a.Run == "" {
				t.Errorf("got attempt %+v, want the first, with a fence and the run", a)
			}
			switch tenant.Slug {
			case "t-05":
				return errors.New("no space left")
			case "t-06":
				return tenancy.Skip("up to date")
			case "t-07":
				panic("oh")
			}
			return nil
		})
		ctx := tenancy.WithActor(t.Context(), actor)
		p, err := r.Plan(ctx, "work", runs.Spec{Parallel: 3, Exclude: []tenancy.ID{b.tenants[4].ID}})
		if err != nil {
			t.Fatal(err)
		}
		if p.State != runs.StatePlanned || p.Eligible != 21 || len(p.Sample) != 10 || len(p.LeftOut) != 4 || p.Sample[0].Slug != "t-03" || p.LeftOut[0].Text != "archived" || p.LeftOut[3].Text != "excluded" {
			t.Errorf("got plan %+v", p)
		}
		b.create(99) // came later, and is not touched
		b.work(r)
		if did, _ := c.all(); did != nil {
			t.Error("a plan was worked on before its start")
		}
		if _, err := r.Start(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
		run := b.await(r, p.ID, runs.StateFailed)
		b.wantCounts(run.Counts, runs.Counts{Total: 25, Done: 18, Failed: 2, Skipped: 5})
		if run.Actor != actor || run.StartedAt.IsZero() || run.EndedAt.Before(run.StartedAt) {
			t.Errorf("got run %+v, want its actor and times", run)
		}
		did, most := c.all()
		if len(did) != 21 || most > 3 {
			t.Errorf("got %d tenants and %d at a time, want 21 and at most 3", len(did), most)
		}
		for slug, n := range did {
			if n != 1 {
				t.Errorf("%s: got %d attempts, want 1", slug, n)
			}
		}
		failed := b.results(r, p.ID, runs.TenantFailed)
		if len(failed) != 2 || failed["t-05"].Text != "no space left" || failed["t-07"].Text != "panic: oh" || failed["t-05"].EndedAt.IsZero() {
			t.Errorf("got failures %+v", failed)
		}
		if all := b.results(r, p.ID); len(all) != 25 || all["t-06"].State != runs.TenantSkipped || all["t-06"].Text != "up to date" || all["t-04"].Text != "excluded" {
			t.Errorf("got results %+v", all)
		}
		next, err := r.Plan(ctx, "work", runs.Spec{})
		if err != nil || next.Estimate <= 0 {
			t.Errorf("got estimate %v, %v, want one from the run before", next.Estimate, err)
		}
	})
}

func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 3)
		r := b.runner(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil })
		for name, tt := range map[string]struct {
			task string
			spec runs.Spec
		}{
			"unknown task":         {"fly", runs.Spec{}},
			"malformed filter":     {"work", runs.Spec{Filter: "status:happy"}},
			"filter of blanks":     {"work", runs.Spec{Filter: "  "}},
			"nobody":               {"work", runs.Spec{Filter: "status:blocked"}},
			"no such tenant":       {"work", runs.Spec{IDs: []tenancy.ID{"id-9999"}}},
			"malformed ID":         {"work", runs.Spec{IDs: []tenancy.ID{"../x"}}},
			"filter and IDs":       {"work", runs.Spec{Filter: "status:active", IDs: []tenancy.ID{"id-0000"}}},
			"waves of zero":        {"work", runs.Spec{Waves: runs.Waves{Then: "0"}}},
			"waves of 0%":          {"work", runs.Spec{Waves: runs.Waves{Then: "10%, 0%"}}},
			"waves of words":       {"work", runs.Spec{Waves: runs.Waves{Then: "many"}}},
			"negative canary":      {"work", runs.Spec{Waves: runs.Waves{Canary: -1}}},
			"canary elsewhere":     {"work", runs.Spec{Filter: "status:blocked", Waves: runs.Waves{CanaryIDs: []tenancy.ID{"id-0000"}}}},
			"canary excluded":      {"work", runs.Spec{Exclude: []tenancy.ID{"id-0000"}, Waves: runs.Waves{CanaryIDs: []tenancy.ID{"id-0000"}}}},
			"negative pause":       {"work", runs.Spec{Waves: runs.Waves{Pause: -1}}},
			"budget over 100%":     {"work", runs.Spec{Budget: runs.Budget{InAll: "101%"}}},
			"negative budget":      {"work", runs.Spec{Budget: runs.Budget{PerWave: "-1"}}},
			"negative parallelism": {"work", runs.Spec{Parallel: -1}},
			"unwanted parameters":  {"work", runs.Spec{Params: tenancy.Params{"to": "7"}}},
			"all excluded":         {"work", runs.Spec{Exclude: []tenancy.ID{"id-0000", "id-0001", "id-0002"}}},
			"long key":             {"work", runs.Spec{Key: strings.Repeat("k", 129)}},
			"a schedule's key":     {"work", runs.Spec{Key: "schedule/nightly/2026-01-01T03:00:00Z"}},
		} {
			if p, err := r.Plan(t.Context(), tt.task, tt.spec); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%s: got %v, %v, want ErrInvalid", name, p, err)
			}
		}
		for _, table := range []string{"tenancy_runs", "tenancy_run_waves", "tenancy_run_tenants"} {
			var n int
			if err := b.db.Get(&n, `SELECT COUNT(*) FROM `+table); err != nil || n != 0 {
				t.Errorf("%s: got %d rows, %v, want none", table, n, err)
			}
		}
		if _, err := r.Start(t.Context(), "nothing"); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("Start of nothing: got %v, want ErrNotFound", err)
		}
		p, err := r.Plan(t.Context(), "work", runs.Spec{})
		if err != nil {
			t.Fatal(err)
		}
		b.db.MustExec(`UPDATE tenancy_runs SET expires_at = 1`)
		if _, err := r.Start(t.Context(), p.ID); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("Start of a plan that expired: got %v, want ErrInvalid", err)
		}
		b.work(r)
		for _, err := r.Get(t.Context(), p.ID); !errors.Is(err, tenancy.ErrNotFound); _, err = r.Get(t.Context(), p.ID) { // until it was removed
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What a tenant has become since the plan decides whether it takes part.
func TestTenantsThatChangeBeforeTheirTurn(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 6)
		var did sync.Map
		r := b.runner(func(_ context.Context, tenant *tenancy.Tenant, _ tenancy.Attempt) error {
			did.Store(tenant.Slug, true)
			return nil
		})
		p, err := r.Plan(t.Context(), "work", runs.Spec{Filter: "status:active"})
		if err != nil {
			t.Fatal(err)
		}
		for i, status := range []tenancy.Status{tenancy.StatusSuspended, tenancy.StatusArchived, tenancy.StatusArchived} {
			if _, err := b.catalog.SetStatus(t.Context(), b.tenants[i].ID, status); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.catalog.SetStatus(t.Context(), b.tenants[2].ID, tenancy.StatusPurging); err != nil {
			t.Fatal(err)
		}
		if err := b.catalog.Delete(t.Context(), b.tenants[2].ID); err != nil {
			t.Fatal(err)
		}
		if _, err := b.catalog.Rename(t.Context(), b.tenants[3].ID, "renamed"); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Start(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
		b.work(r)
		run := b.await(r, p.ID, runs.StateDone)
		b.wantCounts(run.Counts, runs.Counts{Total: 6, Done: 3, Skipped: 3})
		skipped := b.results(r, p.ID, runs.TenantSkipped)
		if !strings.Contains(skipped["t-00"].Text, "suspended") || !strings.Contains(skipped["t-01"].Text, "archived") || skipped["t-02"].Text != "the tenant is gone" {
			t.Errorf("got reasons %+v", skipped)
		}
		if _, ok := did.Load("renamed"); !ok {
			t.Error("the tenant that was renamed took no part, want it done under its new name")
		}
	})
}

func TestCanaryThatFails(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 10)
		var broken atomic.Bool
		broken.Store(true)
		var c tally
		r := b.runner(func(_ context.Context, tenant *tenancy.Tenant, _ tenancy.Attempt) error {
			c.begin(t, tenant)
			defer c.end(tenant)
			if broken.Load() {
				return errors.New("broken")
			}
			return nil
		})
		b.work(r)
		run := b.begin(r, runs.Spec{Waves: runs.Waves{CanaryIDs: []tenancy.ID{"id-0007"}, Canary: 2, Then: "50%"}})
		run = b.await(r, run.ID, runs.StateStopped)
		if run.Wave != 1 || len(run.Waves) != 3 || run.Waves[1].Total != 5 || run.Waves[2].Total != 2 || !strings.Contains(run.Reason, "canary") {
			t.Errorf("got %+v, want it stopped in the first of three waves", run)
		}
		testserver.Await(t, "those in hand are finished", func() bool { return len(b.results(r, run.ID, runs.TenantWorking)) == 0 })
		failed := b.results(r, run.ID, runs.TenantFailed)
		did, _ := c.all()
		for slug := range did {
			if !slices.Contains([]string{"t-00", "t-01", "t-07"}, slug) {
				t.Errorf("%s was worked on, want the canary alone", slug)
			}
		}
		broken.Store(false)
		if _, err := r.Retry(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
		run = b.await(r, run.ID, runs.StateDone)
		b.wantCounts(run.Counts, runs.Counts{Total: 10, Done: 10})
		for slug, each := range b.results(r, run.ID) {
			want := 1
			if _, ok := failed[slug]; ok {
				want = 2
			}
			if each.Attempt != want {
				t.Errorf("%s: got %d attempts, want %d", slug, each.Attempt, want)
			}
		}
	})
}

func TestApprovalBetweenWaves(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 6)
		r := b.runner(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil })
		b.work(r)
		run := b.begin(r, runs.Spec{Waves: runs.Waves{Canary: 1, Then: "3", Approval: true}})
		for _, want := range []struct{ wave, done int }{{2, 1}, {3, 4}} {
			run = b.await(r, run.ID, runs.StatePaused)
			if run.Wave != want.wave || run.Done != want.done || !strings.Contains(run.Reason, "approval") {
				t.Errorf("got wave %d with %d done (%s), want %v and approval", run.Wave, run.Done, run.Reason, want)
			}
			if _, err := r.Resume(t.Context(), run.ID); err != nil {
				t.Fatal(err)
			}
		}
		b.await(r, run.ID, runs.StateDone)

		run = b.begin(r, runs.Spec{Waves: runs.Waves{Then: "3", Pause: time.Hour}})
		run = b.await(r, run.ID, runs.StatePaused)
		if run.ResumeAt.Before(run.StartedAt.Add(time.Hour)) {
			t.Errorf("got a pause from %v to %v, want an hour", run.StartedAt, run.ResumeAt)
		}
		b.db.MustExec(`UPDATE tenancy_runs SET resume_at = 1 WHERE resume_at > 0`) // an hour later
		b.await(r, run.ID, runs.StateDone)
	})
}

func TestFailureBudget(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 10)
		r := b.runner(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return errors.New("broken") })
		b.work(r)
		for _, tt := range []struct {
			budget runs.Budget
			want   int
		}{{runs.Budget{InAll: "2"}, 3}, {runs.Budget{InAll: "31%"}, 5}, {runs.Budget{PerWave: "0"}, 1}} {
			run := b.begin(r, runs.Spec{Parallel: 1, Budget: tt.budget})
			run = b.await(r, run.ID, runs.StateStopped)
			if run.Failed != tt.want || !strings.Contains(run.Reason, "budget") {
				t.Errorf("budget %+v: got %d failures (%s), want %d", tt.budget, run.Failed, run.Reason, tt.want)
			}
			if _, err := r.Resume(t.Context(), run.ID); err != nil { // the failures until now are forgiven
				t.Fatal(err)
			}
			for again, err := range r.Follow(t.Context(), run.ID) {
				if err != nil {
					t.Fatal(err)
				}
				if again.State.Ended() && again.Failed != 2*tt.want {
					t.Errorf("budget %+v, resumed: got %d failures, want %d", tt.budget, again.Failed, 2*tt.want)
				}
			}
		}
	})
}

func TestPauseResumeCancel(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 8)
		began, goOn := make(chan struct{}, 8), make(chan struct{})
		r := b.runner(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error {
			began <- struct{}{}
			<-goOn
			return nil
		})
		b.work(r)
		run := b.begin(r, runs.Spec{Parallel: 2})
		<-began
		<-began
		if run, err := r.Pause(t.Context(), run.ID, "lunch"); err != nil || run.State != runs.StatePaused || run.Reason != "lunch" {
			t.Fatalf("Pause: got %+v, %v", run, err)
		}
		goOn <- struct{}{}
		goOn <- struct{}{}
		for run.Done < 2 { // those in hand are finished
			run = b.await(r, run.ID, runs.StatePaused)
		}
		if _, err := r.Resume(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
		<-began
		<-began
		if run, err := r.Cancel(t.Context(), run.ID, "mistake"); err != nil || run.Cancelled != 4 {
			t.Fatalf("Cancel: got %+v, %v, want 4 cancelled", run, err)
		}
		close(goOn)
		for run.Done < 4 {
			run = b.await(r, run.ID, runs.StateCancelled)
		}
		b.wantCounts(run.Counts, runs.Counts{Total: 8, Done: 4, Cancelled: 4})
		for name, change := range map[string]func() (*runs.Run, error){
			"Pause":  func() (*runs.Run, error) { return r.Pause(t.Context(), run.ID, "") },
			"Resume": func() (*runs.Run, error) { return r.Resume(t.Context(), run.ID) },
			"Retry":  func() (*runs.Run, error) { return r.Retry(t.Context(), run.ID) },
			"Start":  func() (*runs.Run, error) { return r.Start(t.Context(), run.ID) },
		} {
			if _, err := change(); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%s of a run that was cancelled: got %v, want ErrInvalid", name, err)
			}
		}
	})
}

func TestTimeLimit(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		r := b.runner(func(ctx context.Context, tenant *tenancy.Tenant, _ tenancy.Attempt) error {
			if tenant.Slug == "t-00" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		b.work(r)
		run := b.begin(r, runs.Spec{Timeout: 30 * time.Millisecond, Parallel: 1})
		run = b.await(r, run.ID, runs.StateFailed)
		failed := b.results(r, run.ID, runs.TenantFailed)
		if !strings.Contains(failed["t-00"].Text, "time limit of 30ms") {
			t.Errorf("got %+v, want t-00 failed by the time limit", failed)
		}
	})
}

// Three instances work on one run, and no tenant is worked on twice.
func TestSeveralInstances(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 60)
		var c tally
		task := func(_ context.Context, tenant *tenancy.Tenant, _ tenancy.Attempt) error {
			c.begin(t, tenant)
			defer c.end(tenant)
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.on["server-0"] > 2 || c.on["server-1"] > 2 {
				t.Errorf("got %v at a time, want at most 2 on a server", c.on)
			}
			return nil
		}
		for range 3 {
			b.work(b.runner(task))
		}
		r := b.runner(task)
		run := b.begin(r, runs.Spec{Parallel: 3, PerServer: 2, Waves: runs.Waves{Then: "10"}})
		run = b.await(r, run.ID, runs.StateDone)
		b.wantCounts(run.Counts, runs.Counts{Total: 60, Done: 60})
		did, most := c.all()
		if len(did) != 60 || most > 3 {
			t.Errorf("got %d tenants, %d at a time, want 60 and at most 3", len(did), most)
		}
		for slug, n := range did {
			if n != 1 {
				t.Errorf("%s: got %d attempts, want 1", slug, n)
			}
		}
	})
}

// An instance that lost its lease stops, and what it says afterwards counts nothing.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 1)
		type began struct {
			ctx context.Context
			a   tenancy.Attempt
		}
		first := make(chan began)
		end := make(chan struct{})
		dying := b.runner(func(ctx context.Context, _ *tenancy.Tenant, a tenancy.Attempt) error {
			if a.Number == 1 {
				first <- began{ctx, a}
				<-end
			}
			return errors.New("too late")
		})
		stop := b.work(dying)
		run := b.begin(dying, runs.Spec{})
		one := <-first
		if err := one.a.SaveCheckpoint(t.Context(), "half"); err != nil {
			t.Errorf("SaveCheckpoint: %v", err)
		}
		var second atomic.Pointer[tenancy.Attempt]
		other := b.runner(func(_ context.Context, _ *tenancy.Tenant, a tenancy.Attempt) error {
			second.Store(&a)
			return nil
		})
		var lease string
		if err := b.db.Get(&lease, `SELECT name FROM tenancy_runs_leases WHERE name LIKE 'worker/%'`); err != nil {
			t.Fatal(err)
		}
		var expiring sync.WaitGroup
		expired := make(chan struct{})
		expiring.Go(func() { // as if it had not been renewed for long, whenever its instance renews it
			for second.Load() == nil {
				if _, err := b.db.Exec(b.db.Rebind(`UPDATE tenancy_runs_leases SET expires_at = 1 WHERE name = ?`), lease); err != nil {
					t.Error(err)
				}
				select {
				case <-expired:
					return
				case <-time.After(10 * time.Millisecond):
				}
			}
		})
		t.Cleanup(func() { close(expired); expiring.Wait() })
		b.work(other)
		run = b.await(other, run.ID, runs.StateDone)
		b.wantCounts(run.Counts, runs.Counts{Total: 1, Done: 1})
		if a := second.Load(); a.Number != 2 || a.Fence <= one.a.Fence || a.Checkpoint != "half" {
			t.Errorf("got attempt %+v after %+v, want the second with a larger fence and the checkpoint", a, one.a)
		}
		if err := one.a.SaveCheckpoint(t.Context(), "late"); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("SaveCheckpoint of an instance that lost its lease: got %v, want ErrConflict", err)
		}
		<-one.ctx.Done() // it has noticed
		if err := one.a.SaveCheckpoint(t.Context(), "later"); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("SaveCheckpoint of an instance that knows that it lost its lease: got %v, want ErrConflict", err)
		}
		close(end)
		stop()
		if got := b.results(other, run.ID)["t-00"]; got.State != runs.TenantDone || got.Checkpoint != "half" {
			t.Errorf("got %+v, want it done, whatever the first instance says later", got)
		}
	})
}

// A program that ends gives back what it cannot finish, and it is no failure.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 3)
		began := make(chan struct{}, 3)
		ending := b.with(&runs.Options{Grace: -1, Tasks: runs.Tasks{"work": {Do: func(ctx context.Context, _ *tenancy.Tenant, _ tenancy.Attempt) error {
			began <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}}}})
		stop := b.work(ending)
		run := b.begin(ending, runs.Spec{Parallel: 1})
		<-began
		stop()
		run, err := ending.Get(t.Context(), run.ID)
		if err != nil || run.State != runs.StateRunning || run.Finished() != 0 {
			t.Errorf("got %+v, %v, want it running and nobody finished", run, err)
		}
		if p := b.results(ending, run.ID, runs.TenantPending); len(p) != 3 {
			t.Errorf("got %+v, want all pending", p)
		}
		other := b.runner(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil })
		b.work(other)
		b.await(other, run.ID, runs.StateDone)
	})
}

// A run of a task that this program does not know is left to those that do.
func TestUnknownTask(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		r := b.runner(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil })
		run := b.begin(r, runs.Spec{})
		old := b.with(&runs.Options{Tasks: runs.Tasks{"other": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }}}})
		b.work(old)
		p, err := old.Plan(t.Context(), "other", runs.Spec{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := old.Start(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
		b.await(old, p.ID, runs.StateDone)
		if run, err = old.Get(t.Context(), run.ID); err != nil || run.State != runs.StateRunning || run.Finished() != 0 {
			t.Errorf("got %+v, %v, want it left alone", run, err)
		}
		b.work(r)
		b.await(r, run.ID, runs.StateDone)
	})
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 5)
		var n atomic.Int64
		r := b.with(&runs.Options{Tasks: runs.Tasks{
			"work":  {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { n.Add(1); return nil }},
			"other": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }},
		}})
		b.work(r)
		var ids sync.Map
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				p, err := r.Plan(t.Context(), "work", runs.Spec{Key: "deploy-7"})
				for errors.Is(err, tenancy.ErrConflict) { // while another is made
					p, err = r.Plan(t.Context(), "work", runs.Spec{Key: "deploy-7"})
				}
				if err != nil {
					t.Errorf("Plan: %v", err)
					return
				}
				ids.Store(p.ID, true)
				if _, err := r.Start(t.Context(), p.ID); err != nil {
					t.Errorf("Start: %v", err)
				}
			})
		}
		wg.Wait()
		id, count := "", 0
		for k := range ids.Range {
			id, count = k.(string), count+1
		}
		if count != 1 {
			t.Fatalf("got %d runs, want 1", count)
		}
		b.await(r, id, runs.StateDone)
		if p, err := r.Plan(t.Context(), "work", runs.Spec{Key: "deploy-7"}); err != nil || p.ID != id || p.State != runs.StateDone {
			t.Errorf("got %+v, %v, want the run that is done", p, err)
		}
		if _, err := r.Plan(t.Context(), "other", runs.Spec{Key: "deploy-7"}); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("the key for another task: got %v, want ErrConflict", err)
		}
		if n.Load() != 5 {
			t.Errorf("got %d tenants worked on, want 5", n.Load())
		}
	})
}

// A plan that is cancelled gives its key up; a run that was started keeps it.
func TestKeyOfACancelledPlan(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		r := b.runner(nothing)
		p, err := r.Plan(t.Context(), "work", runs.Spec{Key: "deploy-7"})
		if err == nil {
			_, err = r.Cancel(t.Context(), p.ID, "not now")
		}
		if err != nil {
			t.Fatal(err)
		}
		run := b.begin(r, runs.Spec{Key: "deploy-7"})
		if run.ID == p.ID || run.State != runs.StateRunning {
			t.Fatalf("got %+v, want another run", run)
		}
		if _, err := r.Cancel(t.Context(), run.ID, "a mistake"); err != nil {
			t.Fatal(err)
		}
		if p, err := r.Plan(t.Context(), "work", runs.Spec{Key: "deploy-7"}); err != nil || p.ID != run.ID || p.State != runs.StateCancelled {
			t.Errorf("got %+v, %v, want the run that was started", p, err)
		}
	})
}

func TestScope(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 9)
		all := b.runner(func(_ context.Context, tenant *tenancy.Tenant, _ tenancy.Attempt) error {
			if tenant.Slug == "t-01" {
				return errors.New("broken")
			}
			return nil
		})
		run := b.begin(all, runs.Spec{IDs: []tenancy.ID{"id-0000", "id-0001", "id-0002", "id-0003"}})
		for _, tt := range []struct {
			scope tenancy.Scope
			sees  []string
		}{
			{tenancy.ByTags("tag-1", "none"), []string{"t-01"}},
			{tenancy.ByIDs("id-0001", "id-0003"), []string{"t-01", "t-03"}},
		} {
			own := all.Within(tt.scope)
			got, err := own.Get(t.Context(), run.ID)
			if err != nil || got.Total != len(tt.sees) || got.Waves[0].Total != len(tt.sees) {
				t.Errorf("%v: got %+v, %v, want %q counted", tt.scope, got, err, tt.sees)
			}
			results := b.results(own, run.ID)
			if len(results) != len(tt.sees) {
				t.Errorf("%v: got %v, want %q", tt.scope, results, tt.sees)
			}
			if page, err := own.List(t.Context(), runs.Query{}); err != nil || len(page) != 1 || page[0].Total != len(tt.sees) {
				t.Errorf("%v: got %v, %v, want the run", tt.scope, page, err)
			}
			if _, err := own.Cancel(t.Context(), run.ID, ""); !errors.Is(err, tenancy.ErrForbidden) {
				t.Errorf("%v: Cancel of a run with other tenants: got %v, want ErrForbidden", tt.scope, err)
			}
		}
		for _, scope := range []tenancy.Scope{{}, tenancy.ByTags("none"), tenancy.ByIDs("id-0008")} {
			other := all.Within(scope)
			if _, err := other.Get(t.Context(), run.ID); !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("%v: got %v, want ErrNotFound", scope, err)
			}
			if _, err := other.Results(t.Context(), run.ID, runs.ResultQuery{}); !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("%v: Results: got %v, want ErrNotFound", scope, err)
			}
			if _, err := other.Pause(t.Context(), run.ID, ""); !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("%v: Pause: got %v, want ErrNotFound", scope, err)
			}
			if page, err := other.List(t.Context(), runs.Query{}); err != nil || len(page) != 0 {
				t.Errorf("%v: got %v, %v, want no run", scope, page, err)
			}
		}
		own := all.Within(tenancy.ByTags("tag-0"))
		p, err := own.Plan(t.Context(), "work", runs.Spec{})
		if err != nil || p.Total != 3 {
			t.Fatalf("got %+v, %v, want the three tenants of the scope", p, err)
		}
		if _, err := own.Start(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
		b.work(all)
		b.await(own, p.ID, runs.StateDone)
		b.await(all, run.ID, runs.StateFailed)
		if got, err := all.Within(tenancy.ByTags("tag-1")).Get(t.Context(), run.ID); err != nil || got.Failed != 1 || got.Done != 0 {
			t.Errorf("got %+v, %v, want the failure of its own tenant alone", got, err)
		}
	})
}

func TestList(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 1)
		r := b.runner(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil })
		var want []string
		for range 5 {
			p, err := r.Plan(t.Context(), "work", runs.Spec{})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, p.ID)
		}
		slices.Sort(want)
		slices.Reverse(want)
		var got []string
		for q := (runs.Query{Limit: 2, Task: "work", States: []runs.State{runs.StatePlanned}}); ; {
			page, err := r.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, run := range page {
				got, q.Before = append(got, run.ID), run.ID
			}
			if len(page) < q.Limit {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, q := range []runs.Query{{Task: "other"}, {States: []runs.State{runs.StateDone}}} {
			if page, err := r.List(t.Context(), q); err != nil || len(page) != 0 {
				t.Errorf("%+v: got %v, %v, want none", q, page, err)
			}
		}
		for _, q := range []runs.Query{{Limit: -1}, {Limit: 1001}, {States: []runs.State{"planning"}}} {
			if _, err := r.List(t.Context(), q); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%+v: got %v, want ErrInvalid", q, err)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	cat := tenancytest.NewCatalog(t)
	do := func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }
	for name, opts := range map[string]*runs.Options{
		"task without a function": {Tasks: runs.Tasks{"x": {}}}, "name of a task": {Tasks: runs.Tasks{"X y": {Do: do}}},
		"poll": {Poll: -1}, "lease": {Lease: -1}, "workers": {Workers: -1},
	} {
		if _, err := runs.New(db, cat, opts); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := runs.New(nil, cat, nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no database: got %v, want ErrInvalid", err)
	}
	if _, err := runs.New(db, nil, nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no catalog: got %v, want ErrInvalid", err)
	}
}
