package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// One server under two names, and its read replica: the databases are there once.
func TestDoctorKnowsMachines(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		w := newWard(t, s)
		replicas := []string{"replica"}
		if s.Name == "sqlite" { // which has none
			replicas = nil
		}
		pool, err := dbpool.New(map[string]driver.Engine{"alias": s.Engine, s.Name: s.Engine, "replica": s.Engine}, &dbpool.Options{
			Servers: map[string]dbpool.ServerOptions{"alias": {BudgetOf: s.Name}, s.Name: {Replicas: replicas}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pool.Close() })
		m, err := migrate.New(pool, fstest.MapFS{"00001_notes.sql": {Data: []byte(makeNotes)}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		life, err := lifecycle.New(w.cat, &replicated{pool, s.Name}, m, &lifecycle.Options{Server: s.Name})
		if err != nil {
			t.Fatal(err)
		}
		here := w.make(t, "here")
		there := w.make(t, "there")
		w.edit(t, there.ID, func(t *tenancy.Tenant) { t.Placement.Server = "alias" })
		lost := w.make(t, "lost")
		w.remove(t, lost.ID)

		of := []tenancy.ID{here.ID, there.ID, lost.ID}
		var found []lifecycle.Finding
		look := func(mend lifecycle.FindingKind) {
			t.Helper()
			found = nil
			_, err := life.Doctor(t.Context(), &lifecycle.DoctorOptions{Mend: mend, Audit: only{lost.ID}, Found: func(f lifecycle.Finding) {
				if slices.Contains(of, f.Tenant) || f.Kind == lifecycle.FindServer {
					found = append(found, f)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		look("")
		if len(found) != 1 || found[0].Kind != lifecycle.FindOrphan || found[0].Server != s.Name || found[0].Tenant != lost.ID {
			t.Errorf("got %+v, want one orphan on %s", found, s.Name)
		}
		if got := orphans(t, life, of...); len(got) != 1 || got[0].Server != s.Name {
			t.Errorf("got %+v, want one orphan on %s", got, s.Name)
		}
		onReplica := lifecycle.Orphan{Server: "replica", Database: lost.Placement.Database, Tenant: lost.ID}
		if err := life.RemoveOrphan(t.Context(), onReplica); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("RemoveOrphan on the replica: got %v, want ErrInvalid", err)
		}
		if !w.exists(t, lost) {
			t.Fatal("the orphan was dropped on the replica")
		}
		look(lifecycle.FindOrphan)
		if len(found) != 1 || !found[0].Mended || w.exists(t, lost) {
			t.Errorf("got %+v, want one orphan that is mended", found)
		}
		if look(""); len(found) != 0 {
			t.Errorf("got %+v, want nothing", found)
		}
	})
}

// replicated is a pool with a server called replica, also where the engine has none.
type replicated struct {
	*dbpool.Pool
	primary string
}

func (p *replicated) Machine(server string) (machine string, replica bool) {
	if server == "replica" {
		return p.primary, true
	}
	return p.Pool.Machine(server)
}

// A read replica is no server of new tenants, and leaves the only other one the default.
func TestServerOfNewTenantsWithReplicas(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	k := newKit(t, s)
	pool, err := dbpool.New(map[string]driver.Engine{s.Name: s.Engine, "replica": s.Engine}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	m := k.migrator(t, makeNotes)
	if _, err := lifecycle.New(k.cat, &replicated{pool, s.Name}, m, &lifecycle.Options{Server: "replica"}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a read replica: got %v, want ErrInvalid", err)
	}
	l, err := lifecycle.New(k.cat, &replicated{pool, s.Name}, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	made, err := l.Create(t.Context(), &tenancy.Tenant{Slug: "acme"})
	if err != nil || made.Placement.Server != s.Name {
		t.Errorf("got %+v, %v, want the tenant on %s", made, err, s.Name)
	}
}

// only is a trail of one tenant, because other tests have databases on the same server.
type only struct{ id tenancy.ID }

func (o only) Seen(_ context.Context, id tenancy.ID) (bool, error) { return id == o.id, nil }

// Another way to a server may lack the right to read databases of which a record says how
// they are reached.
func TestDoctorWithoutRights(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	w := newWard(t, s)
	here := w.make(t, "here")
	pool, err := dbpool.New(map[string]driver.Engine{"alias": s.Engine, s.Name: s.Engine}, &dbpool.Options{
		Servers: map[string]dbpool.ServerOptions{"alias": {BudgetOf: s.Name}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	life, err := lifecycle.New(w.cat, denied{pool}, w.migrator(t, makeNotes), &lifecycle.Options{Server: s.Name})
	if err != nil {
		t.Fatal(err)
	}
	_, err = life.Doctor(t.Context(), &lifecycle.DoctorOptions{Found: func(f lifecycle.Finding) {
		if f.Database == here.Placement.Database {
			t.Errorf("got %+v, want nothing of the tenant", f)
		}
	}})
	if err != nil {
		t.Error(err)
	}
}

// denied may read nothing under one name.
type denied struct{ *dbpool.Pool }

func (d denied) Owner(ctx context.Context, server, database string) (tenancy.ID, error) {
	if server == "alias" {
		return "", tenancy.ErrForbidden
	}
	return d.Pool.Owner(ctx, server, database)
}
