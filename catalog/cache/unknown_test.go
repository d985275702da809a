package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestCacheRemembersUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, o, _ := newCache(t, cache.Options{UnknownTTL: 6 * time.Second})
		for range 10 {
			wantError(t, c, slug("nobody"), tenancy.ErrNotFound)
		}
		o.wantFinds(t, 1)
		time.Sleep(2 * time.Second)
		wantError(t, c, slug("nobody"), tenancy.ErrNotFound)
		o.wantFinds(t, 0)
		time.Sleep(4 * time.Second)
		wantError(t, c, slug("nobody"), tenancy.ErrNotFound)
		o.wantFinds(t, 1)
		if s := c.Stat(); s.UnknownHits != 10 || s.Unknown != 1 {
			t.Errorf("got %+v, want 10 hits of one unknown", s)
		}
	})
}

// A name is known again once a record has it that was loaded by another.
func TestCacheUnknownIsLoaded(t *testing.T) {
	t.Parallel()
	f, refs := newFinder(1)
	c, err := cache.New(f, &cache.Options{UnknownTTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, c, domain("acme.example"), tenancy.ErrNotFound)
	acme := f[refs[0]].Clone()
	acme.Domains = []string{"acme.example"}
	f[refs[0]], f[domain("acme.example")] = acme, acme
	wantVersion(t, c, refs[0], 1)
	wantVersion(t, c, domain("acme.example"), 1)
	c.Forget(t.Context(), refs[0])
	wantVersion(t, c, domain("acme.example"), 1)
}

// What is remembered ends, however seldom somebody looks.
func TestCacheUnknownEnds(t *testing.T) {
	for _, pause := range []time.Duration{time.Second, 2 * time.Second, 3500 * time.Millisecond, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := finder{}
			c, err := cache.New(f, &cache.Options{UnknownTTL: 6 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(pause / 2)
			wantError(t, c, slug("acme"), tenancy.ErrNotFound)
			began := time.Now()
			f[slug("acme")] = tenancytest.NewTenant("acme")
			for {
				time.Sleep(pause)
				wantError(t, c, slug("other"), tenancy.ErrNotFound)
				if _, err := c.Find(t.Context(), slug("acme")); err == nil {
					break
				}
				if d := time.Since(began); d >= 6*time.Second {
					t.Fatalf("looking every %v: unknown for %v", pause, d)
				}
			}
		})
	}
}

func TestCacheUnknownOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, o, _ := newCache(t, cache.Options{UnknownTTL: -1})
		for range 10 {
			wantError(t, c, slug("nobody"), tenancy.ErrNotFound)
		}
		o.wantFinds(t, 10)
	})
}

// Names that nobody has reach the origin so many times a second and no more, push
// no tenant out, and take a bounded place.
func TestCacheFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, o, cat := newCache(t, cache.Options{UnknownRate: 100, UnknownBurst: 200, Size: 10})
		run(t, c)
		for i := range 9 {
			name := fmt.Sprintf("t%d", i)
			if _, err := cat.Create(t.Context(), &tenancy.Tenant{ID: tenancy.ID(name), Slug: name}); err != nil {
				t.Fatal(err)
			}
			wantVersion(t, c, slug(name), 1)
		}
		wantVersion(t, c, slug("acme"), 1)
		o.wantFinds(t, 10)
		o.answerAfter(func(context.Context, tenancy.Ref) { time.Sleep(time.Millisecond) })

		var refused, unknown atomic.Int64
		var wg sync.WaitGroup
		for second := range 10 {
			for i := range 1500 {
				wg.Go(func() {
					_, err := c.Find(t.Context(), domain(fmt.Sprintf("h%d.s%d.example", i, second)))
					var busy *cache.BusyError
					switch {
					case errors.As(err, &busy) && errors.Is(err, tenancy.ErrUnavailable) && busy.RetryAfter() > 0:
						refused.Add(1)
					case errors.Is(err, tenancy.ErrNotFound):
						unknown.Add(1)
					default:
						t.Errorf("got %v", err)
					}
				})
			}
			time.Sleep(time.Second)
			for i := range 9 {
				wantVersion(t, c, slug(fmt.Sprintf("t%d", i)), 1)
			}
		}
		wg.Wait()
		if n := o.finds.Load(); n < 1000 || n > 1320 || unknown.Load() != n {
			t.Errorf("the origin was asked %d times within ten seconds, want 100 a second and 200", n)
		}
		s := c.Stat()
		if refused.Load() != 15_000-unknown.Load() || s.Refused != refused.Load() || s.Tenants != 10 || s.Evictions != 0 {
			t.Errorf("refused %d, got %+v", refused.Load(), s)
		}
		wantVersion(t, c, byID("acme-1"), 1) // that is in memory
	})
}

// A tenant of which a change is heard in the middle of a flood, a new one too, is
// loaded at once. Names that it gave up cost one question each.
func TestCacheChangeInFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, o, cat := newCache(t, cache.Options{UnknownRate: 10, UnknownBurst: 10})
		wantVersion(t, c, slug("acme"), 1)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		for i := range 2000 {
			go func() { _, _ = c.Find(ctx, slug(fmt.Sprintf("x%d", i))) }()
		}
		synctest.Wait()
		o.wantFinds(t, 11)
		began := time.Now()
		if _, err := cat.Rename(t.Context(), "acme-1", "apex"); err != nil {
			t.Fatal(err)
		}
		wantVersion(t, c, slug("apex"), 2)
		if _, err := cat.Create(t.Context(), &tenancy.Tenant{Slug: "globex", Domains: []string{"globex.example"}}); err != nil {
			t.Fatal(err)
		}
		wantVersion(t, c, domain("globex.example"), 1)
		wantError(t, c, slug("acme"), tenancy.ErrNotFound)
		if d := time.Since(began); d != 0 {
			t.Errorf("waited for %v, as names do that nobody has", d)
		}
		o.wantFinds(t, 3)
		time.Sleep(10 * time.Second) // until the name is not remembered any more
		began = time.Now()
		for i := range 100 {
			go func() { _, _ = c.Find(ctx, slug(fmt.Sprintf("y%d", i))) }()
		}
		synctest.Wait()
		wantError(t, c, slug("acme"), tenancy.ErrUnavailable)
		if d := time.Since(began); d < 100*time.Millisecond {
			t.Errorf("a name that was given up waited for %v, want as others do", d)
		}
	})
}

// What is remembered of unknown names is bounded.
func TestCacheUnknownIsBounded(t *testing.T) {
	t.Parallel()
	c, err := cache.New(finder{}, &cache.Options{UnknownRate: 1e9, UnknownBurst: 1e9, UnknownTTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30_000 {
		wantError(t, c, slug(fmt.Sprintf("x%d", i)), tenancy.ErrNotFound)
		if n := c.Stat().Unknown; n > 20_000 {
			t.Fatalf("%d are remembered, want at most 20,000", n)
		}
	}
	if n := c.Stat().Unknown; n < 10_000 {
		t.Errorf("%d are remembered, want at least 10,000", n)
	}
}

// No bound is a very large one.
func TestCacheUnknownUnbounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, refs := newFinder(1)
		c, err := cache.New(f, &cache.Options{UnknownRate: math.MaxInt, UnknownBurst: math.MaxInt, UnknownTTL: -1})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			wantError(t, c, slug("nobody"), tenancy.ErrNotFound)
			time.Sleep(time.Second)
		}
		wantVersion(t, c, refs[0], 1)
	})
}

// A cold start is not slowed down by the bound on unknown names.
func TestCacheColdStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, refs := newFinder(3000)
		o := &origin{Finder: f}
		var now, most atomic.Int64
		o.answerAfter(func(context.Context, tenancy.Ref) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(10 * time.Millisecond)
			now.Add(-1)
		})
		c, err := cache.New(plainFinder{o}, &cache.Options{UnknownBurst: 100})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var wg sync.WaitGroup
		for _, ref := range refs {
			wg.Go(func() { wantVersion(t, c, ref, 1) })
		}
		wg.Wait()
		if d := time.Since(began); d > 310*time.Millisecond || most.Load() < 100 || most.Load() > 131 {
			t.Errorf("took %v with %d at a time, want 0.3 s with 100 and those of 0.3 s", d, most.Load())
		}
	})
}

// plainFinder has no method Watch.
type plainFinder struct{ tenancy.Finder }

// The cache has no more tenants than its size, and keeps those that are used.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	f, refs := newFinder(1000)
	c, err := cache.New(f, &cache.Options{Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	hot := refs[:50]
	for i, ref := range refs[50:] {
		wantVersion(t, c, ref, 1)
		wantVersion(t, c, hot[i%len(hot)], 1)
		wantVersion(t, c, hot[i%len(hot)], 1)
		if n := c.Stat().Tenants; n > 100 {
			t.Fatalf("%d tenants in memory, want at most 100", n)
		}
	}
	before := c.Stat()
	for _, ref := range hot {
		wantVersion(t, c, ref, 1)
	}
	after := c.Stat()
	if after.Loads != before.Loads || after.Tenants != 100 || after.Evictions != 900 {
		t.Errorf("got %+v after %+v, want the hot tenants in memory", after, before)
	}
	for _, ref := range refs {
		c.Forget(t.Context(), ref)
	}
	if n := c.Stat().Tenants; n != 0 {
		t.Errorf("%d tenants in memory, want 0", n)
	}
}
