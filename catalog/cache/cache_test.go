package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// origin is a finder whose answers a test delays, counts and lets fail.
type origin struct {
	tenancy.Finder
	finds atomic.Int64
	fail  atomic.Pointer[error]
	wait  atomic.Pointer[func(context.Context, tenancy.Ref)] // after the answer is known
}

func (o *origin) Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	o.finds.Add(1)
	t, err := o.Finder.Find(ctx, ref)
	if wait := o.wait.Load(); wait != nil {
		(*wait)(ctx, ref)
	}
	if fail := o.fail.Load(); fail != nil {
		return nil, *fail
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return t, err
}

// Watch lets the catalog below tell of its changes.
func (o *origin) Watch(tell func(context.Context, catalog.Change)) func() {
	return o.Finder.(*catalog.Catalog).Watch(tell)
}

func (o *origin) breakDown(err error) {
	if err == nil {
		o.fail.Store(nil)
		return
	}
	o.fail.Store(&err)
}

func (o *origin) answerAfter(wait func(context.Context, tenancy.Ref)) { o.wait.Store(&wait) }

// wantFinds checks how often the origin was asked since the last call.
func (o *origin) wantFinds(t *testing.T, want int64) {
	t.Helper()
	synctest.Wait()
	if got := o.finds.Swap(0); got != want {
		t.Errorf("the origin was asked %d times, want %d", got, want)
	}
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// newCache returns a cache in front of a catalog in memory that has the tenant
// acme.
func newCache(t *testing.T, opts cache.Options) (*cache.Cache, *origin, *catalog.Catalog) {
	t.Helper()
	cat := tenancytest.NewCatalog(t, &tenancy.Tenant{ID: "acme-1", Slug: "acme", Domains: []string{"acme.example"}})
	o := &origin{Finder: cat}
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	c, err := cache.New(o, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, o, cat
}

// run runs the cache until the test ends.
func run(t testing.TB, c *cache.Cache) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func slug(s string) tenancy.Ref   { return tenancy.Ref{Kind: tenancy.RefSlug, Value: s} }
func byID(s string) tenancy.Ref   { return tenancy.Ref{Kind: tenancy.RefID, Value: s} }
func domain(s string) tenancy.Ref { return tenancy.Ref{Kind: tenancy.RefDomain, Value: s} }

func wantVersion(t testing.TB, f tenancy.Finder, ref tenancy.Ref, want int64) {
	t.Helper()
	got, err := f.Find(t.Context(), ref)
	if err != nil || got.Version != want {
		t.Errorf("Find(%v): got %+v, %v, want version %d", ref, got, err, want)
	}
}

func wantError(t testing.TB, f tenancy.Finder, ref tenancy.Ref, want error) {
	t.Helper()
	if got, err := f.Find(t.Context(), ref); !errors.Is(err, want) || got != nil {
		t.Errorf("Find(%v): got %+v, %v, want %v", ref, got, err, want)
	}
}

// through is a store that is read through a cache.
type through struct {
	*tenancytest.Store
	cache *cache.Cache
}

func (s *through) Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	t, err := s.cache.Find(ctx, ref)
	if err != nil {
		return nil, err
	}
	return t.Clone(), nil
}

// Replace forgets what a change found that is not told yet.
func (s *through) Replace(ctx context.Context, t *tenancy.Tenant, within catalog.Within) error {
	err := s.Store.Replace(ctx, t, within)
	if errors.Is(err, tenancy.ErrConflict) {
		s.cache.Forget(ctx, byID(string(t.ID)))
	}
	return err
}

// A catalog that reads through a cache is as good as one that does not.
func TestCacheConforms(t *testing.T) {
	t.Parallel()
	tenancytest.TestCatalog(t, func(t *testing.T) *catalog.Catalog {
		store := tenancytest.NewStore()
		inner, err := catalog.NewWithStore(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cache.New(inner, nil)
		if err != nil {
			t.Fatal(err)
		}
		run(t, c)
		outer, err := catalog.NewWithStore(&through{store, c}, nil)
		if err != nil {
			t.Fatal(err)
		}
		outer.Watch(c.Changed)
		return outer
	})
}

// One load serves all refs of a tenant.
func TestCacheKeepsTheWholeRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, o, _ := newCache(t, cache.Options{})
		for range 3 {
			for _, ref := range []tenancy.Ref{domain("acme.example"), slug("acme"), byID("acme-1")} {
				wantVersion(t, c, ref, 1)
			}
		}
		o.wantFinds(t, 1)
		for _, ref := range []tenancy.Ref{slug("acme-1"), slug("acme.example"), domain("acme"), byID("acme"), {}, {Kind: 99, Value: "acme"}} {
			wantError(t, c, ref, tenancy.ErrNotFound)
		}
	})
}

func TestCacheTTL(t *testing.T) {
	for _, running := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, o, _ := newCache(t, cache.Options{TTL: time.Minute})
			if running {
				run(t, c)
			}
			wantVersion(t, c, slug("acme"), 1)
			time.Sleep(40 * time.Second)
			wantVersion(t, c, slug("acme"), 1)
			o.wantFinds(t, 1)
			// Nobody asks: it ends.
			o.answerAfter(func(context.Context, tenancy.Ref) { time.Sleep(time.Second) })
			time.Sleep(20 * time.Second)
			began := time.Now()
			wantVersion(t, c, slug("acme"), 1)
			o.wantFinds(t, 1)
			if d := time.Since(began); d != time.Second {
				t.Errorf("running %v: got the record after %v, want that of a load", running, d)
			}
		})
	}
}

// A tenant that is asked for is loaded again before its time ends, and its
// requests wait for nothing.
func TestCacheLoadsAhead(t *testing.T) {
	for _, running := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, o, _ := newCache(t, cache.Options{TTL: time.Minute})
			if running {
				run(t, c)
			}
			wantVersion(t, c, slug("acme"), 1)
			o.answerAfter(func(context.Context, tenancy.Ref) { time.Sleep(2 * time.Second) })
			for range 600 {
				time.Sleep(time.Second)
				began := time.Now()
				wantVersion(t, c, slug("acme"), 1)
				if d := time.Since(began); d != 0 {
					t.Fatalf("running %v: a request waited for %v", running, d)
				}
			}
			if n := o.finds.Load(); n < 10 || n > 16 {
				t.Errorf("running %v: the origin was asked %d times in ten minutes, want every 42 to 60 seconds", running, n)
			}
		})
	}
}

func TestCacheSeesEveryChange(t *testing.T) {
	t.Parallel()
	c, _, cat := newCache(t, cache.Options{})
	version := int64(1)
	do := func(what string, change func() (*tenancy.Tenant, error)) {
		t.Helper()
		for _, ref := range []tenancy.Ref{byID("acme-1"), slug("acme"), slug("apex"), domain("acme.example"), domain("new.example")} {
			_, _ = c.Find(t.Context(), ref)
		}
		if _, err := change(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		version++
		wantVersion(t, c, byID("acme-1"), version)
	}
	do("status", func() (*tenancy.Tenant, error) { return cat.SetStatus(t.Context(), "acme-1", tenancy.StatusSuspended) })
	do("domain", func() (*tenancy.Tenant, error) { return cat.AddDomain(t.Context(), "acme-1", "new.example") })
	wantVersion(t, c, domain("new.example"), version)
	do("no domain", func() (*tenancy.Tenant, error) { return cat.RemoveDomain(t.Context(), "acme-1", "acme.example") })
	wantError(t, c, domain("acme.example"), tenancy.ErrNotFound)
	do("rename", func() (*tenancy.Tenant, error) { return cat.Rename(t.Context(), "acme-1", "apex") })
	wantVersion(t, c, slug("apex"), version)
	wantError(t, c, slug("acme"), tenancy.ErrNotFound)
	do("update", func() (*tenancy.Tenant, error) {
		got, err := cat.Find(t.Context(), byID("acme-1"))
		if err != nil {
			return nil, err
		}
		got.Settings = map[string]string{"k": "v"}
		got.Status = tenancy.StatusArchived
		return cat.Update(t.Context(), got)
	})
	do("create over an unknown", func() (*tenancy.Tenant, error) {
		version-- // not of this one
		return cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Domains: []string{"acme.example"}})
	})
	wantVersion(t, c, slug("acme"), 1)
	wantVersion(t, c, domain("acme.example"), 1)
	if _, err := cat.SetStatus(t.Context(), "acme-1", tenancy.StatusPurging); err != nil {
		t.Fatal(err)
	}
	if err := cat.Delete(t.Context(), "acme-1"); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []tenancy.Ref{byID("acme-1"), slug("apex"), domain("new.example")} {
		wantError(t, c, ref, tenancy.ErrNotFound)
	}
}

// lossy is a store that writes and then says that it does not know.
type lossy struct {
	catalog.Store
	err error
}

func (s *lossy) Insert(ctx context.Context, t *tenancy.Tenant, within catalog.Within) error {
	return errors.Join(s.Store.Insert(ctx, t, within), s.err)
}

func (s *lossy) Replace(ctx context.Context, t *tenancy.Tenant, within catalog.Within) error {
	return errors.Join(s.Store.Replace(ctx, t, within), s.err)
}

func (s *lossy) Delete(ctx context.Context, t *tenancy.Tenant, within catalog.Within) error {
	return errors.Join(s.Store.Delete(ctx, t, within), s.err)
}

func TestCacheSeesChangesThatMayHaveHappened(t *testing.T) {
	t.Parallel()
	store := &lossy{Store: tenancytest.NewStore()}
	cat, err := catalog.NewWithStore(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.New(cat, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, c, slug("acme"), tenancy.ErrNotFound)
	store.err = errors.New("the connection was lost")
	_, err = cat.Create(t.Context(), &tenancy.Tenant{ID: "acme-1", Slug: "acme"})
	if !errors.Is(err, tenancy.ErrUnavailable) {
		t.Fatalf("Create: got %v, want ErrUnavailable", err)
	}
	wantVersion(t, c, slug("acme"), 1)
	if _, err := cat.Rename(t.Context(), "acme-1", "apex"); !errors.Is(err, tenancy.ErrUnavailable) {
		t.Fatalf("Rename: got %v, want ErrUnavailable", err)
	}
	wantVersion(t, c, slug("apex"), 2)
	wantError(t, c, slug("acme"), tenancy.ErrNotFound)
	if err := cat.Delete(t.Context(), "acme-1"); !errors.Is(err, tenancy.ErrUnavailable) {
		t.Fatalf("Delete: got %v, want ErrUnavailable", err)
	}
	wantError(t, c, slug("apex"), tenancy.ErrNotFound)
}

// What is refused is no change.
func TestWatchIsNotToldOfRefusals(t *testing.T) {
	t.Parallel()
	cat := tenancytest.NewCatalog(t, &tenancy.Tenant{ID: "acme-1", Slug: "acme"}, &tenancy.Tenant{ID: "globex-1", Slug: "globex"})
	var told []catalog.Change
	stop := cat.Watch(func(ctx context.Context, change catalog.Change) {
		if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
			t.Errorf("got the context %v, want one that ends later", ctx)
		}
		told = append(told, change)
	})
	for what, err := range map[string]error{
		"create": second(cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme"})),
		"rename": second(cat.Rename(t.Context(), "acme-1", "globex")),
		"delete": cat.Delete(t.Context(), "acme-1"),
	} {
		if err == nil {
			t.Errorf("%s: got no error", what)
		}
	}
	if _, err := cat.Rename(t.Context(), "acme-1", "acme"); err != nil || len(told) != 0 {
		t.Errorf("got %v, %v, want nothing told", told, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := cat.Rename(ctx, "acme-1", "apex")
	cancel()
	if err != nil || len(told) != 1 || told[0].Before.Slug != "acme" || told[0].After.Slug != "apex" {
		t.Errorf("got %v, %v, want the change", told, err)
	}
	stop()
	stop()
	if _, err := cat.Rename(t.Context(), "acme-1", "acme"); err != nil || len(told) != 1 {
		t.Errorf("after stop: told %d changes, %v, want 1", len(told), err)
	}
}

func second[T any](_ T, err error) error { return err }

// A load that began before a change does not put the older record back, and who
// asks after the change does not wait for that load.
func TestCacheSlowLoadLosesAgainstChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, o, cat := newCache(t, cache.Options{})
		for _, ref := range []tenancy.Ref{slug("acme"), domain("acme.example"), byID("acme-1")} {
			before, err := cat.Find(t.Context(), byID("acme-1"))
			if err != nil {
				t.Fatal(err)
			}
			c.Forget(t.Context(), ref)
			var slowed atomic.Bool
			o.answerAfter(func(context.Context, tenancy.Ref) {
				if !slowed.Swap(true) {
					time.Sleep(time.Second)
				}
			})
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = c.Find(t.Context(), ref) })
			synctest.Wait()
			if _, err := cat.AddDomain(t.Context(), "acme-1", fmt.Sprintf("d%d.example", before.Version)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			wantVersion(t, c, ref, before.Version+1)
			if d := time.Since(began); d != 0 {
				t.Errorf("waited %v for the load that began before", d)
			}
			wg.Wait()
			for _, each := range []tenancy.Ref{slug("acme"), domain("acme.example"), byID("acme-1")} {
				wantVersion(t, c, each, before.Version+1)
			}
		}
		// The same for a ref that led nowhere.
		var slowed atomic.Bool
		o.answerAfter(func(context.Context, tenancy.Ref) {
			if !slowed.Swap(true) {
				time.Sleep(time.Second)
			}
		})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = c.Find(t.Context(), slug("globex")) })
		synctest.Wait()
		if _, err := cat.Create(t.Context(), &tenancy.Tenant{Slug: "globex"}); err != nil {
			t.Fatal(err)
		}
		wantVersion(t, c, slug("globex"), 1)
		wg.Wait()
		wantVersion(t, c, slug("globex"), 1)
	})
}

// A load that began before a change that nobody told does not put the older record
// over one that was loaded since, be that too old to be used or not.
func TestCacheSlowLoadLosesAgainstLaterLoad(t *testing.T) {
	for _, pause := range []time.Duration{0, 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			inner := tenancytest.NewCatalog(t, &tenancy.Tenant{ID: "acme-1", Slug: "acme"})
			o := &origin{Finder: inner}
			c, err := cache.New(plainFinder{o}, &cache.Options{TTL: time.Second, LoadTimeout: time.Minute, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			goOn := make(chan struct{})
			o.answerAfter(func(_ context.Context, ref tenancy.Ref) {
				if ref == slug("acme") {
					<-goOn
				}
			})
			go func() { _, _ = c.Find(t.Context(), slug("acme")) }()
			synctest.Wait()
			if _, err := inner.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			wantVersion(t, c, byID("acme-1"), 2)
			time.Sleep(pause)
			close(goOn)
			synctest.Wait()
			o.breakDown(errors.New("down"))
			wantVersion(t, c, byID("acme-1"), 2)
			wantVersion(t, c, slug("acme"), 2)
		})
	}
}

// aliases is a finder that has names of tenants that their records do not.
type aliases struct {
	*origin
	of map[tenancy.Ref]tenancy.Ref
}

func (a *aliases) Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	if to, ok := a.of[ref]; ok {
		ref = to
	}
	return a.origin.Find(ctx, ref)
}

// Nobody who knows of a change waits for a load that began before it, however often
// the record changes while it is loaded, and be it by a name that the record has not.
func TestCacheChangesAtEachLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cat := tenancytest.NewCatalog(t, &tenancy.Tenant{ID: "acme-1", Slug: "acme"})
		alias := tenancy.Ref{Kind: tenancy.RefDomain, Value: "alias.example"}
		o := &origin{Finder: cat}
		c, err := cache.New(&aliases{o, map[tenancy.Ref]tenancy.Ref{alias: byID("acme-1")}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var loads atomic.Int64
		o.answerAfter(func(context.Context, tenancy.Ref) {
			if loads.Add(1) > 3 {
				return
			}
			changed, err := cat.AddDomain(t.Context(), "acme-1", fmt.Sprintf("d%d.example", loads.Load()))
			if err != nil {
				t.Error(err)
				return
			}
			wg.Go(func() {
				if got, err := c.Find(t.Context(), alias); err != nil || got.Version < changed.Version {
					t.Errorf("got %+v, %v after version %d", got, err, changed.Version)
				}
			})
			time.Sleep(time.Second)
		})
		_, _ = c.Find(t.Context(), alias)
		wg.Wait()
	})
}

// A name that only the origin knows is asked for again when it is old, however often the tenant's record is loaded by its own names.
func TestCacheAliasMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cat := tenancytest.NewCatalog(t, &tenancy.Tenant{ID: "acme-1", Slug: "acme"}, &tenancy.Tenant{ID: "globex-1", Slug: "globex"})
		alias := tenancy.Ref{Kind: tenancy.RefDomain, Value: "alias.example"}
		origin := &aliases{&origin{Finder: cat}, map[tenancy.Ref]tenancy.Ref{alias: byID("acme-1")}}
		c, err := cache.New(origin, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Find(t.Context(), alias); err != nil || got.ID != "acme-1" {
			t.Fatalf("got %+v, %v", got, err)
		}
		origin.of[alias] = byID("globex-1")
		for range 15 {
			time.Sleep(40 * time.Second)
			if _, err := c.Find(t.Context(), byID("acme-1")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		_, _ = c.Find(t.Context(), alias) // it may be answered as it was known, and is asked for
		synctest.Wait()
		if got, err := c.Find(t.Context(), alias); err != nil || got.ID != "globex-1" {
			t.Errorf("got %+v, %v, want the tenant to which the name leads since ten minutes", got, err)
		}
	})
}

func TestCacheStampede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, o, _ := newCache(t, cache.Options{LoadTimeout: 10 * time.Second})
		o.answerAfter(func(context.Context, tenancy.Ref) { time.Sleep(2 * time.Second) })
		var got, late atomic.Int64
		for i := range 1000 {
			go func() {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if i%2 == 1 { // the first one, too, may leave
					ctx, cancel = context.WithTimeout(ctx, time.Second)
				}
				defer cancel()
				began := time.Now()
				found, err := c.Find(ctx, slug("acme"))
				switch {
				case err == nil && found.Slug == "acme" && time.Since(began) == 2*time.Second:
					got.Add(1)
				case errors.Is(err, context.DeadlineExceeded) && time.Since(began) == time.Second:
					late.Add(1)
				default:
					t.Errorf("got %v, %v after %v", found, err, time.Since(began))
				}
			}()
		}
		time.Sleep(3 * time.Second)
		if got.Load() != 500 || late.Load() != 500 {
			t.Errorf("got %d records and %d ends of contexts, want 500 of each", got.Load(), late.Load())
		}
		o.wantFinds(t, 1)
	})
}

func TestCacheServesStale(t *testing.T) {
	down := errors.New("connection refused")
	synctest.Test(t, func(t *testing.T) {
		c, o, cat := newCache(t, cache.Options{TTL: time.Minute, MaxStale: time.Hour, LoadTimeout: 5 * time.Second})
		wantVersion(t, c, slug("acme"), 1)
		o.breakDown(down)
		wantError(t, c, slug("globex"), tenancy.ErrUnavailable)
		time.Sleep(2 * time.Minute)
		wantVersion(t, c, slug("acme"), 1)

		// While the origin hangs, nobody waits for it.
		o.answerAfter(func(ctx context.Context, _ tenancy.Ref) { <-ctx.Done() })
		waits := 0
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			began := time.Now()
			wantVersion(t, c, slug("acme"), 1)
			if time.Since(began) > 0 {
				waits++
			}
		}
		if n := o.finds.Load(); n < 3 || n > 10 {
			t.Errorf("the origin was asked %d times within ten seconds, want a few times", n)
		}
		if waits > 0 {
			t.Errorf("%d of 100 requests waited for an origin that is down", waits)
		}
		if n := c.Stat().Stale; n != 101 {
			t.Errorf("counted %d stale answers, want 101", n)
		}

		time.Sleep(time.Hour)
		wantError(t, c, slug("acme"), tenancy.ErrUnavailable)
		o.answerAfter(func(context.Context, tenancy.Ref) {})
		o.breakDown(nil)
		time.Sleep(10 * time.Second)
		wantVersion(t, c, slug("acme"), 1)
		synctest.Wait()
		if s := c.Stat(); s.OriginDown || s.LoadFailures == 0 {
			t.Errorf("got %+v, want an origin that is up again", s)
		}

		// A change that was heard of ends it.
		if _, err := cat.SetStatus(t.Context(), "acme-1", tenancy.StatusSuspended); err != nil {
			t.Fatal(err)
		}
		o.breakDown(down)
		wantError(t, c, slug("acme"), tenancy.ErrUnavailable)
	})
}

// When changes may have been lost, a record is used only once a load of that very tenant has failed: the failure of another's
// load says nothing of it.
func TestCacheTriesWhatItDistrusts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := tenancytest.NewStore()
		silent, err := catalog.NewWithStore(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"acme", "globex"} {
			if _, err := silent.Create(t.Context(), &tenancy.Tenant{ID: tenancy.ID(name + "-1"), Slug: name, Status: tenancy.StatusActive}); err != nil {
				t.Fatal(err)
			}
		}
		cat, err := catalog.NewWithStore(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := &origin{Finder: cat}
		c, err := cache.New(o, &cache.Options{TTL: time.Minute, MaxStale: time.Hour, LoadTimeout: 5 * time.Second, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		wantVersion(t, c, slug("acme"), 1)
		wantVersion(t, c, slug("globex"), 1)
		if _, err := silent.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil { // and nobody was told
			t.Fatal(err)
		}
		hangs := func(names ...string) {
			o.answerAfter(func(ctx context.Context, ref tenancy.Ref) {
				if slices.Contains(names, ref.Value) {
					<-ctx.Done()
				}
			})
		}
		find := func(name string, version int64, wait time.Duration) {
			t.Helper()
			began := time.Now()
			wantVersion(t, c, slug(name), version)
			if took := time.Since(began); took != wait {
				t.Errorf("%s: waited %v, want %v", name, took, wait)
			}
		}
		hangs("globex")
		c.Distrust()
		find("globex", 1, 5*time.Second)
		if !c.Stat().OriginDown {
			t.Error("the origin's circuit is closed after a load that failed")
		}
		find("acme", 2, 0)

		// An outage: each tenant's first request waits for its load, and no other.
		hangs("globex", "acme")
		c.Distrust()
		find("globex", 1, 5*time.Second)
		find("acme", 2, 5*time.Second)
		for range 100 {
			find("globex", 1, 0)
			find("acme", 2, 0)
			time.Sleep(100 * time.Millisecond)
		}
		// Lost again: what failed before that says nothing.
		c.Distrust()
		find("acme", 2, 5*time.Second)
		hangs()
		c.Distrust()
		find("globex", 1, 0)
		synctest.Wait()
		if c.Stat().OriginDown {
			t.Error("the origin's circuit is open after an answer")
		}
	})
}

func TestCacheMaxStaleOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, o, _ := newCache(t, cache.Options{MaxStale: -1})
		wantVersion(t, c, slug("acme"), 1)
		o.breakDown(errors.New("down"))
		time.Sleep(time.Minute)
		wantError(t, c, slug("acme"), tenancy.ErrUnavailable)
	})
}

// A tenant that was deleted behind the cache's back is gone, in memory too.
func TestCacheForgetsWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := finder{slug("acme"): tenancytest.NewTenant("acme")}
		c, err := cache.New(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantVersion(t, c, slug("acme"), 1)
		delete(f, slug("acme"))
		time.Sleep(time.Minute)
		wantError(t, c, slug("acme"), tenancy.ErrNotFound)
		if n := c.Stat().Tenants; n != 0 {
			t.Errorf("%d tenants in memory, want 0", n)
		}
	})
}

// An origin that panics or ends its goroutine fails, for that tenant.
func TestCacheOriginPanics(t *testing.T) {
	for what, fail := range map[string]func(context.Context, tenancy.Ref){
		"panic":  func(context.Context, tenancy.Ref) { panic("broken") },
		"Goexit": func(context.Context, tenancy.Ref) { runtime.Goexit() },
	} {
		synctest.Test(t, func(t *testing.T) {
			c, o, _ := newCache(t, cache.Options{})
			o.answerAfter(fail)
			wantError(t, c, slug("acme"), tenancy.ErrUnavailable)
			o.answerAfter(func(context.Context, tenancy.Ref) {})
			wantVersion(t, c, slug("acme"), 1)
			time.Sleep(2 * time.Minute)
			o.answerAfter(fail)
			wantVersion(t, c, slug("acme"), 1)
			if s := c.Stat(); s.Stale != 1 {
				t.Errorf("%s: got %+v, want a stale answer", what, s)
			}
			wantError(t, c, slug("globex"), tenancy.ErrUnavailable)
		})
	}
}

// A record with a name twice, which only an origin of the application's own can have, does
// no harm to others.
func TestCacheNameTwice(t *testing.T) {
	t.Parallel()
	f, refs := newFinder(3)
	f[refs[1]].Domains = []string{"acme.example", "acme.example"}
	c, err := cache.New(f, &cache.Options{Size: 2})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for _, ref := range refs {
			wantVersion(t, c, ref, 1)
		}
	}
	if n := c.Stat().Tenants; n != 2 {
		t.Errorf("%d tenants in memory, want 2", n)
	}
}

func TestCacheCloses(t *testing.T) {
	t.Parallel()
	c, _, cat := newCache(t, cache.Options{})
	wantVersion(t, c, slug("acme"), 1)
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	wantError(t, c, slug("acme"), tenancy.ErrClosed)
	changes := c.Stat().Changes
	if _, err := cat.Rename(t.Context(), "acme-1", "apex"); err != nil || c.Stat().Changes != changes {
		t.Errorf("a closed cache was told of a change, %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for what, opts := range map[string]cache.Options{
		"size": {Size: -1}, "TTL": {TTL: -1}, "load": {LoadTimeout: -1}, "rate": {UnknownRate: -1}, "burst": {UnknownBurst: -1},
	} {
		if _, err := cache.New(finder{}, &opts); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", what, err)
		}
	}
	for _, odd := range []string{"", "a:b", "a{b}", "a*"} {
		if _, err := cache.NewRedis(finder{}, unusedRedis{}, odd, nil); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("namespace %q: got %v, want ErrInvalid", odd, err)
		}
	}
	if _, err := cache.NewRedis(finder{}, nil, "a", nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no client: got %v, want ErrInvalid", err)
	}
	if _, err := cache.New(nil, nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no origin: got %v, want ErrInvalid", err)
	}
}

// unusedRedis is a client that nobody asks.
type unusedRedis struct{ rueidis.Client }

// A removal that may not have happened is not told.
func TestWatchRemovedInDoubt(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"done": nil, "in doubt": errors.New("connection reset")} {
		store := &lossy{Store: tenancytest.NewStore()}
		cat, err := catalog.NewWithStore(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cache.New(cat, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		var told []tenancy.ID
		c.WatchRemoved(func(id tenancy.ID) { told = append(told, id) })
		if _, err := cat.Create(t.Context(), &tenancy.Tenant{ID: "acme-1", Slug: "acme"}); err != nil {
			t.Fatal(err)
		}
		store.err = failure
		if err := cat.Delete(t.Context(), "acme-1"); (err == nil) != (failure == nil) {
			t.Fatal(err)
		}
		if (len(told) == 1) != (failure == nil) {
			t.Errorf("%s: told of %q", name, told)
		}
	}
}
