package analytics_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// sizer measures by a table; what is not in it cannot be measured.
type sizer struct {
	mu    sync.Mutex
	asked map[tenancy.ID]int
	sizes map[tenancy.ID]int64
}

func (s *sizer) Size(_ context.Context, t *tenancy.Tenant) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[t.ID]++
	n, ok := s.sizes[t.ID]
	if !ok {
		return 0, fmt.Errorf("%w: its server is down", tenancy.ErrUnavailable)
	}
	return n, nil
}

// Each database is measured in its turn, and one that cannot be holds up no other.
func TestSizes(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		var tenants []*tenancy.Tenant
		sizes := &sizer{asked: map[tenancy.ID]int{}, sizes: map[tenancy.ID]int64{}}
		for i := range 5 {
			tenant := tenancytest.NewTenant(fmt.Sprintf("t%d", i))
			tenant.Tags = []string{[]string{"eu", "us"}[i%2]}
			tenants = append(tenants, tenant)
			if i != 2 {
				sizes.sizes[tenant.ID] = int64(1000 * (i + 1))
			}
		}
		keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, tenants...), &analytics.KeeperOptions{Sizes: sizes})
		if err != nil {
			t.Fatal(err)
		}
		for range 6 { // on a slow machine one time measures one
			if err := keeper.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, tenant := range tenants {
			if n := sizes.asked[tenant.ID]; n != 1 {
				t.Errorf("%s: measured %d times, want once in 15 minutes", tenant.Slug, n)
			}
		}
		reports := newReports(t, store)
		o, err := reports.Overview(t.Context(), tenancy.AllTenants())
		if err != nil {
			t.Fatal(err)
		}
		if s := o.StorageUsage; s.Total == nil || s.Total.Value != 12_000 || !s.Total.Partial || len(s.Tenants) != 4 || s.Tenants[0].ID != tenants[4].ID {
			t.Errorf("got %+v, want 12,000 bytes of four, one of which is not known", s)
		}
		o, err = reports.Overview(t.Context(), tenancy.ByTags("us"))
		if err != nil || o.StorageUsage.Total.Value != 6000 || o.StorageUsage.Total.Partial || o.TotalDatabases.Value != 2 {
			t.Errorf("within a scope: got %+v, %v, want 6,000 bytes", o.StorageUsage, err)
		}
		one, err := reports.Tenant(t.Context(), tenancy.AllTenants(), tenants[0].ID, analytics.Period{})
		if err != nil || one.Usage[analytics.FigureStorage] == nil || one.Usage[analytics.FigureStorage].Value != 1000 || one.Usage[analytics.FigureStorage].MeasuredAt.IsZero() {
			t.Errorf("a tenant: got %+v, %v", one, err)
		}
	})
}

// The pool measures real databases.
func TestSizesOfPool(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		pool := s.Pool(t, &dbpool.Options{})
		db, err := pool.For(t.Context(), tenant)
		if err == nil {
			_, err = db.ExecContext(t.Context(), `CREATE TABLE x (y INTEGER)`)
		}
		store, err2 := analytics.NewMemory(nil)
		keeper, err3 := analytics.NewKeeper(store, tenancytest.NewCatalog(t, tenant), &analytics.KeeperOptions{Sizes: pool})
		for _, err := range []error{err, err2, err3, keeper.Keep(t.Context())} {
			if err != nil {
				t.Fatal(err)
			}
		}
		rows, err := store.Tenants(t.Context(), &analytics.TenantsQuery{Scope: tenancy.AllTenants(), Limit: 1})
		if err != nil || len(rows) != 1 || rows[0].Storage <= 0 {
			t.Errorf("got %+v, %v, want a size", rows, err)
		}
	})
}

// roster lists tenants in ascending order of ID, as a catalog does.
type roster []*tenancy.Tenant

func (r roster) List(_ context.Context, f tenancy.Filter) (page []*tenancy.Tenant, _ error) {
	for _, t := range r {
		if len(f.IDs) == 0 || slices.Contains(f.IDs, t.ID) {
			page = append(page, t)
		}
	}
	slices.SortFunc(page, func(a, b *tenancy.Tenant) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return page, nil
}

// slow is a sizer that takes its time.
type slow struct{ asked map[tenancy.ID]int }

func (s slow) Size(_ context.Context, t *tenancy.Tenant) (int64, error) {
	time.Sleep(400 * time.Millisecond)
	s.asked[t.ID]++
	return 1, nil
}

// Where there are more databases than can be measured in time, each has its turn, and a new one is first, whatever its ID is.
func TestSizesInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		var all roster
		add := func(slug string) tenancy.ID {
			tenant := tenancytest.NewTenant(slug)
			tenant.ID = tenancy.ID(slug)
			all = append(all, tenant)
			return tenant.ID
		}
		for i := range 150 {
			add(fmt.Sprintf("t%03d", i))
		}
		sizes := slow{map[tenancy.ID]int{}}
		keep := func() {
			t.Helper()
			keeper, err := analytics.NewKeeper(store, all, &analytics.KeeperOptions{Sizes: sizes})
			if err == nil {
				err = keeper.Keep(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		for range 60 {
			keep()
		}
		fresh := add("z")
		keep()
		if sizes.asked[fresh] != 1 {
			t.Error("the new database was not measured first")
		}
		for range 60 {
			keep()
		}
		for _, tenant := range all {
			if sizes.asked[tenant.ID] == 0 {
				t.Errorf("%s was never measured", tenant.ID)
			}
		}
	})
}
