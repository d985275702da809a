package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// instances returns kits that share servers and catalog, as instances of one
// application do.
func (k *kit) instances(t *testing.T, n int) []*kit {
	t.Helper()
	all := make([]*kit, n)
	for i := range all {
		all[i] = &kit{k.server, k.server.Pool(t, nil), k.cat, k.db}
	}
	return all
}

// seeds counts the seeds of each tenant, and those that ran beside another or on
// a tenant that was not being provisioned.
type seeds struct {
	t   *testing.T
	cat *catalog.Catalog

	mu      sync.Mutex
	running map[tenancy.ID]int
	ran     map[tenancy.ID]int
}

func newSeeds(t *testing.T, cat *catalog.Catalog) *seeds {
	return &seeds{t: t, cat: cat, running: map[tenancy.ID]int{}, ran: map[tenancy.ID]int{}}
}

// seed inserts a row into the notes.
func (s *seeds) seed(pool *dbpool.Pool) func(context.Context, *tenancy.Tenant) error {
	return func(ctx context.Context, tenant *tenancy.Tenant) error {
		s.mu.Lock()
		s.running[tenant.ID]++
		s.ran[tenant.ID]++
		if n := s.running[tenant.ID]; n != 1 {
			s.t.Errorf("tenant %s: %d seeds at once, want 1", tenant.Slug, n)
		}
		s.mu.Unlock()
		now, err := s.cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(tenant.ID)})
		if err != nil || now.Status != tenancy.StatusProvisioning {
			s.t.Errorf("tenant %s while it is seeded: got %+v, %v, want status provisioning", tenant.Slug, now, err)
		}
		db, err := pool.DB(ctx)
		if err == nil {
			_, err = db.ExecContext(ctx, `INSERT INTO notes (id) SELECT COALESCE(MAX(id), 0) + 1 FROM notes`)
		}
		s.mu.Lock()
		s.running[tenant.ID]--
		s.mu.Unlock()
		return err
	}
}

// Three instances want the same tenants at start, as programs with Ensure in
// their main do.
func TestEnsureSeedsOnce(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		seeds := newSeeds(t, k.cat)
		const tenants = 6
		var wg sync.WaitGroup
		for _, instance := range k.instances(t, 3) {
			p := instance.life(t, makeNotes, seeds.seed(instance.pool))
			for i := range tenants {
				wg.Go(func() {
					got, err := p.Ensure(t.Context(), &tenancy.Tenant{Slug: fmt.Sprintf("t%d", i)})
					if err != nil || got.Status != tenancy.StatusActive {
						t.Errorf("Ensure: got %+v, %v, want an active tenant", got, err)
					}
				})
			}
		}
		wg.Wait()
		for i := range tenants {
			tenant, err := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: fmt.Sprintf("t%d", i)})
			if err != nil {
				t.Fatal(err)
			}
			k.dropLater(t, tenant)
			k.wantNotes(t, tenant, 1)
			if n := seeds.ran[tenant.ID]; n != 1 {
				t.Errorf("tenant %s: got %d seeds, want 1", tenant.Slug, n)
			}
		}
	})
}

func (k *kit) wantNotes(t *testing.T, tenant *tenancy.Tenant, want int) {
	t.Helper()
	db, err := k.pool.For(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.Get(&n, `SELECT COUNT(*) FROM notes`); err != nil || n != want {
		t.Errorf("tenant %s: got %d notes, %v, want %d", tenant.Slug, n, err, want)
	}
}

// The creator fails while another instance waits for it: the other does not
// inherit what is being removed, and makes the tenant itself.
func TestEnsureAfterACreatorThatFails(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		both := k.instances(t, 2)
		failed := errors.New("failed")
		waits := make(chan struct{})
		creator := both[0].life(t, makeNotes, func(ctx context.Context, _ *tenancy.Tenant) error {
			db, err := both[0].pool.DB(ctx)
			if err == nil {
				_, err = db.ExecContext(ctx, `INSERT INTO notes (id) VALUES (1)`)
			}
			if err != nil {
				t.Error(err)
			}
			close(waits)
			return failed
		})
		waiter := both[1].life(t, makeNotes, newSeeds(t, k.cat).seed(both[1].pool))
		var wg sync.WaitGroup
		k = both[1]
		wg.Go(func() {
			<-waits
			got, err := waiter.Ensure(t.Context(), &tenancy.Tenant{Slug: "acme"})
			if err != nil {
				t.Errorf("Ensure: %v", err)
				return
			}
			k.dropLater(t, got)
			k.wantNotes(t, got, 1)
		})
		if _, err := creator.Create(t.Context(), &tenancy.Tenant{Slug: "acme"}); !errors.Is(err, failed) {
			t.Errorf("Create: got %v, want the seed's error", err)
		}
		wg.Wait()
	})
}

// A context that ends while another instance works ends the wait.
func TestEnsureStopsWaiting(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		both := k.instances(t, 2)
		waiter := both[1].life(t, makeNotes, nil)
		creator := both[0].life(t, makeNotes, func(ctx context.Context, tenant *tenancy.Tenant) error {
			short, cancel := context.WithCancel(ctx)
			ended := make(chan error)
			go func() {
				_, err := waiter.Ensure(short, &tenancy.Tenant{Slug: tenant.Slug})
				ended <- err
			}()
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("Ensure: got %v, want context.Canceled", err)
			}
			return nil
		})
		got, err := creator.Create(t.Context(), &tenancy.Tenant{Slug: "acme"})
		if err != nil {
			t.Fatal(err)
		}
		k.wantServed(t, got)
	})
}

// Whoever creates a tenant was cut off in the middle of a migration or a seed.
// The next one starts with a new database.
func TestResumeAfterHalfTheWork(t *testing.T) {
	t.Parallel()
	const half = "-- +goose Up\nCREATE TABLE notes (id INTEGER NOT NULL PRIMARY KEY);\nCREATE TABLE more (id INTEGER);\n"
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		for _, died := range []string{"migration", "seed"} {
			t.Run(died, func(t *testing.T) {
				k := newKit(t, s)
				var id tenancy.ID
				var dies atomic.Bool
				seed := func(ctx context.Context, tenant *tenancy.Tenant) error {
					id = tenant.ID
					db, err := k.pool.DB(ctx)
					if err == nil {
						_, err = db.ExecContext(ctx, `INSERT INTO notes (id) VALUES (7)`)
					}
					if err == nil && died == "migration" { // as MariaDB leaves it
						_, err = db.ExecContext(ctx, `DELETE FROM tenancy_schema_version WHERE version_id > 0`)
					}
					if err == nil {
						dies.Store(true)
						err = errors.New("killed")
					}
					return err
				}
				p, err := lifecycle.New(mortalCatalog{k.cat, &dies}, mortalPool{k.pool, &dies}, k.migrator(t, half), &lifecycle.Options{Server: s.Name, Seed: seed})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := p.Create(t.Context(), &tenancy.Tenant{Slug: "acme"}); err == nil {
					t.Fatal("got no error of the process that died")
				}
				k = k.instances(t, 1)[0]
				got, err := k.life(t, half, nil).Ensure(t.Context(), &tenancy.Tenant{Slug: "acme"})
				if err != nil || got.ID != id {
					t.Fatalf("Ensure: got %+v, %v, want the tenant %s resumed", got, err, id)
				}
				k.wantServed(t, got)
				db, err := k.pool.For(t.Context(), got)
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Get(new(int), `SELECT COUNT(*) FROM tenancy_provisioning`); err == nil {
					t.Error("the table tenancy_provisioning stays in a tenant that is in service")
				}
			})
		}
	})
}

// mortalCatalog and mortalPool are those of a process that dies: it removes nothing
// any more.
type (
	mortalCatalog struct {
		*catalog.Catalog
		dead *atomic.Bool
	}
	mortalPool struct {
		*dbpool.Pool
		dead *atomic.Bool
	}
)

var errDied = errors.New("the process died")

func (c mortalCatalog) Delete(ctx context.Context, id tenancy.ID) error {
	if c.dead.Load() {
		return errDied
	}
	return c.Catalog.Delete(ctx, id)
}

func (p mortalPool) Drop(ctx context.Context, t *tenancy.Tenant) error {
	if p.dead.Load() {
		return errDied
	}
	return p.Pool.Drop(ctx, t)
}
