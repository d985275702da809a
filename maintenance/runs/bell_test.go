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

func TestMemoryBell(t *testing.T) {
	t.Parallel()
	tenancytest.TestBell(t, func(*testing.T) (a, b runs.Bell) {
		bell := tenancytest.NewMemoryBell()
		return bell, bell
	})
}

// ringing returns runners as two processes have them, one that works and one that follows,
// neither of which would look into the database by itself before the test is over.
func ringing(b *bench, bell func() runs.Bell, do func(context.Context, *tenancy.Tenant, tenancy.Attempt) error) (works, follows *runs.Runner) {
	b.t.Helper()
	var made []*runs.Runner
	for range 2 {
		r, err := runs.New(b.db, b.catalog, &runs.Options{Tasks: runs.Tasks{"work": {Do: do}}, Poll: time.Hour, Lease: time.Hour, Bell: bell()})
		if err != nil {
			b.t.Fatal(err)
		}
		made = append(made, r)
	}
	return made[0], made[1]
}

// With a bell, a run that another process starts begins at once, and who follows it hears
// of each change: nobody waits for the time after which the database is asked.
func TestBellRings(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 3)
		bell := tenancytest.NewMemoryBell()
		steps := make(chan struct{})
		works, follows := ringing(b, func() runs.Bell { return bell }, func(context.Context, *tenancy.Tenant, tenancy.Attempt) error {
			<-steps
			return nil
		})
		b.work(works)
		followOnBell(t, follows, steps)
	})
}

// followOnBell starts a run from the process that only follows, and looks at what it hears.
func followOnBell(t *testing.T, follows *runs.Runner, steps chan struct{}) {
	t.Helper()
	p, err := follows.Plan(t.Context(), "work", runs.Spec{Parallel: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := follows.Start(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	seen := []int{}
	for p, err := range follows.Follow(ctx, p.ID) {
		if err != nil {
			t.Fatalf("%v after %v", err, seen)
		}
		seen = append(seen, p.Done)
		if !p.State.Ended() {
			go func() {
				select {
				case steps <- struct{}{}:
				case <-ctx.Done():
				}
			}()
		}
	}
	if len(seen) < 2 || seen[len(seen)-1] != 3 {
		t.Errorf("got %v tenants done, want the changes until 3", seen)
	}
}

// deaf is a bell that fails.
type deaf struct{}

func (deaf) Ring(context.Context, []byte) error { return errors.New("no bell") }
func (deaf) Listen(context.Context, func(), func([]byte)) error {
	return errors.New("no bell")
}

// Without its bell everything goes on, by looking into the database.
func TestBellIsGone(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 5)
	r := b.with(&runs.Options{Bell: deaf{}, Tasks: runs.Tasks{"work": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }}}})
	b.work(r)
	run := b.begin(r, runs.Spec{Parallel: 1})
	b.await(r, run.ID, runs.StateDone)
}

// Of a run that is partly outside of a scope the bell tells nothing about the others.
func TestBellInScope(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 6)
	r := b.with(&runs.Options{Bell: tenancytest.NewMemoryBell(), Tasks: runs.Tasks{"work": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }}}})
	b.work(r)
	run := b.begin(r, runs.Spec{Parallel: 1})
	scope := tenancy.ByIDs("id-0000", "id-0001")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for p, err := range r.Within(scope).Follow(ctx, run.ID) {
		if err != nil {
			t.Fatal(err)
		}
		if p.Total != 2 {
			t.Errorf("got %+v, want the two tenants of the scope", p.Counts)
		}
	}
}
