//go:build unix

package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// startRedis starts a server for this test alone, where one is installed.
func startRedis(t testing.TB) *testserver.Server {
	t.Helper()
	return testserver.ForTest(t, testserver.Redis, nil)
}

func connect(t testing.TB, address string) rueidis.Client {
	t.Helper()
	opts := rueidis.MustParseURL(address)
	opts.ForceSingleClient = true
	client, err := rueidis.NewClient(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// proxied returns a client that reaches the server through the proxy.
func proxied(t *testing.T, s *testserver.Server) (rueidis.Client, *testserver.Proxy) {
	t.Helper()
	proxy := startProxy(t, s)
	return connect(t, "redis://"+proxy.Addr), proxy
}

func startProxy(t *testing.T, s *testserver.Server) *testserver.Proxy {
	t.Helper()
	proxy, err := testserver.StartProxy(strings.TrimPrefix(s.URL, "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return proxy
}

func slowDown(t *testing.T, proxy *testserver.Proxy, by time.Duration) {
	t.Helper()
	proxy.Inject(testserver.Fault{Delayed: by})
}

// instance is a cache of one process of a service, that reads a store which all of
// them share.
type instance struct {
	*cache.Cache
	*origin
	cat *catalog.Catalog
}

func (r *instance) Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	return r.Cache.Find(ctx, ref)
}

// newInstance returns a running cache over a catalog of its own on the store.
func newInstance(t testing.TB, store catalog.Store, client rueidis.Client, namespace string, opts cache.Options) *instance {
	t.Helper()
	cat, err := catalog.NewWithStore(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{Finder: cat}
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	if opts.RedisTimeout == 0 {
		opts.RedisTimeout = 5 * time.Second // the machine may be busy
	}
	c, err := cache.NewRedis(o, client, namespace, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	run(t, c)
	r := &instance{c, o, cat}
	r.awaitHearing(t)
	return r
}

// patient bounds what comes by itself, on a machine that may be very busy.
const patient = 3 * time.Minute

// await polls until the condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for: %s", what)
		}
	}
}

func (r *instance) awaitHearing(t testing.TB) {
	t.Helper()
	await(t, "hearing of changes", func() bool { return !r.Stat().Unsynced })
}

// awaitRecord returns when there is a record.
func awaitRecord(t testing.TB, client rueidis.Client, key string) {
	t.Helper()
	await(t, "the record "+key, func() bool {
		text, _ := client.Do(t.Context(), client.B().Get().Key(key).Build()).ToString()
		return strings.HasSuffix(text, "}")
	})
}

func (r *instance) wantFinds(t *testing.T, what string, want int64) {
	t.Helper()
	if got := r.finds.Swap(0); got != want {
		t.Errorf("%s: the origin was asked %d times, want %d", what, got, want)
	}
}

// awaitVersion polls until the instance has the version, and fails when it has an
// older one afterwards.
func (r *instance) awaitVersion(t testing.TB, ref tenancy.Ref, want int64) {
	t.Helper()
	await(t, fmt.Sprintf("version %d of %v", want, ref), func() bool {
		got, err := r.Find(t.Context(), ref)
		return err == nil && got.Version == want
	})
}

func fill(t testing.TB, store catalog.Store, tenants ...*tenancy.Tenant) {
	t.Helper()
	cat, err := catalog.NewWithStore(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range tenants {
		if _, err := cat.Create(t.Context(), each); err != nil {
			t.Fatal(err)
		}
	}
}

func acme() *tenancy.Tenant {
	return &tenancy.Tenant{
		ID: "acme-1", Slug: "acme", Name: "Größe 😀", Domains: []string{"acme.example"}, Status: tenancy.StatusActive,
		Limits: map[string]int64{"seats": 1 << 60}, Settings: map[string]string{"k": "v\n"},
	}
}

// alone is the namespace of a test that has a Redis of its own.
const alone = "alone"

// keysOf returns what the keys of a namespace begin with, and recordOf the key of a slug.
func keysOf(namespace string) string { return "tenancy:cache:" + namespace + ":{catalog}:" }

func recordOf(namespace, slug string) string { return keysOf(namespace) + "slug:" + slug }

// long is for caches whose records end by changes alone.
var long = cache.Options{TTL: time.Hour, MaxAgeUnsynced: time.Hour, UnknownTTL: time.Hour, RedisTimeout: time.Minute}

// What one instance changes, all have soon, and what one loads, the others need not
// load.
func TestCacheReplicas(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	opts := long
	a, b := newInstance(t, store, client, ns, opts), newInstance(t, store, client, ns, opts)

	wantVersion(t, a, slug("acme"), 1)
	a.wantFinds(t, "a loads", 1)
	awaitRecord(t, client, recordOf(ns, "acme"))
	wantVersion(t, b, slug("acme"), 1)
	wantVersion(t, b, byID("acme-1"), 1)
	b.wantFinds(t, "b finds it in Redis", 0)
	wantError(t, b, slug("apex"), tenancy.ErrNotFound)
	wantError(t, b, domain("new.example"), tenancy.ErrNotFound)

	if _, err := a.cat.Rename(t.Context(), "acme-1", "apex"); err != nil {
		t.Fatal(err)
	}
	b.awaitVersion(t, slug("apex"), 2)
	wantError(t, b, slug("acme"), tenancy.ErrNotFound)
	wantVersion(t, a, byID("acme-1"), 2)
	a.finds.Store(0)
	heard := time.Now()
	await(t, "hearing of it", func() bool { return a.Stat().SyncedAt.After(heard) })
	wantVersion(t, a, byID("acme-1"), 2)
	a.wantFinds(t, "a hears of its own change", 0)
	if _, err := b.cat.AddDomain(t.Context(), "acme-1", "new.example"); err != nil {
		t.Fatal(err)
	}
	a.awaitVersion(t, byID("acme-1"), 3)
	wantVersion(t, b, domain("new.example"), 3)
	if _, err := a.cat.SetStatus(t.Context(), "acme-1", tenancy.StatusArchived); err != nil {
		t.Fatal(err)
	}
	b.awaitVersion(t, domain("acme.example"), 4)
	if _, err := b.cat.SetStatus(t.Context(), "acme-1", tenancy.StatusPurging); err != nil {
		t.Fatal(err)
	}
	if err := b.cat.Delete(t.Context(), "acme-1"); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of it", func() bool { _, err := a.Find(t.Context(), slug("apex")); return errors.Is(err, tenancy.ErrNotFound) })
	for _, r := range []*instance{a, b} {
		r.awaitHearing(t) // a slow machine may miss an answer
		if s := r.Stat(); s.Resets != 1 || s.RedisDown || s.RedisUnreadable != 0 || s.SyncedAt.IsZero() {
			t.Errorf("got %+v, want nothing odd", s)
		}
	}
}

// Two services share a Redis, and have tenants of the same names. Without a namespace
// of its own, one was given the records of the other.
func TestServicesOnOneRedisShareNothing(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	production, staging := tenancytest.NewStore(), tenancytest.NewStore()
	namespaces := map[*tenancytest.Store]string{}
	for store, server := range map[*tenancytest.Store]string{production: "pg-1", staging: "pg-staging"} {
		tenant := acme()
		tenant.Placement.Server = server
		fill(t, store, tenant)
		cat, err := catalog.NewWithStore(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		name, err := cat.Namespace(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		namespaces[store] = ns + name // which removes the keys
	}
	wantServer := func(r *instance, want string) {
		t.Helper()
		if got, err := r.Find(t.Context(), slug("acme")); err != nil || got.Placement.Server != want {
			t.Errorf("got %+v, %v, want one on %s", got, err, want)
		}
	}
	first := newInstance(t, staging, client, namespaces[staging], long)
	wantServer(first, "pg-staging")
	awaitRecord(t, client, recordOf(namespaces[staging], "acme"))
	second := newInstance(t, production, client, namespaces[production], long)
	wantServer(second, "pg-1")
	second.wantFinds(t, "production asks its own catalog", 1)
	// Nor does one hear of the other's changes.
	if _, err := first.cat.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
		t.Fatal(err)
	}
	heard := time.Now()
	await(t, "hearing of nothing", func() bool { return second.Stat().SyncedAt.After(heard) })
	wantServer(second, "pg-1")
	second.wantFinds(t, "production, after a change of staging", 0)
}

// The log of a start says in which namespace it is.
func TestCacheLogsItsNamespace(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	var mu sync.Mutex
	var log bytes.Buffer
	opts := long
	opts.Logger = slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))
	newInstance(t, tenancytest.NewStore(), client, ns, opts)
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(log.String(), "keys=tenancy:cache:"+ns+":") {
		t.Errorf("got the log %q, want the namespace %s", log.String(), ns)
	}
}

// A process that only changes the catalog needs no Run.
func TestCacheTellsWithoutRun(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	opts := long
	a := newInstance(t, store, client, ns, opts)
	wantVersion(t, a, slug("acme"), 1)

	cat, err := catalog.NewWithStore(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cache.NewRedis(cat, client, ns, &cache.Options{RedisTimeout: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if _, err := cat.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
		t.Fatal(err)
	}
	a.awaitVersion(t, slug("acme"), 2)
}

// A load of one instance that began before a change of another does not put the
// older record into Redis.
func TestCacheSlowLoadDoesNotFillRedis(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ told, unmarked, loaded bool }{
		"told":                           {told: true},
		"told, and the mark was evicted": {told: true, unmarked: true},
		"told, and loaded since":         {told: true, loaded: true},
		"not told, and loaded since":     {loaded: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, ns := tenancytest.Redis(t)
			key := recordOf(ns, "acme")
			store := tenancytest.NewStore()
			fill(t, store, acme())
			opts := long
			b := newInstance(t, store, client, ns, opts)
			var o origin // of one that hears of nothing
			var err error
			if o.Finder, err = catalog.NewWithStore(store, nil); err != nil {
				t.Fatal(err)
			}
			opts.RedisTimeout = 5 * time.Second
			a, err := cache.NewRedis(&o, client, ns, &opts)
			if err != nil {
				t.Fatal(err)
			}
			read, goOn := make(chan struct{}), make(chan struct{})
			var once sync.Once
			o.answerAfter(func(context.Context, tenancy.Ref) {
				once.Do(func() {
					close(read)
					<-goOn
				})
			})
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = a.Find(t.Context(), slug("acme")) })
			<-read
			cat := b.cat
			if !test.told {
				if cat, err = catalog.NewWithStore(store, nil); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := cat.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
				t.Fatal(err)
			}
			if test.unmarked {
				if err := client.Do(t.Context(), client.B().Del().Key(key).Build()).Error(); err != nil {
					t.Fatal(err)
				}
			}
			if test.loaded {
				wantVersion(t, b, slug("acme"), 2)
				awaitRecord(t, client, key)
			}
			close(goOn)
			wg.Wait()
			if err := a.Close(); err != nil { // what it stores is stored
				t.Fatal(err)
			}
			c := newInstance(t, store, client, ns, opts)
			wantVersion(t, c, slug("acme"), 2)
		})
	}
}

// Nor does one that knows of a change that could not be told.
func TestCacheSlowLoadDoesNotFillRedisUntold(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	cat, err := catalog.NewWithStore(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{Finder: cat}
	opts := long
	client, proxy := proxied(t, s)
	opts.Logger, opts.RedisTimeout = quiet, 5*time.Second
	a, err := cache.NewRedis(o, client, alone, &opts)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	o.answerAfter(func(context.Context, tenancy.Ref) {
		once.Do(func() {
			proxy.Stop()
			if _, err := cat.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
				t.Error(err)
			}
			if err := proxy.Start(); err != nil {
				t.Error(err)
			}
			await(t, "Redis", func() bool {
				return client.Do(t.Context(), client.B().Ping().Build()).Error() == nil
			})
		})
	})
	wantVersion(t, a, slug("acme"), 2)
	if err := a.Close(); err != nil { // what it stores is stored
		t.Fatal(err)
	}
	wantVersion(t, newInstance(t, store, connect(t, s.URL), alone, long), slug("acme"), 2)
}

// Whatever happens to Redis, a change is seen within MaxAgeUnsynced, or soon after Redis
// is back, and records in memory and in Redis from before are not used.
func TestCacheRedisIsLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, s *testserver.Server, client rueidis.Client){
		"flushed": func(t *testing.T, _ *testserver.Server, client rueidis.Client) {
			if err := client.Do(t.Context(), client.B().Flushall().Build()).Error(); err != nil {
				t.Error(err)
			}
		},
		"started from a snapshot": func(t *testing.T, s *testserver.Server, client rueidis.Client) {
			if err := client.Do(t.Context(), client.B().Save().Build()).Error(); err != nil {
				t.Error(err)
			}
			s.Kill()
			if err := s.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"killed": func(t *testing.T, s *testserver.Server, _ rueidis.Client) {
			s.Kill()
			if err := s.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startRedis(t)
			client := connect(t, s.URL)
			store := tenancytest.NewStore()
			fill(t, store, acme())
			// Nothing ends by itself.
			a, b := newInstance(t, store, client, alone, long), newInstance(t, store, connect(t, s.URL), alone, long)
			wantVersion(t, a, slug("acme"), 1)
			wantVersion(t, b, slug("acme"), 1)
			if _, err := a.cat.SetStatus(t.Context(), "acme-1", tenancy.StatusSuspended); err != nil {
				t.Fatal(err)
			}
			b.awaitVersion(t, slug("acme"), 2)
			lose(t, s, client)
			// As if the change had been told, and the server had lost that.
			silent, err := catalog.NewWithStore(store, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := silent.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
				t.Fatal(err)
			}
			for _, r := range []*instance{a, b} {
				r.awaitVersion(t, slug("acme"), 3)
			}
		})
	}
}

// So it is when an instance takes over that had not heard of the last changes.
func TestCacheRedisFailsOver(t *testing.T) {
	t.Parallel()
	first, second := startRedis(t), startRedis(t)
	admin := connect(t, second.URL)
	at, err := url.Parse(first.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(at.Port(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	store := tenancytest.NewStore()
	fill(t, store, acme())
	var all []*instance
	var proxies []*testserver.Proxy
	for range 2 {
		client, proxy := proxied(t, first)
		all, proxies = append(all, newInstance(t, store, client, alone, long)), append(proxies, proxy)
	}
	for _, r := range all {
		wantVersion(t, r, slug("acme"), 1)
	}
	if err := admin.Do(t.Context(), admin.B().Replicaof().Host(at.Hostname()).Port(port).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	await(t, "replication", func() bool {
		n, err := admin.Do(t.Context(), admin.B().Exists().Key(recordOf(alone, "acme")).Build()).AsInt64()
		return err == nil && n == 1
	})
	if err := admin.Do(t.Context(), admin.B().Replicaof().No().One().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if _, err := all[0].cat.SetStatus(t.Context(), "acme-1", tenancy.StatusSuspended); err != nil {
		t.Fatal(err)
	}
	all[1].awaitVersion(t, slug("acme"), 2)
	for _, proxy := range proxies {
		proxy.Stop()
	}
	first.Kill()
	silent, err := catalog.NewWithStore(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := silent.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil { // as if told, and lost
		t.Fatal(err)
	}
	for _, proxy := range proxies {
		proxy.Lead(strings.TrimPrefix(second.URL, "redis://"))
		if err := proxy.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range all {
		r.awaitVersion(t, slug("acme"), 3)
	}
}

// A network that swallows everything, and closes nothing, is noticed; requests wait
// for it no longer than RedisTimeout; what was said meanwhile is heard of afterwards.
func TestCacheRedisIsSilent(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	client, proxy := proxied(t, s)
	opts := long
	opts.RedisTimeout, opts.UnknownRate = time.Second, 1e6
	a := newInstance(t, store, connect(t, s.URL), alone, long)
	b := newInstance(t, store, client, alone, opts)
	wantVersion(t, b, slug("acme"), 1)
	proxy.Inject(testserver.Fault{Hush: true})
	if _, err := a.cat.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
		t.Fatal(err)
	}
	await(t, "an unsynced cache", func() bool { return b.Stat().Unsynced })
	began := time.Now()
	const names = 250 // if each waited, that would be minutes
	for i := range names {
		wantError(t, b, slug(fmt.Sprintf("x%d", i)), tenancy.ErrNotFound)
	}
	if d := time.Since(began); d > patient {
		t.Errorf("%d requests waited for %v", names, d)
	}
	wantVersion(t, b, slug("acme"), 1) // as MaxAgeUnsynced says
	proxy.Inject(testserver.Fault{})
	b.awaitVersion(t, slug("acme"), 2)
	b.awaitHearing(t)
	if n := b.Stat().Resets; n != 1 {
		t.Errorf("%d resets, want only that of the beginning", n)
	}
}

// goroutines counts those of caches and of clients of Redis. Others come and go.
func goroutines() (n int) {
	stacks := make([]byte, 1<<20)
	for runtime.Stack(stacks, true) == len(stacks) {
		stacks = make([]byte, 2*len(stacks))
	}
	for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, "/rueidis") || strings.Contains(stack, "catalog/cache.(") {
			n++
		}
	}
	return n
}

// When Run has ended and the cache and the client are closed no goroutine remains,
// though Redis was silent.
func TestCacheLeavesNoGoroutine(t *testing.T) {
	s := startRedis(t)
	proxy := startProxy(t, s)
	before := goroutines()
	opts := rueidis.MustParseURL("redis://" + proxy.Addr)
	opts.ForceSingleClient = true
	client, err := rueidis.NewClient(opts)
	if err != nil {
		t.Fatal(err)
	}
	f, refs := newFinder(100)
	c, err := cache.NewRedis(f, client, alone, &cache.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx) })
	await(t, "hearing", func() bool { return !c.Stat().Unsynced })
	proxy.Inject(testserver.Fault{Hush: true})
	for _, ref := range refs {
		wantVersion(t, c, ref, 1)
	}
	await(t, "an unsynced cache", func() bool { return c.Stat().Unsynced })
	cancel()
	wg.Wait()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	client.Close()
	proxy.Inject(testserver.Fault{})
	await(t, "the end of all goroutines", func() bool { return goroutines() <= before })
}

// Who could not read the log for a while, and finds that a part of it is gone,
// trusts nothing.
func TestCacheMissesChanges(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(rueidis.Client) rueidis.Completed{
		"removed": func(c rueidis.Client) rueidis.Completed {
			return c.B().Del().Key(keysOf(alone) + "log").Build()
		},
		"cut": func(c rueidis.Client) rueidis.Completed {
			return c.B().Xtrim().Key(keysOf(alone) + "log").Maxlen().Exact().Threshold("1").Build()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startRedis(t)
			store := tenancytest.NewStore()
			fill(t, store, acme(), &tenancy.Tenant{ID: "globex-1", Slug: "globex", Status: tenancy.StatusActive})
			client := connect(t, s.URL)
			broken, proxy := proxied(t, s)
			a, b := newInstance(t, store, client, alone, long), newInstance(t, store, broken, alone, long)
			wantVersion(t, b, slug("acme"), 1)
			proxy.Stop()
			for _, id := range []tenancy.ID{"acme-1", "globex-1"} {
				if _, err := a.cat.SetStatus(t.Context(), id, tenancy.StatusBlocked); err != nil {
					t.Fatal(err)
				}
			}
			wantVersion(t, b, slug("acme"), 1) // as MaxAgeUnsynced says
			if err := client.Do(t.Context(), cut(client)).Error(); err != nil {
				t.Fatal(err)
			}
			if err := proxy.Start(); err != nil {
				t.Fatal(err)
			}
			b.awaitVersion(t, slug("acme"), 2)
			if _, err := a.cat.SetStatus(t.Context(), "acme-1", tenancy.StatusActive); err != nil {
				t.Fatal(err)
			}
			b.awaitVersion(t, slug("acme"), 3)
			if n := b.Stat().Resets; n != 2 {
				t.Errorf("%d resets, want 2", n)
			}
		})
	}
}

// Where the state is removed, and the log stays, an instance loads all records again once, and hears of what comes.
func TestCacheStateRemoved(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	a, b := newInstance(t, store, client, ns, long), newInstance(t, store, client, ns, long)
	wantVersion(t, b, slug("acme"), 1)
	if _, err := a.cat.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
		t.Fatal(err)
	}
	b.awaitVersion(t, slug("acme"), 2)
	was := b.Stat().Resets
	if err := client.Do(t.Context(), client.B().Del().Key(keysOf(ns)+"state").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	await(t, "a new epoch", func() bool { return b.Stat().Resets > was })
	for range 8 { // looks
		at := b.Stat().SyncedAt
		await(t, "the next look", func() bool { return b.Stat().SyncedAt.After(at) })
	}
	if n := b.Stat().Resets; n != was+1 {
		t.Errorf("%d resets, want 1", n-was)
	}
	if _, err := a.cat.SetStatus(t.Context(), "acme-1", tenancy.StatusActive); err != nil {
		t.Fatal(err)
	}
	b.awaitVersion(t, slug("acme"), 3)
	if n := b.Stat().Resets; n != was+1 {
		t.Errorf("after a change: %d resets, want 1", n-was)
	}
}

// Three instances change and read at random. Each has what there is, once it has
// heard of all changes.
func TestCacheReplicasAgree(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	store := tenancytest.NewStore()
	names := []string{"a", "b", "c", "d", "e"}
	var refs []tenancy.Ref
	for i, name := range names {
		refs = append(refs, slug(name))
		if i < 3 {
			fill(t, store, &tenancy.Tenant{ID: tenancy.ID("t" + name), Slug: name})
			refs = append(refs, byID("t"+name))
		}
	}
	opts := long
	opts.UnknownRate = 1e6
	var all []*instance
	for range 3 {
		r := newInstance(t, store, client, ns, opts)
		r.answerAfter(func(context.Context, tenancy.Ref) { time.Sleep(rand.N(2 * time.Millisecond)) })
		all = append(all, r)
	}
	for range 6 {
		var wg sync.WaitGroup
		for _, r := range all {
			wg.Go(func() {
				for range 5 {
					_, _ = r.cat.Rename(t.Context(), tenancy.ID("t"+names[rand.N(3)]), names[rand.N(len(names))]) // may be taken
				}
			})
			for range 2 {
				wg.Go(func() {
					for range 50 {
						if _, err := r.Find(t.Context(), refs[rand.N(len(refs))]); err != nil && !errors.Is(err, tenancy.ErrNotFound) {
							t.Errorf("Find: %v", err)
						}
						time.Sleep(rand.N(time.Millisecond))
					}
				})
			}
		}
		wg.Wait()
		end := time.Now()
		for _, r := range all {
			await(t, "hearing of all", func() bool { return r.Stat().SyncedAt.After(end) })
			for _, ref := range refs {
				want, wantErr := store.Find(t.Context(), ref)
				got, err := r.Find(t.Context(), ref)
				if wantErr != nil && errors.Is(err, tenancy.ErrNotFound) {
					continue
				}
				if wantErr != nil || err != nil || got.Version != want.Version || got.ID != want.ID {
					t.Errorf("%v: got %+v, %v, want %+v, %v", ref, got, err, want, wantErr)
				}
			}
		}
	}
	for _, r := range all {
		if s := r.Stat(); s.RedisHits == 0 || s.Resets != 1 {
			t.Errorf("got %+v, want records from Redis", s)
		}
	}
}

// A change that could not be told is told when Redis is back.
func TestCacheTellsLater(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	broken, proxy := proxied(t, s)
	a, b := newInstance(t, store, broken, alone, long), newInstance(t, store, connect(t, s.URL), alone, long)
	wantVersion(t, a, slug("acme"), 1)
	wantVersion(t, b, slug("acme"), 1)
	proxy.Stop()
	if _, err := a.cat.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
		t.Fatal(err)
	}
	wantVersion(t, a, slug("acme"), 2) // and not what is in Redis
	wantVersion(t, b, slug("acme"), 1)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	b.awaitVersion(t, slug("acme"), 2)
}

// Without Run it is told after the next change.
func TestCacheTellsLaterWithoutRun(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme(), &tenancy.Tenant{ID: "globex-1", Slug: "globex"})
	b := newInstance(t, store, connect(t, s.URL), alone, long)
	wantVersion(t, b, slug("acme"), 1)
	cat, err := catalog.NewWithStore(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	opts := long
	client, proxy := proxied(t, s)
	opts.Logger, opts.RedisTimeout = quiet, 5*time.Second
	if _, err := cache.NewRedis(cat, client, alone, &opts); err != nil {
		t.Fatal(err)
	}
	proxy.Stop()
	if _, err := cat.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
		t.Fatal(err)
	}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	changes := 0 // the client needs some to come back
	await(t, "version 2", func() bool {
		if _, err := cat.AddDomain(t.Context(), "globex-1", fmt.Sprintf("d%d.example", changes)); err != nil {
			t.Fatal(err)
		}
		if changes++; changes == 50 {
			t.Fatal("not told after 50 changes")
		}
		got, err := b.Find(t.Context(), slug("acme"))
		return err == nil && got.Version == 2
	})
}

// While Redis cannot be reached, records become no older than MaxAgeUnsynced.
func TestCacheDeaf(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	broken, proxy := proxied(t, s)
	opts := long
	opts.MaxAgeUnsynced = 100 * time.Millisecond
	a, b := newInstance(t, store, connect(t, s.URL), alone, opts), newInstance(t, store, broken, alone, opts)
	wantVersion(t, b, slug("acme"), 1)
	proxy.Stop()
	if _, err := a.cat.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
		t.Fatal(err)
	}
	b.awaitVersion(t, slug("acme"), 2)
	if err := b.Check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("Check of a cache that may miss changes: got %v, want ErrUnavailable", err)
	}
	if s := b.Stat(); !s.Unsynced {
		t.Errorf("got %+v, want an unsynced cache", s)
	}
	// What was said meanwhile is heard of afterwards, and nothing else is lost.
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	b.awaitHearing(t)
	if n := b.Stat().Resets; n != 1 {
		t.Errorf("%d resets, want only that of the beginning", n)
	}
}

// A cache that nobody tells anything does not take that for that, though Redis is
// some way off.
func TestCacheHearsSilence(t *testing.T) {
	t.Parallel()
	client, proxy := proxied(t, startRedis(t))
	slowDown(t, proxy, 20*time.Millisecond)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	r := newInstance(t, store, client, alone, long)
	// From one proof that nothing was missed to the next, it hears all the time. A
	// machine that stands still for a while makes it unsynced meanwhile, but not always.
	heard, before, unsynced := 0, r.Stat().SyncedAt, true
	await(t, "times in which it was always in step", func() bool {
		s := r.Stat()
		unsynced = unsynced || s.Unsynced
		if s.SyncedAt.After(before) {
			if !unsynced {
				heard++
			}
			before, unsynced = s.SyncedAt, s.Unsynced
		}
		return heard == 5
	})
	if n := r.Stat().Resets; n != 1 {
		t.Errorf("%d resets, want only that of the beginning", n)
	}
}

// A cache that has much to catch up with is unsynced until it has.
func TestCacheCatchesUp(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	broken, proxy := proxied(t, s)
	a, b := newInstance(t, store, connect(t, s.URL), alone, long), newInstance(t, store, broken, alone, long)
	wantVersion(t, b, slug("acme"), 1)
	proxy.Stop()
	await(t, "an unsynced cache", func() bool { return b.Stat().Unsynced })
	for range 4999 { // pages that are full
		a.Forget(t.Context(), slug("other"))
	}
	if _, err := a.cat.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
		t.Fatal(err)
	}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	for b.Stat().Unsynced {
		if t.Context().Err() != nil {
			return
		}
	}
	wantVersion(t, b, slug("acme"), 2)
	if n := b.Stat().Resets; n != 1 {
		t.Errorf("%d resets, want only that of the beginning", n)
	}
}

// A tenant that another instance has loaded is served in the middle of a flood of names
// that nobody has, and the flood does not reach the origin through Redis.
func TestCacheFloodWithRedis(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	opts := long
	a := newInstance(t, store, client, ns, opts)
	wantVersion(t, a, slug("acme"), 1)
	awaitRecord(t, client, recordOf(ns, "acme"))
	opts.UnknownRate, opts.UnknownBurst = 1, 5
	b := newInstance(t, store, client, ns, opts)
	began := time.Now()
	var refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			if _, err := b.Find(t.Context(), slug(fmt.Sprintf("x%d", i))); errors.Is(err, tenancy.ErrUnavailable) {
				refused.Add(1)
			}
		})
	}
	await(t, "the flood", func() bool { return b.finds.Load() >= 5 })
	wantVersion(t, b, slug("acme"), 1)
	wg.Wait()
	most := 5 + int64(time.Since(began)/time.Second) + 1
	if n := b.finds.Load(); n > most || refused.Load() != 1000-n {
		t.Errorf("the origin was asked %d times and %d names were refused, want at most %d and the rest", n, refused.Load(), most)
	}
	if n := b.Stat().RedisHits; n != 1 {
		t.Errorf("got %d records from Redis, want 1", n)
	}
}

// A slow Redis costs few requests the RedisTimeout: if it were all of them, that would
// take minutes.
func TestCacheRedisIsSlow(t *testing.T) {
	t.Parallel()
	client, proxy := proxied(t, startRedis(t))
	f, refs := newFinder(250)
	c, err := cache.NewRedis(f, client, alone, &cache.Options{RedisTimeout: time.Second, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	run(t, c)
	await(t, "hearing", func() bool { return !c.Stat().Unsynced })
	slowDown(t, proxy, time.Hour)
	began := time.Now()
	for _, ref := range refs {
		wantVersion(t, c, ref, 1)
	}
	if d := time.Since(began); d > patient {
		t.Errorf("%d requests waited for Redis, %v in all", len(refs), d)
	}
	if s := c.Stat(); !s.RedisDown {
		t.Errorf("got %+v, want that Redis is down", s)
	}
	proxy.Inject(testserver.Fault{})
	await(t, "Redis being asked again", func() bool { return !c.Stat().RedisDown && !c.Stat().Unsynced })
}

// While one Run runs, no change waits for a Redis that is down.
func TestCacheRunTwice(t *testing.T) {
	t.Parallel()
	client, proxy := proxied(t, startRedis(t))
	f, refs := newFinder(100)
	c, err := cache.NewRedis(f, client, alone, &cache.Options{RedisTimeout: 50 * time.Millisecond, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	run(t, c)
	await(t, "hearing", func() bool { return !c.Stat().Unsynced })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
	slowDown(t, proxy, time.Hour)
	for _, ref := range refs {
		wantVersion(t, c, ref, 1)
	}
	if !c.Stat().RedisDown {
		t.Fatal("want that Redis is down")
	}
	began := time.Now()
	for range 300 { // each would wait for a second
		c.Forget(t.Context(), refs[0])
	}
	if d := time.Since(began); d > patient {
		t.Errorf("changes waited for %v", d)
	}
}

// A name that the record does not have, but the origin knows, is forgotten by all instances with the tenant.
func TestCacheForgetsAliases(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	cat := tenancytest.NewCatalog(t, acme())
	alias := tenancy.Ref{Kind: tenancy.RefDomain, Value: "alias.example"}
	var removed atomic.Bool
	var all []*cache.Cache
	for range 2 {
		o := &origin{Finder: cat}
		o.answerAfter(func(_ context.Context, ref tenancy.Ref) {
			if removed.Load() && ref == byID("acme-1") {
				o.breakDown(tenancy.ErrNotFound)
			}
		})
		opts := long
		opts.Logger, opts.RedisTimeout = quiet, 5*time.Second
		c, err := cache.NewRedis(&aliases{o, map[tenancy.Ref]tenancy.Ref{alias: byID("acme-1")}}, client, ns, &opts)
		if err != nil {
			t.Fatal(err)
		}
		run(t, c)
		await(t, "hearing", func() bool { return !c.Stat().Unsynced })
		wantVersion(t, c, alias, 1)
		all = append(all, c)
	}
	removed.Store(true)
	all[0].Forget(t.Context(), alias, byID("acme-1"))
	wantError(t, all[0], alias, tenancy.ErrNotFound)
	await(t, "the end of the alias", func() bool { _, err := all[1].Find(t.Context(), alias); return errors.Is(err, tenancy.ErrNotFound) })
}

// What somebody else wrote in Redis is a miss, is logged, and is written over.
func TestCacheOddRecords(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	var mu sync.Mutex
	var log bytes.Buffer
	opts := long
	opts.Logger = slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))
	a := newInstance(t, store, client, ns, opts)
	wantVersion(t, a, slug("acme"), 1)
	key := recordOf(ns, "acme")
	get := func() string {
		text, _ := client.Do(t.Context(), client.B().Get().Key(key).Build()).ToString()
		return text
	}
	await(t, "a record", func() bool { return get() != "" })
	good := get()
	_, record, _ := strings.Cut(good, "{")
	for what, text := range map[string]string{
		"empty": "", "garbage": "\x00\xff", "JSON": `{"id":"acme-1"}`, "format": "0" + good, "cut off": good[:len(good)-2],
		"invalid": strings.Replace(good, `"slug":"acme"`, `"slug":"ACME"`, 1),
		"another": strings.Replace(good, `"slug":"acme"`, `"slug":"apex"`, 1),
		"version": strings.Replace(good, `"version":1`, `"version":0`, 1),
	} {
		if err := client.Do(t.Context(), client.B().Set().Key(key).Value(text).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		b := newInstance(t, store, client, ns, opts)
		wantVersion(t, b, slug("acme"), 1)
		b.wantFinds(t, what, 1)
		if n := b.Stat().RedisUnreadable; n != 1 && text != "" {
			t.Errorf("%s: counted %d unreadable records, want 1", what, n)
		}
		await(t, what+" written over", func() bool { now := get(); return now != text && strings.HasSuffix(now, record) })
	}
	if err := client.Do(t.Context(), client.B().Del().Key(key).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if err := client.Do(t.Context(), client.B().Lpush().Key(key).Element("x").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	b := newInstance(t, store, client, ns, opts)
	wantVersion(t, b, slug("acme"), 1)
	await(t, "a list written over", func() bool { return get() != "" })
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(log.String(), "slug:acme") {
		t.Errorf("logged %q, want the ref", log.String())
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

// An instance that starts while the catalog is down serves what Redis has.
func TestCacheStartsStale(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	opts := cache.Options{TTL: 100 * time.Millisecond}
	a := newInstance(t, store, client, ns, opts)
	wantVersion(t, a, slug("acme"), 1)
	began := time.Now()
	awaitRecord(t, client, recordOf(ns, "acme"))
	await(t, "its end", func() bool { return time.Since(began) > opts.TTL })
	b := newInstance(t, store, client, ns, opts)
	b.breakDown(errors.New("down"))
	for range 3 {
		wantVersion(t, b, slug("acme"), 1)
	}
	if n := b.Stat().Stale; n != 3 {
		t.Errorf("counted %d stale answers, want 3", n)
	}
	wantError(t, b, slug("apex"), tenancy.ErrUnavailable)
}

// allowed returns a client whose user may do only that.
func allowed(t *testing.T, s *testserver.Server, commands ...string) rueidis.Client {
	t.Helper()
	admin := connect(t, s.URL)
	rules := append([]string{"reset", "on", ">secret", "~tenancy:*", "+hello"}, commands...)
	if err := admin.Do(t.Context(), admin.B().AclSetuser().Username("cache").Rule(rules...).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.RawQuery = url.UserPassword("cache", "secret"), "client_cache=0"
	return connect(t, u.String())
}

// TestCachePermissions shows what a user of Redis must be allowed to.
func TestCachePermissions(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	client := allowed(t, s, "+eval", "+evalsha", "+get", "+set", "+hmget", "+hset", "+xadd", "+xread", "+pexpire", "+time")
	a, b := newInstance(t, store, client, alone, long), newInstance(t, store, client, alone, long)
	wantVersion(t, a, slug("acme"), 1)
	awaitRecord(t, connect(t, s.URL), recordOf(alone, "acme"))
	wantVersion(t, b, slug("acme"), 1)
	b.wantFinds(t, "a record from Redis", 0)
	if _, err := b.cat.Rename(t.Context(), "acme-1", "apex"); err != nil {
		t.Fatal(err)
	}
	a.awaitVersion(t, slug("apex"), 2)
}

// What was heard before a look failed is not missing afterwards.
func TestCacheLookFails(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	admin := connect(t, s.URL)
	a, b := newInstance(t, store, admin, alone, long), newInstance(t, store, allowed(t, s, "+@all"), alone, long)
	rule := func(rules ...string) {
		t.Helper()
		if err := admin.Do(t.Context(), admin.B().AclSetuser().Username("cache").Rule(rules...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	rule("-evalsha", "-eval")
	a.Forget(t.Context(), slug("acme"))
	await(t, "hearing of it", func() bool { return b.Stat().Changes > 0 })
	await(t, "an unsynced cache", func() bool { return b.Stat().Unsynced })
	rule("+evalsha", "+eval")
	b.awaitHearing(t)
	if n := b.Stat().Resets; n != 1 {
		t.Errorf("%d resets, want only that of the beginning", n)
	}
}

// A change that cannot be told, although Redis can be read, is not undone by what is
// there.
func TestCacheCannotTell(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	admin := connect(t, s.URL)
	wantVersion(t, newInstance(t, store, admin, alone, long), slug("acme"), 1)
	awaitRecord(t, admin, recordOf(alone, "acme"))
	cat, err := catalog.NewWithStore(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	opts := long
	opts.Logger, opts.RedisTimeout = quiet, 5*time.Second
	client := allowed(t, s, "+eval", "+evalsha", "+get", "+hmget", "+hset", "+time", "+info")
	c, err := cache.NewRedis(cat, client, alone, &opts)
	if err != nil {
		t.Fatal(err)
	}
	wantVersion(t, c, slug("acme"), 1)
	if n := c.Stat().RedisHits; n != 1 {
		t.Fatalf("got %d records from Redis, want 1", n)
	}
	if _, err := cat.SetStatus(t.Context(), "acme-1", tenancy.StatusBlocked); err != nil {
		t.Fatal(err)
	}
	wantVersion(t, c, slug("acme"), 2)
}

// What one instance removes, the others hear of: each drops what it keeps of the tenant.
func TestWatchRemoved(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	store := tenancytest.NewStore()
	fill(t, store, acme())
	a, b := newInstance(t, store, client, ns, long), newInstance(t, store, client, ns, long)
	heard := map[string]chan tenancy.ID{}
	for name, r := range map[string]*instance{"a": a, "b": b} {
		ids := make(chan tenancy.ID, 10)
		heard[name] = ids
		t.Cleanup(r.WatchRemoved(func(id tenancy.ID) { ids <- id }))
		r.WatchRemoved(func(id tenancy.ID) { t.Errorf("%s: told of %q after stop", name, id) })()
	}
	for _, status := range []tenancy.Status{tenancy.StatusArchived, tenancy.StatusPurging} {
		if _, err := a.cat.SetStatus(t.Context(), "acme-1", status); err != nil {
			t.Fatal(err)
		}
	}
	a.Forget(t.Context(), byID("acme-1")) // which removes nothing
	if err := a.cat.Delete(t.Context(), "acme-1"); err != nil {
		t.Fatal(err)
	}
	for name, ids := range heard {
		select {
		case id := <-ids:
			if id != "acme-1" || len(ids) != 0 {
				t.Errorf("%s: got %q and %d more, want acme-1 alone", name, id, len(ids))
			}
		case <-time.After(patient):
			t.Errorf("%s: heard of no removal", name)
		}
	}
}
