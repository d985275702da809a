package cache_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/cache"
)

// one is a finder with one tenant at a time.
type one struct {
	tenant atomic.Pointer[tenancy.Tenant]
}

func (o *one) Find(_ context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	t := o.tenant.Load()
	for _, own := range []tenancy.Ref{{Kind: tenancy.RefID, Value: string(t.ID)}, {Kind: tenancy.RefSlug, Value: t.Slug}} {
		if ref == own {
			return t, nil
		}
	}
	return nil, tenancy.ErrNotFound
}

// A tenant that was deleted and made again under its ID is newer than what the cache
// has of the one before, whatever its version.
func TestCacheOfATenantThatWasMadeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var o one
		o.tenant.Store(&tenancy.Tenant{ID: "acme", Slug: "acme", Name: "old", Status: tenancy.StatusActive, Version: 7, CreatedAt: time.Now().UTC()})
		c, err := cache.New(&o, &cache.Options{TTL: time.Hour, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"}); err != nil || got.Name != "old" {
			t.Fatalf("got %+v, %v, want the old one", got, err)
		}
		time.Sleep(time.Minute)
		o.tenant.Store(&tenancy.Tenant{ID: "acme", Slug: "apex", Name: "new", Status: tenancy.StatusActive, Version: 1, CreatedAt: time.Now().UTC()})
		for _, ref := range []tenancy.Ref{{Kind: tenancy.RefSlug, Value: "apex"}, {Kind: tenancy.RefID, Value: "acme"}} {
			if got, err := c.Find(t.Context(), ref); err != nil || got.Name != "new" {
				t.Errorf("%v: got %+v, %v, want the new one", ref, got, err)
			}
		}
	})
}
