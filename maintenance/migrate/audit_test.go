package migrate_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// told returns the actions and results of the entries about a tenant.
func told(trail *tenancytest.Audit, id tenancy.ID) (all []string) {
	for _, e := range trail.All() {
		if e.Tenant == id {
			all = append(all, e.Action+" "+string(e.Result))
		}
	}
	return all
}

// What the record does not show has an entry, written before; without the entry nothing is done.
func TestDestructionIsAudited(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool, tenant, trail := s.Pool(t, nil), s.Tenant(t, "acme"), &tenancytest.Audit{}
		with := func(a tenancy.Auditor, files int, broken int) *migrate.Migrator {
			t.Helper()
			m, err := migrate.New(pool, tables(files, broken), &migrate.Options{Audit: a})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorCommandLine, ID: "ann", Reason: "a test"})
		m := with(trail, 2, 0)
		if res, err := m.Redo(ctx, tenant); err != nil || len(res.Up) != 0 { // nothing to do, and nothing to tell
			t.Fatalf("got %+v, %v", res, err)
		}
		for _, do := range []func() error{
			func() error { return m.Up(ctx, tenant) },
			func() error { _, err := m.Redo(ctx, tenant); return err },
			func() error { _, err := m.Fresh(ctx, tenant); return err },
			func() error { _, err := m.Resume(ctx, tenant, 1); return err }, // there is nothing half
			func() error { _, err := m.Mark(ctx, tenant); return err },
		} {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := with(trail, 2, 1).Fresh(ctx, tenant); err == nil {
			t.Fatal("got no error of a migration that fails")
		}
		want := []string{"schema.redo done", "schema.fresh done", "schema.fresh done", "schema.fresh unknown"}
		if got := told(trail, tenant.ID); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, e := range trail.All() {
			if e.Actor.ID != "ann" || e.Actor.Reason != "a test" {
				t.Errorf("got the actor %+v", e.Actor)
			}
		}
		foreign := tenancytest.NewTenant("foreign")
		foreign.Placement = tenant.Placement
		if _, err := m.Fresh(ctx, foreign); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("another's database: got %v, want ErrForbidden", err)
		}
		if got, want := told(trail, foreign.ID), []string{"schema.fresh done", "schema.fresh denied"}; !slices.Equal(got, want) {
			t.Errorf("another's database: got %q, want %q", got, want)
		}

		if _, err := m.Fresh(ctx, tenant); err != nil {
			t.Fatal(err)
		}
		db, err := pool.For(ctx, tenant)
		if err == nil {
			_, err = db.Exec(`INSERT INTO t1 VALUES (1)`)
		}
		if err != nil {
			t.Fatal(err)
		}
		deaf := with(&tenancytest.Audit{Err: errors.New("the disk is full")}, 2, 0)
		for name, do := range map[string]func() error{
			"Fresh": func() error { _, err := deaf.Fresh(ctx, tenant); return err },
			"Redo":  func() error { _, err := deaf.Redo(ctx, tenant); return err },
		} {
			if err := do(); !errors.Is(err, tenancy.ErrUnavailable) {
				t.Errorf("%s without its entry: got %v, want ErrUnavailable", name, err)
			}
		}
		var n int
		if err := db.Get(&n, `SELECT COUNT(*) FROM t1`); err != nil || n != 1 {
			t.Errorf("got %d rows, %v, want the one that was there", n, err)
		}
		if st, err := m.Status(ctx, tenant); err != nil || st.Version != 2 {
			t.Errorf("got %+v, %v, want version 2 still", st, err)
		}
	})
}
