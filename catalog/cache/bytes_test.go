package cache_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// TestTenantBytes compares what the cache says with what the heap grew by.
func TestTenantBytes(t *testing.T) {
	const n = 2000
	tenants := make([]*tenancy.Tenant, n)
	for i := range tenants {
		tenants[i] = tenancytest.NewTenant("t" + strings.ToLower(string(tenancy.NewID())))
		tenants[i].Settings = map[string]string{"colour": "blue", "text": strings.Repeat("x", 500)}
		tenants[i].Domains = []string{tenants[i].Slug + ".example.org"}
	}
	cat := copying{tenancytest.NewCatalog(t, tenants...)}
	c, err := cache.New(cat, &cache.Options{Size: n, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	before := heapInUse()
	for _, tenant := range tenants {
		if _, err := c.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(tenant.ID)}); err != nil {
			t.Fatal(err)
		}
	}
	grown := heapInUse() - before
	var sum int64
	seen := map[tenancy.ID]bool{}
	c.TenantBytes(func(id tenancy.ID, bytes int64) bool {
		if seen[id] || bytes <= 0 {
			t.Errorf("%s: got %d bytes, seen before: %v", id, bytes, seen[id])
		}
		seen[id] = true
		sum += bytes
		return true
	})
	t.Logf("%d bytes, by the heap %d", sum, grown)
	if len(seen) != n || sum < grown/2 || sum > 2*grown {
		t.Errorf("got %d tenants with %d bytes, want %d with about %d", len(seen), sum, n, grown)
	}
	asked := 0
	c.TenantBytes(func(tenancy.ID, int64) bool { asked++; return false })
	if asked != 1 || c.BytesKind() != "records" {
		t.Errorf("got %d tenants of %q, want it to end after one", asked, c.BytesKind())
	}
	runtime.KeepAlive(c)
}

// copying is a catalog whose records share nothing.
type copying struct{ *catalog.Catalog }

func (c copying) Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	t, err := c.Catalog.Find(ctx, ref)
	if err != nil {
		return nil, err
	}
	t = t.Clone()
	for _, s := range []*string{(*string)(&t.ID), &t.Slug, &t.Name, &t.Placement.Database, &t.Domains[0]} {
		*s = strings.Clone(*s)
	}
	for k, v := range t.Settings {
		t.Settings[k] = strings.Clone(v)
	}
	return t, nil
}

// heapInUse returns the bytes of the heap that are in use.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) // nobody has so much
}
