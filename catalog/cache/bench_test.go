package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// finder is a map of tenants: the least that a finder does.
type finder map[tenancy.Ref]*tenancy.Tenant

func (f finder) Find(_ context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	if t, ok := f[ref]; ok {
		return t, nil
	}
	return nil, tenancy.ErrNotFound
}

func newFinder(n int) (finder, []tenancy.Ref) {
	f := finder{}
	refs := make([]tenancy.Ref, n)
	for i := range refs {
		t := tenancytest.NewTenant(fmt.Sprintf("tenant-%06d", i))
		refs[i] = tenancy.Ref{Kind: tenancy.RefSlug, Value: t.Slug}
		f[refs[i]] = t
	}
	return f, refs
}

// BenchmarkCacheFind shows the price of a record in memory, beside that of a map
// of the same size by slug, which no change, age or bound touches.
func BenchmarkCacheFind(b *testing.B) {
	for _, n := range []int{10, 10_000, 100_000} {
		f, refs := newFinder(n)
		bySlug := make(map[string]*tenancy.Tenant, n)
		for ref, t := range f {
			bySlug[ref.Value] = t
		}
		slugs := make([]string, n) // not those of the keys
		asked := make([]tenancy.Ref, n)
		order := rand.New(rand.NewPCG(1, 1)).Perm(n) // and not that of memory
		for i, at := range order {
			ref := refs[at]
			slugs[i] = string([]byte(ref.Value))
			asked[i] = tenancy.Ref{Kind: tenancy.RefSlug, Value: slugs[i]}
		}
		b.Run(fmt.Sprintf("tenants=%d/of=map", n), func(b *testing.B) {
			each(b, n, func(i int) *tenancy.Tenant { return bySlug[slugs[i]] })
		})
		b.Run(fmt.Sprintf("tenants=%d/of=finder", n), func(b *testing.B) {
			ctx := b.Context()
			each(b, n, func(i int) *tenancy.Tenant { t, _ := f.Find(ctx, asked[i]); return t })
		})
		b.Run(fmt.Sprintf("tenants=%d/of=cache", n), func(b *testing.B) {
			c := warm(b, f, refs)
			ctx := b.Context()
			each(b, n, func(i int) *tenancy.Tenant { t, _ := c.Find(ctx, asked[i]); return t })
		})
	}
}

var fastStart atomic.Int64

// each asks for all in turn, by many goroutines, each of which begins elsewhere.
// Like a request, a look-up reads the tenant's status, and does not begin before
// the one before it has ended: the processor would do several at a time.
func each(b *testing.B, n int, find func(i int) *tenancy.Tenant) {
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		i := int(uint(fastStart.Add(1)*7919) % uint(n))
		for pb.Next() {
			t := find(i)
			if t == nil {
				b.Error("not found")
				return
			}
			if i += 1 + len(t.Status) - len(tenancy.StatusActive); i == n {
				i = 0
			}
		}
	})
}

func warm(b testing.TB, f tenancy.Finder, refs []tenancy.Ref) *cache.Cache {
	b.Helper()
	c, err := cache.New(f, &cache.Options{TTL: 1 << 50})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	go func() { _ = c.Run(ctx) }()
	for _, ref := range refs {
		if _, err := c.Find(ctx, ref); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	return c
}

// BenchmarkCacheMemory shows what a tenant takes in memory, with the record itself.
func BenchmarkCacheMemory(b *testing.B) {
	const n = 100_000
	refs := make([]tenancy.Ref, n)
	for i := range refs {
		refs[i] = tenancy.Ref{Kind: tenancy.RefSlug, Value: fmt.Sprintf("tenant-%06d", i)}
	}
	for b.Loop() {
		c, err := cache.New(maker{}, &cache.Options{UnknownRate: 1e9, UnknownBurst: 1e9})
		if err != nil {
			b.Fatal(err)
		}
		before := heap()
		for _, ref := range refs {
			if _, err := c.Find(b.Context(), ref); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/n, "B/tenant")
		if s := c.Stat(); s.Tenants != n {
			b.Fatalf("%d tenants", s.Tenants)
		}
	}
}

// maker makes each tenant that it is asked for.
type maker struct{}

func (maker) Find(_ context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	return tenancytest.NewTenant(ref.Value), nil
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
