package analytics_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// listerWith calls a function when a page was read.
type listerWith struct {
	analytics.Lister
	read func()
}

func (l listerWith) List(ctx context.Context, f tenancy.Filter) ([]*tenancy.Tenant, error) {
	page, err := l.Lister.List(ctx, f)
	l.read() // once: to measure sizes, the keeper lists again
	return page, err
}

// tenBytes is the size of every database.
type tenBytes struct{}

func (tenBytes) Size(context.Context, *tenancy.Tenant) (int64, error) { return 10, nil }

// A tenant that is forgotten while a keeper reads the catalog is gone after the next look; one of which usage is kept stays.
func TestForgottenWhileListed(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		store := migratedIn(t, db)
		purged, deleted, kept := tenancytest.NewTenant("purged"), tenancytest.NewTenant("deleted"), tenancytest.NewTenant("kept")
		purged.Placement.Database = "purged" // its size is measured in the same round
		batch := analytics.Batch{Tenants: []*tenancy.Tenant{deleted}, Parts: []analytics.Part{usageOf(deleted.ID, time.Now().Truncate(time.Minute), 5, 1, 1)}}
		if _, err := store.Write(t.Context(), &batch); err != nil {
			t.Fatal(err)
		}
		keep := func(read func(), tenants ...*tenancy.Tenant) {
			t.Helper()
			keeper, err := analytics.NewKeeper(store, listerWith{tenancytest.NewCatalog(t, tenants...), sync.OnceFunc(read)}, &analytics.KeeperOptions{Sizes: tenBytes{}})
			if err == nil {
				err = keeper.Keep(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		want := func(what string, want ...tenancy.ID) {
			t.Helper()
			var got []tenancy.ID
			if err := db.Select(&got, `SELECT id FROM tenancy_usage_tenants WHERE tenant_key > 0`); err != nil {
				t.Fatal(err)
			}
			got = slices.DeleteFunc(got, func(id tenancy.ID) bool { return id != purged.ID && id != deleted.ID && id != kept.ID })
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s: got the tenants %v, want %v", what, got, want)
			}
		}
		keep(func() {
			if err := store.Forget(t.Context(), purged.ID); err != nil {
				t.Error(err)
			}
		}, purged, deleted, kept)
		want("after it was listed", purged.ID, deleted.ID, kept.ID)
		keep(func() {}, kept)
		want("after the next look", deleted.ID, kept.ID)
		var left int
		if err := db.Get(&left, `SELECT COUNT(*) FROM tenancy_usage_storage WHERE tenant_key NOT IN (SELECT tenant_key FROM tenancy_usage_tenants)`); err != nil || left != 0 {
			t.Errorf("got %d sizes of nobody, %v", left, err)
		}
	})
}
