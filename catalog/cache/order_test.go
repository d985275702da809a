package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// ledger knows the newest change of each tenant that was announced.
type ledger struct {
	mu       sync.Mutex
	versions map[tenancy.ID]int64
}

func (l *ledger) announced(id tenancy.ID) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.versions[id]
}

func (l *ledger) announce(t *tenancy.Tenant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.versions[t.ID] = max(l.versions[t.ID], t.Version)
}

// Whatever is slow, late or evicted: who asks after a change was announced never
// gets what was before it, and in the end everybody gets what is.
func TestCacheNeverGoesBack(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) { neverGoesBack(t, seed) })
	}
}

func neverGoesBack(t *testing.T, seed uint64) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1))
	n := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	names := []string{"a", "b", "c", "d", "e"}
	ids := []tenancy.ID{"t0", "t1", "t2"}
	cat := tenancytest.NewCatalog(t)
	l := &ledger{versions: map[tenancy.ID]int64{}}
	o := &origin{Finder: cat}
	o.answerAfter(func(context.Context, tenancy.Ref) { time.Sleep(time.Duration(n(20)) * time.Millisecond) })
	c, err := cache.New(o, &cache.Options{
		TTL: 200 * time.Millisecond, UnknownTTL: 100 * time.Millisecond, Size: 1 + n(3), LoadTimeout: time.Second, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	cat.Watch(func(_ context.Context, change catalog.Change) { l.announce(change.After) }) // after the cache
	if seed%2 == 0 {
		run(t, c)
	}
	for i, id := range ids {
		if _, err := cat.Create(t.Context(), &tenancy.Tenant{ID: id, Slug: names[i]}); err != nil {
			t.Fatal(err)
		}
	}
	var ended atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !ended.Load() {
				ref := byID(string(ids[n(len(ids))]))
				var before int64
				if n(2) == 0 {
					ref = slug(names[n(len(names))])
				} else {
					before = l.announced(tenancy.ID(ref.Value))
				}
				all := map[tenancy.ID]int64{}
				for _, id := range ids {
					all[id] = l.announced(id)
				}
				got, err := c.Find(t.Context(), ref)
				switch {
				case err == nil && got.Version < all[got.ID]:
					t.Errorf("seed %d: Find(%v): version %d of %s, and %d was announced before", seed, ref, got.Version, got.ID, all[got.ID])
				case ref.Kind == tenancy.RefID && (err != nil || got.Version < before):
					t.Errorf("seed %d: Find(%v): got %+v, %v, want version %d or later", seed, ref, got, err, before)
				case err != nil && !errors.Is(err, tenancy.ErrNotFound):
					t.Errorf("seed %d: Find(%v): %v", seed, ref, err)
				}
				time.Sleep(time.Duration(n(3)) * time.Millisecond)
			}
		})
	}
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for range 40 {
				id := ids[n(len(ids))]
				if n(2) == 0 {
					_, _ = cat.Rename(t.Context(), id, names[n(len(names))]) // which may be taken
				} else if _, err := cat.AddDomain(t.Context(), id, fmt.Sprintf("%s.d%d.example", id, n(1000))); err != nil {
					t.Errorf("AddDomain: %v", err)
				}
				time.Sleep(time.Duration(n(15)) * time.Millisecond)
			}
		})
	}
	writers.Wait()
	for _, ref := range []tenancy.Ref{byID("t0"), byID("t1"), byID("t2"), slug("a"), slug("b"), slug("c"), slug("d"), slug("e")} {
		want, wantErr := cat.Find(t.Context(), ref)
		got, err := c.Find(t.Context(), ref)
		if errors.Is(wantErr, tenancy.ErrNotFound) && errors.Is(err, tenancy.ErrNotFound) {
			continue
		}
		if err != nil || wantErr != nil || got.ID != want.ID || got.Version != want.Version {
			t.Errorf("seed %d: in the end %v: got %+v, %v, want %+v, %v", seed, ref, got, err, want, wantErr)
		}
	}
	ended.Store(true)
	readers.Wait()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
