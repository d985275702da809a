package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// lifeWith is the life of tenants with those options and one migration.
func (k *kit) lifeWith(t *testing.T, opts lifecycle.Options) *lifecycle.Lifecycle {
	t.Helper()
	opts.Server = k.server.Name
	l, err := lifecycle.New(k.cat, k.pool, k.migrator(t, makeNotes), &opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// archived makes a tenant with a note in its database, and archives it.
func (k *kit) archived(t *testing.T, slug string) *tenancy.Tenant {
	t.Helper()
	l := k.life(t, makeNotes, k.seedOne)
	made, err := l.Create(t.Context(), &tenancy.Tenant{Slug: slug, Domains: []string{slug + ".example"}})
	if err == nil {
		k.dropLater(t, made)
		err = l.Archive(t.Context(), made.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k.now(t, made.ID)
}

// now returns the record as it is.
func (k *kit) now(t *testing.T, id tenancy.ID) *tenancy.Tenant {
	t.Helper()
	found, err := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// wantArchived checks that a tenant is as archived left it.
func (k *kit) wantArchived(t *testing.T, id tenancy.ID) {
	t.Helper()
	now := k.now(t, id)
	if now.Status != tenancy.StatusArchived {
		t.Errorf("got a tenant that is %s, want it archived", now.Status)
	}
	k.wantNotes(t, now, 1)
}

// because is a context of an actor that gives a reason.
func because(t *testing.T) context.Context {
	return tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada", Reason: "they asked for it"})
}

func TestPurge(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		other := k.archived(t, "other")
		acme := k.archived(t, "acme")
		notes, forgotten := 0, tenancy.ID("")
		l := k.lifeWith(t, lifecycle.Options{
			BeforePurge: func(ctx context.Context, tenant *tenancy.Tenant) error {
				db, err := k.pool.DB(ctx) // the context carries the tenant
				if err == nil {
					err = db.GetContext(ctx, &notes, `SELECT COUNT(*) FROM notes`)
				}
				if tenant.ID != acme.ID {
					t.Errorf("got tenant %s before the purge, want %s", tenant.ID, acme.ID)
				}
				return err
			},
			Forget: []func(context.Context, tenancy.ID) error{func(ctx context.Context, id tenancy.ID) error {
				if ok, err := k.pool.Exists(ctx, acme); ok || err != nil {
					t.Errorf("while others forget: got the database %v, %v, want none", ok, err)
				}
				if got := k.now(t, id); got.Status != tenancy.StatusPurging {
					t.Errorf("while others forget: got a tenant that is %s, want it purging", got.Status)
				}
				forgotten = id
				return nil
			}},
		})
		if err := l.Purge(because(t), acme.ID); !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), "720h") {
			t.Errorf("within the grace time: got %v, want ErrInvalid that names it", err)
		}
		if err := l.PurgeNow(t.Context(), acme.ID); !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), "reason") {
			t.Errorf("without a reason: got %v, want ErrInvalid that asks for one", err)
		}
		k.wantArchived(t, acme.ID)
		if err := l.PurgeNow(because(t), acme.ID); err != nil {
			t.Fatal(err)
		}
		k.wantNothing(t, acme.ID)
		if notes != 1 || forgotten != acme.ID {
			t.Errorf("got %d notes before the purge, and %q forgotten, want 1 and %s", notes, forgotten, acme.ID)
		}
		k.wantArchived(t, other.ID)
		if err := l.PurgeNow(because(t), acme.ID); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("again: got %v, want ErrNotFound", err)
		}
		again, err := l.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Domains: acme.Domains})
		if err != nil {
			t.Fatalf("the names of the purged: %v", err)
		}
		k.wantServed(t, again)
		if err := l.PurgeNow(because(t), again.ID); !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), "archive it first") {
			t.Errorf("an active tenant: got %v, want ErrInvalid", err)
		}
		k.wantServed(t, again)
	})
}

// The grace time counts from the last change of the record.
func TestPurgeAfterTheGraceTime(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ grace, early, late time.Duration }{
		"default": {0, 30*24*time.Hour - time.Second, 30 * 24 * time.Hour},
		"hour":    {time.Hour, time.Hour - time.Second, time.Hour},
		"none":    {-1, -1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cat, err := catalog.NewWithStore(tenancytest.NewStore(), nil)
				if err != nil {
					t.Fatal(err)
				}
				l, err := lifecycle.New(cat, noDatabases{}, noDatabases{}, &lifecycle.Options{Grace: tt.grace})
				if err != nil {
					t.Fatal(err)
				}
				acme, err := cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Status: tenancy.StatusActive})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(1000 * time.Hour)
				if err := l.Archive(t.Context(), acme.ID); err != nil {
					t.Fatal(err)
				}
				if tt.early >= 0 {
					time.Sleep(tt.early)
					if err := l.Purge(t.Context(), acme.ID); !errors.Is(err, tenancy.ErrInvalid) {
						t.Errorf("after %v: got %v, want ErrInvalid", tt.early, err)
					}
					time.Sleep(tt.late - tt.early)
				}
				if err := l.Purge(t.Context(), acme.ID); err != nil {
					t.Errorf("after %v: %v", tt.late, err)
				}
			})
		})
	}
}

// A hook that fails or panics keeps the purge from happening, and the tenant can come back.
func TestPurgeWhoseHooksFail(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		acme := k.archived(t, "acme")
		full := errors.New("the disk of the backups is full")
		fails := func(context.Context, *tenancy.Tenant) error { return full }
		panics := func(context.Context, *tenancy.Tenant) error { panic(full) }
		for name, opts := range map[string]lifecycle.Options{
			"drain fails": {Drain: fails}, "drain panics": {Drain: panics}, "backup fails": {BeforePurge: fails}, "backup panics": {BeforePurge: panics},
		} {
			if err := k.lifeWith(t, opts).PurgeNow(because(t), acme.ID); err == nil || !strings.Contains(err.Error(), full.Error()) {
				t.Errorf("%s: got %v, want the hook's error", name, err)
			}
			k.wantArchived(t, acme.ID)
		}
		l := k.lifeWith(t, lifecycle.Options{})
		if err := errors.Join(l.Restore(t.Context(), acme.ID), l.Activate(t.Context(), acme.ID)); err != nil {
			t.Fatal(err)
		}
		k.wantNotes(t, k.now(t, acme.ID), 1)
	})
}

// Somebody restores the tenant while the last backup is made: the restore wins.
func TestRestoreDuringPurge(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		acme := k.archived(t, "acme")
		instance := k.instances(t, 1)[0].lifeWith(t, lifecycle.Options{})
		l := k.lifeWith(t, lifecycle.Options{BeforePurge: func(ctx context.Context, tenant *tenancy.Tenant) error {
			return instance.Restore(ctx, tenant.ID)
		}})
		if err := l.PurgeNow(because(t), acme.ID); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("Purge: got %v, want ErrConflict", err)
		}
		if now := k.now(t, acme.ID); now.Status != tenancy.StatusInactive {
			t.Errorf("got a tenant that is %s, want it inactive", now.Status)
		}
		k.wantNotes(t, acme, 1)
	})
}

// Somebody restores the tenant while the last backup is made, works with it, and archives it again: what was written since is in no backup.
func TestRestoreAndArchiveDuringPurge(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		acme := k.archived(t, "acme")
		instance := k.instances(t, 1)[0].lifeWith(t, lifecycle.Options{})
		l := k.lifeWith(t, lifecycle.Options{BeforePurge: func(ctx context.Context, tenant *tenancy.Tenant) error {
			return errors.Join(instance.Restore(ctx, tenant.ID), instance.Activate(ctx, tenant.ID), instance.Archive(ctx, tenant.ID))
		}})
		if err := l.PurgeNow(because(t), acme.ID); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("Purge: got %v, want ErrConflict", err)
		}
		k.wantArchived(t, acme.ID)
		drained := k.lifeWith(t, lifecycle.Options{Drain: func(ctx context.Context, tenant *tenancy.Tenant) error { // such as maintenance that begins
			return instance.Rename(ctx, tenant.ID, "acme-2")
		}})
		if err := drained.PurgeNow(because(t), acme.ID); err != nil {
			t.Errorf("Purge with a drain that changes the record: %v", err)
		}
		k.wantNothing(t, acme.ID)
	})
}

// The same while the purge waits for connections, without any hook: the time of the tenant begins anew.
func TestRestoreAndArchiveWhileConnectionsAreInUse(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		acme := k.archived(t, "acme")
		instance := k.instances(t, 1)[0].lifeWith(t, lifecycle.Options{})
		did := false
		l, err := lifecycle.New(k.cat, meanwhile{k.pool, func(id tenancy.ID) {
			if ctx := t.Context(); !did {
				did = true
				if err := errors.Join(instance.Restore(ctx, id), instance.Activate(ctx, id), instance.Archive(ctx, id)); err != nil {
					t.Error(err)
				}
			}
		}}, k.migrator(t, makeNotes), &lifecycle.Options{Server: s.Name})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.PurgeNow(because(t), acme.ID); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
		k.wantArchived(t, acme.ID)
		if err := l.PurgeNow(because(t), acme.ID); err != nil {
			t.Errorf("again: %v", err)
		}
	})
}

// meanwhile does something whenever it is asked for a tenant's connections.
type meanwhile struct {
	*dbpool.Pool
	do func(tenancy.ID)
}

func (d meanwhile) InUse(id tenancy.ID) int {
	d.do(id)
	return d.Pool.InUse(id)
}

// A tenant whose creation was cut off is not archived, from where it could be restored and served without a database: it is purged as it is, with its database
// or without.
func TestPurgeHalfMade(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		var forgotten []tenancy.ID
		l := k.lifeWith(t, lifecycle.Options{Forget: []func(context.Context, tenancy.ID) error{
			func(_ context.Context, id tenancy.ID) error { forgotten = append(forgotten, id); return nil },
		}})
		for _, made := range []bool{true, false} {
			id := tenancy.NewID()
			half, err := k.cat.Create(t.Context(), &tenancy.Tenant{ID: id, Slug: "half", Placement: tenancy.Placement{Server: s.Name, Database: "tenant_" + string(id)}})
			if err == nil && made {
				k.dropLater(t, half)
				err = k.pool.Create(t.Context(), half)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.cat.SetStatus(t.Context(), id, tenancy.StatusArchived); !errors.Is(err, tenancy.ErrInvalid) {
				t.Fatalf("database %v: archive in the catalog: got %v, want ErrInvalid", made, err)
			}
			for name, step := range map[string]func(context.Context, tenancy.ID) error{"archive": l.Archive, "restore": l.Restore, "activate": l.Activate, "purge within the grace time": l.Purge} {
				if err := step(because(t), id); !errors.Is(err, tenancy.ErrInvalid) || k.now(t, id).Version != 1 {
					t.Errorf("database %v: %s: got %v, want ErrInvalid and no change", made, name, err)
				}
			}
			if err := l.PurgeNow(because(t), id); err != nil {
				t.Errorf("database %v: %v", made, err)
			}
			k.wantNothing(t, id)
			if len(forgotten) == 0 || forgotten[len(forgotten)-1] != id {
				t.Errorf("database %v: got %q forgotten, want it among them", made, forgotten)
			}
		}
	})
}

// purgedMeanwhile are databases of tenants whose purge begins, on another instance, while their databases are made.
type purgedMeanwhile struct {
	*dbpool.Pool
	cat *catalog.Catalog
}

func (d purgedMeanwhile) Create(ctx context.Context, t *tenancy.Tenant) error {
	_, err := d.cat.SetStatus(ctx, t.ID, tenancy.StatusPurging)
	return errors.Join(err, d.Pool.Create(ctx, t))
}

// Without locks a purge may begin while the tenant is made: the creation fails, takes back its database, and leaves the record to the purge.
func TestPurgeDuringCreation(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		l, err := lifecycle.New(k.cat, purgedMeanwhile{k.pool, k.cat}, k.migrator(t, makeNotes), &lifecycle.Options{Server: s.Name})
		if err != nil {
			t.Fatal(err)
		}
		for name, create := range map[string]func(tenancy.ID) error{
			"create": func(id tenancy.ID) error {
				_, err := l.Create(t.Context(), &tenancy.Tenant{ID: id, Slug: "acme"})
				return err
			},
			"resume": func(id tenancy.ID) error {
				_, err := k.cat.Create(t.Context(), &tenancy.Tenant{ID: id, Slug: "acme", Placement: tenancy.Placement{Server: s.Name, Database: "tenant_" + string(id)}})
				if err == nil {
					_, err = l.Resume(t.Context(), id)
				}
				return err
			},
		} {
			id := tenancy.NewID()
			tenant := &tenancy.Tenant{ID: id, Placement: tenancy.Placement{Server: s.Name, Database: "tenant_" + string(id)}}
			k.dropLater(t, tenant)
			if err := create(id); !errors.Is(err, tenancy.ErrConflict) {
				t.Errorf("%s: got %v, want ErrConflict", name, err)
			}
			if ok, err := k.pool.Exists(t.Context(), tenant); ok || err != nil || k.now(t, id).Status != tenancy.StatusPurging {
				t.Errorf("%s: got the database %v, %v, want it taken back and the record purging", name, ok, err)
			}
			if err := k.lifeWith(t, lifecycle.Options{}).Purge(t.Context(), id); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			k.wantNothing(t, id)
		}
	})
}

// A record that leads to another tenant's database: that stays, and so does the record.
func TestPurgeSparesAnothersDatabase(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		other := k.archived(t, "other")
		wrong, err := k.cat.Create(t.Context(), &tenancy.Tenant{Slug: "wrong", Status: tenancy.StatusArchived, Placement: other.Placement})
		if err != nil {
			t.Fatal(err)
		}
		hooks := 0
		hook := func(context.Context, *tenancy.Tenant) error { hooks++; return nil }
		if err := k.lifeWith(t, lifecycle.Options{BeforePurge: hook}).PurgeNow(because(t), wrong.ID); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("got %v, want ErrForbidden", err)
		}
		if now := k.now(t, wrong.ID); now.Status != tenancy.StatusArchived || hooks != 0 {
			t.Errorf("got a tenant that is %s after %d hooks, want it archived and none", now.Status, hooks)
		}
		// Even when the purge got past that: whoever drops a database looks at its mark.
		if _, err := k.cat.SetStatus(t.Context(), wrong.ID, tenancy.StatusPurging); err != nil {
			t.Fatal(err)
		}
		if err := k.lifeWith(t, lifecycle.Options{}).PurgeNow(because(t), wrong.ID); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("got %v, want ErrForbidden", err)
		}
		k.wantArchived(t, other.ID)
	})
}

// Several instances purge one tenant: the hook runs once, and nothing is left.
func TestPurgeAtOnce(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		acme := k.archived(t, "acme")
		var hooks atomic.Int32
		var wg sync.WaitGroup
		for _, instance := range k.instances(t, 4) {
			l := instance.lifeWith(t, lifecycle.Options{BeforePurge: func(context.Context, *tenancy.Tenant) error { hooks.Add(1); return nil }})
			wg.Go(func() {
				if err := l.PurgeNow(because(t), acme.ID); err != nil && !errors.Is(err, tenancy.ErrNotFound) {
					t.Errorf("Purge: %v", err)
				}
			})
		}
		wg.Wait()
		k.wantNothing(t, acme.ID)
		if n := hooks.Load(); n != 1 {
			t.Errorf("got %d last backups, want 1", n)
		}
	})
}

func TestPurgeWaitsForConnectionsInUse(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		acme := k.archived(t, "acme")
		db, err := k.pool.For(t.Context(), acme)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := db.Connx(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := k.pool.InUse(acme.ID); n != 1 {
			t.Errorf("got %d connections in use, want 1", n)
		}
		var ended atomic.Bool
		draining := make(chan struct{})
		l := k.lifeWith(t, lifecycle.Options{
			Drain: func(context.Context, *tenancy.Tenant) error { close(draining); return nil },
			BeforePurge: func(context.Context, *tenancy.Tenant) error {
				if n := k.pool.InUse(acme.ID); !ended.Load() || n != 0 {
					t.Errorf("before the purge: got %d connections in use, ended %v, want none", n, ended.Load())
				}
				return nil
			},
		})
		done := make(chan error)
		go func() { done <- l.PurgeNow(because(t), acme.ID) }()
		<-draining
		ended.Store(true)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		k.wantNothing(t, acme.ID)
	})
}

// busy has one connection in use, forever.
type busy struct{ noDatabases }

func (busy) InUse(tenancy.ID) int { return 1 }
func (busy) Forget(tenancy.ID)    {}

func TestPurgeDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cat, err := catalog.NewWithStore(tenancytest.NewStore(), nil)
		if err != nil {
			t.Fatal(err)
		}
		acme, err := cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Status: tenancy.StatusArchived})
		if err != nil {
			t.Fatal(err)
		}
		l, err := lifecycle.New(cat, busy{}, busy{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.PurgeNow(because(t), acme.ID); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		ctx, cancel := context.WithTimeout(because(t), time.Second)
		defer cancel()
		if err := l.PurgeNow(ctx, acme.ID); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context that ends: got %v, want DeadlineExceeded", err)
		}
		now, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(acme.ID)})
		if err != nil || now.Status != tenancy.StatusArchived {
			t.Errorf("got %+v, %v, want it archived", now, err)
		}
	})
}

// faults fails the step of that name, before it is done or after.
type faults struct {
	step  string
	after bool
	met   int
}

var errFault = fmt.Errorf("%w: the fault of this test", tenancy.ErrUnavailable)

func (f *faults) at(step string, do func() error) error {
	if step != f.step || f.met > 0 {
		return do()
	}
	f.met++
	if !f.after {
		return errFault
	}
	return errors.Join(do(), errFault)
}

type faultyCatalog struct {
	*catalog.Catalog
	*faults
}

func (c faultyCatalog) Edit(ctx context.Context, id tenancy.ID, change func(*tenancy.Tenant) error) (out *tenancy.Tenant, err error) {
	err = c.at("status", func() error { out, err = c.Catalog.Edit(ctx, id, change); return err })
	return out, err
}

func (c faultyCatalog) Delete(ctx context.Context, id tenancy.ID) error {
	return c.at("delete", func() error { return c.Catalog.Delete(ctx, id) })
}

type faultyPool struct {
	*dbpool.Pool
	*faults
}

func (p faultyPool) Exclusive(ctx context.Context, t *tenancy.Tenant, fn func(context.Context) error) error {
	return p.at("lock", func() error { return p.Pool.Exclusive(ctx, t, fn) })
}

func (p faultyPool) Owner(ctx context.Context, server, database string) (owner tenancy.ID, err error) {
	err = p.at("marker", func() error { owner, err = p.Pool.Owner(ctx, server, database); return err })
	return owner, err
}

func (p faultyPool) Release(ctx context.Context, t *tenancy.Tenant) error {
	return p.at("release", func() error { return p.Pool.Release(ctx, t) })
}

func (p faultyPool) Drop(ctx context.Context, t *tenancy.Tenant) error {
	return p.at("drop", func() error { return p.Pool.Drop(ctx, t) })
}

// Each step fails once, before and after it was done, as if the process had died
// there. Another instance goes on, and the end is always the same.
func TestPurgeResumes(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		other := k.archived(t, "other")
		for i, step := range []string{"lock", "marker", "drain", "backup", "status", "drop", "forget", "delete"} {
			for _, after := range []bool{false, true} {
				name := fmt.Sprintf("%s, after: %v", step, after)
				acme := k.archived(t, fmt.Sprintf("acme-%d-%v", i, after))
				f := &faults{step: step, after: after}
				forgotten := 0
				opts := &lifecycle.Options{
					Server:      s.Name,
					Drain:       func(context.Context, *tenancy.Tenant) error { return f.at("drain", func() error { return nil }) },
					BeforePurge: func(context.Context, *tenancy.Tenant) error { return f.at("backup", func() error { return nil }) },
					Forget: []func(context.Context, tenancy.ID) error{
						func(context.Context, tenancy.ID) error { return f.at("forget", func() error { return nil }) },
						func(context.Context, tenancy.ID) error { forgotten++; return nil },
					},
				}
				l, err := lifecycle.New(faultyCatalog{k.cat, f}, faultyPool{k.pool, f}, k.migrator(t, makeNotes), opts)
				if err != nil {
					t.Fatal(err)
				}
				if err := l.PurgeNow(because(t), acme.ID); !errors.Is(err, tenancy.ErrUnavailable) || f.met != 1 {
					t.Errorf("%s: got %v after %d faults, want the fault", name, err, f.met)
				}
				if !(step == "delete" && after) {
					begun := step == "drop" || step == "forget" || step == "delete" || (step == "status" || step == "lock") && after
					if now := k.now(t, acme.ID); begun != (now.Status == tenancy.StatusPurging) {
						t.Errorf("%s: got a tenant that is %s, want it purging: %v", name, now.Status, begun)
					} else if !begun {
						k.wantArchived(t, acme.ID)
					}
				}
				instance := k.instances(t, 1)[0]
				l, err = lifecycle.New(instance.cat, instance.pool, instance.migrator(t, makeNotes), opts)
				if err != nil {
					t.Fatal(err)
				}
				if err := l.PurgeNow(because(t), acme.ID); err != nil && !(step == "delete" && after && errors.Is(err, tenancy.ErrNotFound)) {
					t.Errorf("%s: again: %v", name, err)
				}
				k.wantNothing(t, acme.ID)
				if forgotten == 0 {
					t.Errorf("%s: nobody forgot the tenant", name)
				}
			}
		}
		k.wantArchived(t, other.ID)
	})
}

// A purger that is slow, without a lock of the tenant, meets a tenant that was made again under
// its ID: that one stays.
func TestPurgeOfATenantMadeAgain(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		acme := k.archived(t, "acme")
		ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ann", Reason: "it ended"})
		fast := k.life(t, makeNotes, nil)
		var made *tenancy.Tenant
		slow, err := lifecycle.New(k.cat, k.pool, k.migrator(t, makeNotes), &lifecycle.Options{
			Server: s.Name,
			Forget: []func(context.Context, tenancy.ID) error{func(ctx context.Context, id tenancy.ID) error {
				err := fast.Purge(ctx, id)
				if err == nil {
					made, err = k.cat.Create(ctx, &tenancy.Tenant{ID: id, Slug: "acme"}) // and its database is not there yet
				}
				return err
			}},
		})
		if err == nil {
			err = slow.PurgeNow(ctx, acme.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := k.now(t, acme.ID); !got.CreatedAt.Equal(made.CreatedAt) {
			t.Errorf("got %+v, want the new tenant", got)
		}
	})
}

// The server ends the session with which a purge looks at the database, as a shutdown does: the
// database is there, and so the record stays, until somebody purges the tenant again.
func TestPurgeWhoseSessionEnds(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	k := newKit(t, s)
	acme := k.archived(t, "acme")
	connect := func(change func(*pgx.ConnConfig)) *pgx.Conn {
		t.Helper()
		config, err := pgx.ParseConfig(s.DSN)
		if err != nil {
			t.Fatal(err)
		}
		change(config)
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
		return conn
	}
	server := connect(func(*pgx.ConnConfig) {})
	holder := connect(func(c *pgx.ConnConfig) { c.Database = acme.Placement.Database })
	pool := &watchedDrop{Pool: k.pool, before: func() {
		if _, err := holder.Exec(t.Context(), `BEGIN; LOCK TABLE public.tenancy_marker`); err != nil {
			t.Error(err)
		}
		go func() {
			for ended := 0; ended == 0 && t.Context().Err() == nil; {
				err := server.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'`,
					acme.Placement.Database).Scan(&ended)
				if err != nil {
					return
				}
			}
		}()
	}}
	l := lifeOf(t, pool, k, &lifecycle.Options{Server: s.Name, Grace: -1})
	if err := l.Purge(t.Context(), acme.ID); !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if now := k.now(t, acme.ID); now.Status != tenancy.StatusPurging {
		t.Errorf("got status %s, want purging", now.Status)
	}
	if there, err := k.pool.Exists(t.Context(), acme); err != nil || !there {
		t.Errorf("the database is there: got %v, %v, want true", there, err)
	}
	pool.before = func() {}
	if _, err := holder.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if err := l.Purge(t.Context(), acme.ID); err != nil {
		t.Fatal(err)
	}
	k.wantNothing(t, acme.ID)
}

// watchedDrop is a pool in which something happens before a database is dropped.
type watchedDrop struct {
	*dbpool.Pool
	before func()
}

func (d *watchedDrop) Drop(ctx context.Context, t *tenancy.Tenant) error {
	d.before()
	return d.Pool.Drop(ctx, t)
}
