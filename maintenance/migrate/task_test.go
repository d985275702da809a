package migrate_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A run goes up to the latest version of the program that planned it. A program that lacks
// migrations leaves it to others.
func TestOlderProgram(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		pool, cat, db := s.Pool(t, nil), tenancytest.NewCatalog(t, tenant), s.Database(t)
		program := func(files int) (*runs.Runner, *migrate.Migrator) {
			t.Helper()
			m := migrator(t, pool, tables(files, 0))
			r, err := runs.New(db, cat, &runs.Options{
				Poll: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
				Tasks: runs.Tasks{"migrate": m.Task(), "other": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }}},
			})
			if err == nil {
				err = r.Migrate(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			return r, m
		}
		work := func(r *runs.Runner) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- r.Run(ctx) }()
			t.Cleanup(func() {
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		}
		begin := func(r *runs.Runner, task string) *runs.Run {
			t.Helper()
			p, err := r.Plan(t.Context(), task, runs.Spec{})
			if err != nil {
				t.Fatal(err)
			}
			run, err := r.Start(t.Context(), p.ID)
			if err != nil {
				t.Fatal(err)
			}
			return run
		}
		done := func(r *runs.Runner, id string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			var last runs.Progress
			for p, err := range r.Follow(ctx, id) {
				if err != nil {
					t.Fatal(err)
				}
				last = p
			}
			if last.State != runs.StateDone {
				t.Fatalf("got %+v, want the run done", last.Run)
			}
		}
		older, old := program(2)
		newer, _ := program(3)
		run := begin(newer, "migrate")
		if run.Spec.Params["to"] != "3" {
			t.Errorf("got parameters %v, want version 3", run.Spec.Params)
		}
		work(older)
		done(older, begin(older, "other").ID) // it has looked for work
		if got, err := older.Get(t.Context(), run.ID); err != nil || got.State != runs.StateRunning || got.Finished() != 0 {
			t.Errorf("with the older program alone: got %+v, %v, want it left to others", got, err)
		}
		work(newer)
		done(newer, run.ID)
		tenant, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(tenant.ID)})
		if err != nil {
			t.Fatal(err)
		}
		if st, err := old.Status(t.Context(), tenant); err != nil || st.Version != 3 {
			t.Errorf("got %+v, %v, want version 3", st, err)
		}
		done(newer, begin(older, "migrate").ID) // who is newer can do what is older
		if _, err := older.Plan(t.Context(), "migrate", runs.Spec{Params: tenancy.Params{"to": "3"}}); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("a plan up to a version that the program does not have: got %v, want ErrInvalid", err)
		}
		if err := old.Task().Do(t.Context(), tenant, tenancy.Attempt{Params: tenancy.Params{"to": "3"}}); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("a version that the program does not have: got %v, want ErrInvalid", err)
		}
	})
}
