package lifecycle_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

const makeNotes = "-- +goose Up\nCREATE TABLE notes (id INTEGER NOT NULL PRIMARY KEY);\n"

// kit is what a host wires together, on one server.
type kit struct {
	server *tenancytest.Server
	pool   *dbpool.Pool
	cat    *catalog.Catalog
	db     *sqlx.DB // the catalog's
}

func newKit(t *testing.T, s *tenancytest.Server) *kit {
	t.Helper()
	// Not a handle of the pool, which is the handle of one tenant.
	c, err := s.Engine.Connector(s.Tenant(t, "catalog").Placement.Database)
	if err != nil {
		t.Fatal(err)
	}
	db := sqlx.NewDb(sql.OpenDB(c), s.Engine.DriverName())
	db.SetMaxOpenConns(4)
	t.Cleanup(func() { _ = db.Close() })
	cat, err := catalog.New(db, nil)
	if err == nil {
		err = cat.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return &kit{s, s.Pool(t, nil), cat, db}
}

func (k *kit) life(t *testing.T, migration string, seed func(context.Context, *tenancy.Tenant) error) *lifecycle.Lifecycle {
	t.Helper()
	p, err := lifecycle.New(k.cat, k.pool, k.migrator(t, migration), &lifecycle.Options{Server: k.server.Name, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (k *kit) migrator(t *testing.T, migration string) *migrate.Migrator {
	t.Helper()
	m, err := migrate.New(k.pool, fstest.MapFS{"00001_notes.sql": {Data: []byte(migration)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// dropLater removes a tenant's database when the test ends.
func (k *kit) dropLater(t *testing.T, tenant *tenancy.Tenant) {
	t.Cleanup(func() {
		gone := tenant.Clone()
		gone.Status = tenancy.StatusArchived
		_ = k.pool.Drop(context.WithoutCancel(t.Context()), gone)
	})
}

func (k *kit) wantServed(t *testing.T, tenant *tenancy.Tenant) {
	t.Helper()
	k.dropLater(t, tenant)
	found, err := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: tenant.Slug})
	if err != nil || found.Status != tenancy.StatusActive {
		t.Fatalf("got %+v, %v, want an active tenant", found, err)
	}
	db, err := k.pool.For(t.Context(), found)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.Get(&n, `SELECT COUNT(*) FROM notes`); err != nil || n != 0 {
		t.Errorf("got %d notes, %v, want the table made by the migration", n, err)
	}
}

// wantNothing checks that neither record nor database of a tenant is there.
func (k *kit) wantNothing(t *testing.T, id tenancy.ID) {
	t.Helper()
	if _, err := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(id)}); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("the record: got %v, want ErrNotFound", err)
	}
	tenant := &tenancy.Tenant{ID: id, Placement: tenancy.Placement{Server: k.server.Name, Database: "tenant_" + string(id)}}
	if ok, err := k.pool.Exists(t.Context(), tenant); ok || err != nil {
		t.Errorf("the database exists: got %v, %v, want false", ok, err)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		seeded := 0
		p := k.life(t, makeNotes, func(ctx context.Context, tenant *tenancy.Tenant) error {
			seeded++
			now, err := k.cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(tenant.ID)})
			if err != nil || now.Status != tenancy.StatusProvisioning {
				t.Errorf("while seeding: got %v, %v, want status provisioning", now, err)
			}
			db, err := k.pool.DB(ctx) // the context carries the tenant
			if err == nil {
				_, err = db.ExecContext(ctx, `SELECT id FROM notes`)
			}
			return err
		})
		got, err := p.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Name: "Acme", Status: tenancy.StatusBlocked})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != tenancy.StatusActive || got.Name != "Acme" || got.Placement.Database != "tenant_"+string(got.ID) || seeded != 1 {
			t.Errorf("got %+v, seeded %d times, want an active tenant with a database, seeded once", got, seeded)
		}
		k.wantServed(t, got)
	})
}

func TestCreateFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken seed")
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		id := tenancy.NewID()
		tenant := &tenancy.Tenant{ID: id, Slug: "acme", Domains: []string{"acme.example"}}

		_, err := k.life(t, makeNotes+"SELEKT 1;\n", nil).Create(t.Context(), tenant)
		if err == nil || !strings.Contains(err.Error(), "00001_notes.sql") || !strings.Contains(err.Error(), string(id)) {
			t.Errorf("a broken migration: got %v, want an error that names file and tenant", err)
		}
		k.wantNothing(t, id)

		seed := func(context.Context, *tenancy.Tenant) error { return broken }
		if _, err := k.life(t, makeNotes, seed).Create(t.Context(), tenant); !errors.Is(err, broken) {
			t.Errorf("a broken seed: got %v, want its error", err)
		}
		k.wantNothing(t, id)

		func() {
			defer func() {
				if p := recover(); p != "oh" {
					t.Errorf("got panic %v, want the seed's", p)
				}
			}()
			seed := func(context.Context, *tenancy.Tenant) error { panic("oh") }
			_, _ = k.life(t, makeNotes, seed).Create(t.Context(), tenant)
		}()
		k.wantNothing(t, id)

		ctx, cancel := context.WithCancel(t.Context())
		seed = func(ctx context.Context, _ *tenancy.Tenant) error { cancel(); return ctx.Err() }
		if _, err := k.life(t, makeNotes, seed).Create(ctx, tenant); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled in the middle: got %v, want context.Canceled", err)
		}
		k.wantNothing(t, id)

		got, err := k.life(t, makeNotes, nil).Create(t.Context(), tenant)
		if err != nil {
			t.Fatalf("after all that: %v", err)
		}
		k.wantServed(t, got)
	})
}

func TestCreateLeavesAnExistingDatabaseAlone(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		other := s.Tenant(t, "other")
		db, err := k.pool.For(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExec(`CREATE TABLE precious (id INT)`)
		_, err = k.life(t, makeNotes, nil).Create(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: other.Placement})
		if !errors.Is(err, tenancy.ErrExists) {
			t.Errorf("got %v, want ErrExists", err)
		}
		if err := db.Get(new(int), `SELECT COUNT(*) FROM precious`); err != nil {
			t.Errorf("the other's table: %v", err)
		}
		if _, err := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"}); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("the record: got %v, want ErrNotFound", err)
		}
	})
}

func TestCreateOnce(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		p := k.life(t, makeNotes, nil)
		made := make([]*tenancy.Tenant, 8)
		errs := make([]error, len(made))
		ids := make([]tenancy.ID, len(made))
		var wg sync.WaitGroup
		for i := range made {
			ids[i] = tenancy.NewID()
			wg.Go(func() { made[i], errs[i] = p.Create(t.Context(), &tenancy.Tenant{ID: ids[i], Slug: "acme"}) })
		}
		wg.Wait()
		won := 0
		for i, tenant := range made {
			if errs[i] == nil {
				won++
				k.wantServed(t, tenant)
				continue
			}
			if !errors.Is(errs[i], tenancy.ErrExists) {
				t.Errorf("got %v, want ErrExists", errs[i])
			}
			k.wantNothing(t, ids[i])
		}
		if won != 1 {
			t.Errorf("got %d creations of one slug, want 1", won)
		}
	})
}

// A process died in the middle, at each step.
func TestResume(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		p := k.life(t, makeNotes, nil)
		for slug, died := range map[string]func(tenant *tenancy.Tenant) error{
			"before-the-database": func(*tenancy.Tenant) error { return nil },
			"before-the-schema":   func(tenant *tenancy.Tenant) error { return k.pool.Create(t.Context(), tenant) },
			"before-the-marker": func(tenant *tenancy.Tenant) error {
				if err := k.pool.Create(t.Context(), tenant); err != nil {
					return err
				}
				db, err := k.pool.For(t.Context(), tenant)
				if err == nil {
					_, err = db.Exec(`DROP TABLE tenancy_marker`)
				}
				return err
			},
			"before-it-was-active": func(tenant *tenancy.Tenant) error {
				if err := k.pool.Create(t.Context(), tenant); err != nil {
					return err
				}
				m, err := migrate.New(k.pool, fstest.MapFS{"00001_notes.sql": {Data: []byte(makeNotes)}}, nil)
				if err != nil {
					return err
				}
				return m.Up(t.Context(), tenant)
			},
		} {
			id := tenancy.NewID()
			tenant, err := k.cat.Create(t.Context(), &tenancy.Tenant{ID: id, Slug: slug,
				Placement: tenancy.Placement{Server: s.Name, Database: "tenant_" + string(id)}})
			if err == nil {
				err = died(tenant)
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Resume(t.Context(), id)
			if err != nil {
				t.Errorf("%s: %v", slug, err)
				continue
			}
			k.wantServed(t, got)
			if _, err := p.Resume(t.Context(), id); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%s: Resume of an active tenant: got %v, want ErrInvalid", slug, err)
			}
		}
		if _, err := p.Resume(t.Context(), "nobody"); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("Resume of nobody: got %v, want ErrNotFound", err)
		}
	})
}

// Somebody else made the tenant active meanwhile: a step of ours
// that fails afterwards removes nothing.
func TestUndoSparesATenantThatIsServed(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	k := newKit(t, s)
	failed := errors.New("failed")
	_, err := k.life(t, makeNotes, func(ctx context.Context, tenant *tenancy.Tenant) error {
		if _, err := k.cat.SetStatus(ctx, tenant.ID, tenancy.StatusActive); err != nil {
			t.Error(err)
		}
		return failed
	}).Create(t.Context(), &tenancy.Tenant{Slug: "acme"})
	if !errors.Is(err, failed) {
		t.Errorf("got %v, want the seed's error", err)
	}
	found, err := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	k.wantServed(t, found)
}

// A creation that fails after another process has made its database, and was killed, leaves nothing.
func TestUndoOfADatabaseThatOthersMade(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		d := &beaten{Pool: k.pool}
		l, err := lifecycle.New(k.cat, d, k.migrator(t, makeNotes), &lifecycle.Options{Server: s.Name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Ensure(t.Context(), &tenancy.Tenant{Slug: "acme"}); !errors.Is(err, errFault) {
			t.Errorf("got %v, want the fault", err)
		}
		k.dropLater(t, d.made)
		k.wantNothing(t, d.made.ID)
	})
}

// beaten are databases that another process makes first, and that cannot be reached then.
type beaten struct {
	*dbpool.Pool
	made *tenancy.Tenant
}

func (d *beaten) Create(ctx context.Context, t *tenancy.Tenant) error {
	d.made = t
	if err := d.Pool.Create(ctx, t); err != nil {
		return err
	}
	return d.Pool.Create(ctx, t)
}

func (d *beaten) For(context.Context, *tenancy.Tenant) (*sqlx.DB, error) { return nil, errFault }

func TestConstructors(t *testing.T) {
	t.Parallel()
	k := newKit(t, tenancytest.NewServer(t, "sqlite"))
	if _, err := lifecycle.New(k.cat, k.pool, nil, nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no migrator: got %v, want ErrInvalid", err)
	}
	if _, err := migrate.New(k.pool, nil, nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no files: got %v, want ErrInvalid", err)
	}
	if _, err := migrate.New(k.pool, fstest.MapFS{}, &migrate.Options{Table: "x; DROP TABLE y"}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("odd table: got %v, want ErrInvalid", err)
	}
}

// several are databases on two servers.
type several struct{ *dbpool.Pool }

func (s several) Servers() []string { return append(s.Pool.Servers(), "far") }

// The server of new tenants is one that there is: the only one, unless the options or the placement name it.
func TestServerOfNewTenants(t *testing.T) {
	t.Parallel()
	k := newKit(t, tenancytest.NewServer(t, "sqlite"))
	m := k.migrator(t, makeNotes)
	if _, err := lifecycle.New(k.cat, k.pool, m, &lifecycle.Options{Server: "typo"}); !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), k.server.Name) {
		t.Errorf("an unknown server: got %v, want ErrInvalid and the servers that there are", err)
	}
	for _, opts := range []*lifecycle.Options{nil, {}} {
		l, err := lifecycle.New(k.cat, k.pool, m, opts)
		if err != nil {
			t.Fatal(err)
		}
		made, err := l.Create(t.Context(), &tenancy.Tenant{Slug: fmt.Sprintf("one-%t", opts == nil)})
		if err != nil || made.Placement.Server != k.server.Name {
			t.Errorf("one server: got %+v, %v, want the tenant there", made, err)
		}
	}
	l, err := lifecycle.New(k.cat, several{k.pool}, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := l.Create(t.Context(), &tenancy.Tenant{Slug: "acme"})
	_, err2 := l.Adopt(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: tenancy.Placement{Database: "acme"}})
	_, err3 := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
	if !errors.Is(err1, tenancy.ErrInvalid) || !errors.Is(err2, tenancy.ErrInvalid) || !errors.Is(err3, tenancy.ErrNotFound) {
		t.Errorf("several servers: got %v, %v and the record %v, want ErrInvalid and no record", err1, err2, err3)
	}
	if _, err := l.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: tenancy.Placement{Server: k.server.Name}}); err != nil {
		t.Errorf("several servers, and one is named: %v", err)
	}
}

func TestEnsure(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, testEnsure)
}

func testEnsure(t *testing.T, s *tenancytest.Server) {
	k := newKit(t, s)
	p := k.life(t, makeNotes, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := p.Ensure(t.Context(), &tenancy.Tenant{Slug: "acme"}); err != nil {
				t.Errorf("Ensure: %v", err)
			}
		})
	}
	wg.Wait()
	acme, err := p.Ensure(t.Context(), &tenancy.Tenant{Slug: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	k.wantServed(t, acme)

	if _, err := k.cat.SetStatus(t.Context(), acme.ID, tenancy.StatusSuspended); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Ensure(t.Context(), &tenancy.Tenant{Slug: "acme"}); err != nil || got.Status != tenancy.StatusSuspended {
		t.Errorf("a suspended tenant: got %+v, %v, want it as it is", got, err)
	}
	id := tenancy.NewID()
	if _, err := k.cat.Create(t.Context(), &tenancy.Tenant{ID: id, Slug: "killed",
		Placement: tenancy.Placement{Server: s.Name, Database: "tenant_" + string(id)}}); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Ensure(t.Context(), &tenancy.Tenant{Slug: "killed"}); err != nil || got.Status != tenancy.StatusActive || got.ID != id {
		t.Errorf("a creation that was killed: got %+v, %v, want it resumed", got, err)
	} else {
		k.dropLater(t, got)
	}
	for _, in := range []*tenancy.Tenant{nil, {Slug: "No Slug"}} {
		if _, err := p.Ensure(t.Context(), in); err == nil {
			t.Errorf("Ensure(%v): got no error", in)
		}
	}
}

// What is not found is something of the application's, and not the tenant: Ensure does not try again.
func TestEnsureWhoseSeedFindsNothing(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		id := tenancy.NewID()
		left, err := k.cat.Create(t.Context(), &tenancy.Tenant{
			ID: id, Slug: "acme", Status: tenancy.StatusProvisioning, Placement: tenancy.Placement{Server: s.Name, Database: "tenant_" + string(id)},
		})
		if err != nil {
			t.Fatal(err)
		}
		k.dropLater(t, left)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		seeds := 0
		l := k.life(t, makeNotes, func(context.Context, *tenancy.Tenant) error {
			if seeds++; seeds > 3 {
				cancel()
			}
			return fmt.Errorf("%w: the plan of the tenant", tenancy.ErrNotFound)
		})
		if _, err := l.Ensure(ctx, &tenancy.Tenant{Slug: "acme"}); !errors.Is(err, tenancy.ErrNotFound) || !strings.Contains(err.Error(), "the plan of the tenant") || seeds != 1 {
			t.Errorf("got %v after %d seeds, want the seed's error after one", err, seeds)
		}
		if now, err := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"}); err != nil || now.ID != id || now.Status != tenancy.StatusProvisioning {
			t.Errorf("got %+v, %v, want the record as it was", now, err)
		}
	})
}

// Two instances: one creates, the other sees the record and resumes. Whatever the
// order of their steps, the tenant is served in the end or nothing is left.
func TestCreateAndResumeAtOnce(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		other := &kit{s, s.Pool(t, nil), k.cat, k.db}
		create, resume := k.life(t, makeNotes, nil), other.life(t, makeNotes, nil)
		for i := range 8 {
			slug := fmt.Sprintf("t%d", i)
			done := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				defer close(done)
				if _, err := create.Create(t.Context(), &tenancy.Tenant{Slug: slug}); err != nil {
					t.Errorf("Create: %v", err)
				}
			})
			wg.Go(func() {
				for {
					found, err := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: slug})
					if err == nil {
						if _, err := resume.Resume(t.Context(), found.ID); err != nil && !errors.Is(err, tenancy.ErrInvalid) {
							t.Errorf("Resume: %v", err)
						}
						return
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
			wg.Wait()
			found, err := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: slug})
			if err != nil {
				t.Fatal(err)
			}
			k.wantServed(t, found)
		}
	})
}

// The record is deleted while the tenant is made.
func TestRecordDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	k := newKit(t, tenancytest.NewServer(t, "sqlite"))
	id := tenancy.NewID()
	p := k.life(t, makeNotes, func(ctx context.Context, tenant *tenancy.Tenant) error { return k.cat.Delete(ctx, tenant.ID) })
	if _, err := p.Create(t.Context(), &tenancy.Tenant{ID: id, Slug: "acme"}); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("Create: got %v, want ErrNotFound", err)
	}
	k.wantNothing(t, id)
}

// A database that was there before, even one that is marked with the very ID,
// survives a creation: somebody may have deleted a record alone.
func TestCreateSparesTheDatabaseOfADeletedRecord(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		old := s.Tenant(t, "old")
		db, err := k.pool.For(t.Context(), old)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExec(`CREATE TABLE precious (id INT)`)
		again := &tenancy.Tenant{ID: old.ID, Slug: "again", Placement: old.Placement}
		for _, migration := range []string{makeNotes, "-- +goose Up\nSELEKT 1;\n"} {
			if _, err := k.life(t, migration, nil).Create(t.Context(), again); !errors.Is(err, tenancy.ErrExists) {
				t.Errorf("Create: got %v, want ErrExists", err)
			}
		}
		// Resume takes it for the creation's own, and removes it in no case.
		if _, err := k.cat.Create(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		seed := func(ctx context.Context, tenant *tenancy.Tenant) error { return k.cat.Delete(ctx, tenant.ID) }
		if _, err := k.life(t, makeNotes, seed).Resume(t.Context(), old.ID); err == nil {
			t.Error("Resume of a tenant whose record goes meanwhile: got no error")
		}
		if err := db.Get(new(int), `SELECT COUNT(*) FROM precious`); err != nil {
			t.Errorf("the table from before: %v", err)
		}
	})
}
