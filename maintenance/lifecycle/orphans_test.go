package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// orphans returns the orphans of those tenants: other tests have databases on the
// same server.
func orphans(t *testing.T, p *lifecycle.Lifecycle, of ...tenancy.ID) (found []lifecycle.Orphan) {
	t.Helper()
	for o, err := range p.Orphans(t.Context()) {
		if slices.Contains(of, o.Tenant) {
			found = append(found, o)
			if err != nil {
				t.Errorf("orphan %+v: %v", o, err)
			}
		}
	}
	return found
}

func TestOrphans(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		p := k.life(t, makeNotes, nil)
		kept, err := p.Create(t.Context(), &tenancy.Tenant{Slug: "kept", Placement: tenancy.Placement{Database: "own-" + string(tenancy.NewID())}})
		if err != nil {
			t.Fatal(err)
		}
		k.dropLater(t, kept)
		lost, err := p.Create(t.Context(), &tenancy.Tenant{Slug: "lost"})
		if err == nil {
			_, err = k.cat.SetStatus(t.Context(), lost.ID, tenancy.StatusArchived)
		}
		if err == nil {
			_, err = k.cat.SetStatus(t.Context(), lost.ID, tenancy.StatusPurging)
		}
		if err == nil {
			err = k.cat.Delete(t.Context(), lost.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		want := lifecycle.Orphan{Server: s.Name, Database: lost.Placement.Database, Tenant: lost.ID}
		if got := orphans(t, p, kept.ID, lost.ID); len(got) != 1 || got[0] != want {
			t.Errorf("got %+v, want %+v alone", got, want)
		}
		if err := p.RemoveOrphan(t.Context(), want); err != nil {
			t.Errorf("RemoveOrphan: %v", err)
		}
		if err := p.RemoveOrphan(t.Context(), want); err != nil {
			t.Errorf("RemoveOrphan of one that is gone: %v", err)
		}
		if got := orphans(t, p, kept.ID, lost.ID); len(got) != 0 {
			t.Errorf("after it was removed: got %+v, want none", got)
		}
		for _, odd := range []struct {
			name string
			o    lifecycle.Orphan
			want error
		}{
			{"of a tenant with a record", lifecycle.Orphan{Server: s.Name, Database: kept.Placement.Database, Tenant: kept.ID}, tenancy.ErrConflict},
			{"marked as another's", lifecycle.Orphan{Server: s.Name, Database: kept.Placement.Database, Tenant: lost.ID}, tenancy.ErrForbidden},
		} {
			if err := p.RemoveOrphan(t.Context(), odd.o); !errors.Is(err, odd.want) {
				t.Errorf("%s: got %v, want %v", odd.name, err, odd.want)
			}
		}
		k.wantServed(t, kept)
	})
}

// A database that is dropped without a record has an entry, written before; without the entry it stays.
func TestRemoveOrphanIsAudited(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		lost := s.Tenant(t, "lost")
		o := lifecycle.Orphan{Server: s.Name, Database: lost.Placement.Database, Tenant: lost.ID}
		with := func(a tenancy.Auditor) *lifecycle.Lifecycle {
			t.Helper()
			l, err := lifecycle.New(k.cat, k.pool, k.migrator(t, makeNotes), &lifecycle.Options{Server: s.Name, Audit: a})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		if err := with(&tenancytest.Audit{Err: errors.New("the disk is full")}).RemoveOrphan(t.Context(), o); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("without its entry: got %v, want ErrUnavailable", err)
		}
		if there, err := k.pool.Exists(t.Context(), lost); err != nil || !there {
			t.Errorf("without its entry: got %v, %v, want the database there", there, err)
		}
		trail := &tenancytest.Audit{}
		ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorCommandLine, ID: "ann"})
		for range 2 { // the second has nothing to do, and nothing to tell
			if err := with(trail).RemoveOrphan(ctx, o); err != nil {
				t.Fatal(err)
			}
		}
		all := trail.All()
		if len(all) != 1 || all[0].Action != "tenant.remove_orphan" || all[0].Tenant != lost.ID || all[0].Object != s.Name+"/"+o.Database || all[0].Actor.ID != "ann" {
			t.Errorf("got %+v, want one entry of the database", all)
		}
	})
}

// What a process leaves that dies before a database of PostgreSQL has its name.
func TestOrphansThatWereBeingMade(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	k := newKit(t, s)
	p := k.life(t, makeNotes, nil)
	conn, err := pgx.Connect(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	id := tenancy.NewID()
	name := fmt.Sprintf("tenancy_making_%s_00000000", id)
	if _, err := conn.Exec(t.Context(), `CREATE DATABASE `+name); err != nil {
		t.Fatal(err)
	}
	got := orphans(t, p, id)
	if want := (lifecycle.Orphan{Server: s.Name, Database: name, Tenant: id}); len(got) != 1 || got[0] != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	other := got[0]
	other.Tenant = tenancy.NewID()
	if err := p.RemoveOrphan(t.Context(), other); !errors.Is(err, tenancy.ErrForbidden) {
		t.Errorf("RemoveOrphan for another tenant: got %v, want ErrForbidden", err)
	}
	if err := p.RemoveOrphan(t.Context(), got[0]); err != nil {
		t.Errorf("RemoveOrphan: %v", err)
	}
	if got := orphans(t, p, id); len(got) != 0 {
		t.Errorf("after it was removed: got %+v, want none", got)
	}
}

// With a tenant's database as the template nothing is made, and nothing stays.
func TestCreateFromATenantsDatabase(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	victim := s.Tenant(t, "victim")
	engine, err := postgres.New(s.DSN, &postgres.Options{Template: victim.Placement.Database})
	if err != nil {
		t.Fatal(err)
	}
	k := newKit(t, s)
	marked := &kit{s, poolOver(t, engine), k.cat, k.db}
	id := tenancy.NewID()
	if _, err := marked.life(t, makeNotes, nil).Create(t.Context(), &tenancy.Tenant{ID: id, Slug: "acme"}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("Create: got %v, want ErrInvalid", err)
	}
	k.wantNothing(t, id)

	// The template becomes a tenant's when it was looked at already.
	conn, err := pgx.Connect(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	template := "template_" + string(tenancy.NewID())
	if _, err := conn.Exec(t.Context(), `CREATE DATABASE `+template); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, _ = conn.Exec(context.WithoutCancel(t.Context()), `DROP DATABASE `+template+` WITH (FORCE)`)
	}()
	if engine, err = postgres.New(s.DSN, &postgres.Options{Template: template}); err != nil {
		t.Fatal(err)
	}
	later := &kit{s, poolOver(t, engine), k.cat, k.db}
	first, err := later.life(t, makeNotes, nil).Create(t.Context(), &tenancy.Tenant{Slug: "first"})
	if err != nil {
		t.Fatal(err)
	}
	later.wantServed(t, first)
	if err := s.Engine.(driver.Databases).Claim(t.Context(), template, "victim"); err != nil {
		t.Fatal(err)
	}
	if _, err := later.life(t, makeNotes, nil).Create(t.Context(), &tenancy.Tenant{ID: id, Slug: "acme"}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("Create: got %v, want ErrInvalid", err)
	}
	k.wantNothing(t, id)
	if got := orphans(t, k.life(t, makeNotes, nil), id); len(got) != 0 {
		t.Errorf("got %+v, want no copy of the template", got)
	}
}

func poolOver(t *testing.T, e driver.Engine) *dbpool.Pool {
	t.Helper()
	p, err := dbpool.New(map[string]driver.Engine{"postgres": e}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// Nobody knows whether the server made the database: the record stays, and whoever
// comes next goes on.
func TestCreateThatMayHaveLeftADatabase(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		for _, made := range []bool{false, true} {
			k := newKit(t, s)
			p, err := lifecycle.New(k.cat, silentPool{k.pool, made}, k.migrator(t, makeNotes), &lifecycle.Options{Server: s.Name})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Create(t.Context(), &tenancy.Tenant{Slug: "acme"}); err == nil {
				t.Fatal("Create: got no error")
			}
			got, err := k.life(t, makeNotes, nil).Ensure(t.Context(), &tenancy.Tenant{Slug: "acme"})
			if err != nil {
				t.Fatalf("Ensure: %v", err)
			}
			k.wantServed(t, got)
			var page []*tenancy.Tenant
			if page, err = k.cat.List(t.Context(), tenancy.Filter{}); err != nil || len(page) != 1 {
				t.Errorf("got %v, %v, want one record", page, err)
			}
		}
	})
}

// silentPool's server does not answer whether it made a database.
type silentPool struct {
	*dbpool.Pool
	made bool
}

func (p silentPool) Create(ctx context.Context, t *tenancy.Tenant) error {
	if p.made {
		if err := p.Pool.Create(ctx, t); err != nil {
			return err
		}
	}
	return tenancy.Wrap("dbpool.Pool.Create", t.ID, fmt.Errorf("%w: %w", tenancy.ErrUnavailable, &sqlkit.LeftError{Err: errors.New("no answer")}))
}
