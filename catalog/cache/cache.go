package cache

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"go.opentelemetry.io/otel/attribute"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/internal/circuit"
	"github.com/artflow-studio/tenancy/internal/failure"
	"github.com/artflow-studio/tenancy/internal/rediskit"
	"github.com/artflow-studio/tenancy/internal/spans"
)

// Cache is a [tenancy.Finder] in front of another, usually a [catalog.Catalog]. It keeps the records that were
// asked for in process. Many goroutines may call its methods at once.
type Cache struct {
	origin tenancy.Finder
	opts   Options
	stop   func() // watching
	base   time.Time

	silence func() error // the metrics

	// trusted: a record that was loaded before this time needs a closer look. Until it is set, every record
	// does.
	trusted  atomic.Int64
	sample   atomic.Uint64 // which hits are counted
	memory   memory
	admit    *admission
	circuit  circuit.Circuit // of the origin
	refresh  chan struct{}
	shared   *shared // nil: no Redis
	removals removals
	syncedAt atomic.Int64 // when a look began that heard of all changes
	loads    sync.WaitGroup
	running  atomic.Int32 // calls of Run
	closed   atomic.Bool  // set under the memory's lock
	counts   counts
}

const (
	never = math.MaxInt64
	// unknownSize is how many refs that lead nowhere are remembered, at the least.
	unknownSize = 10_000
	// changesSize is how many refs of changes are remembered, at the least, and
	// changesLife for how long.
	changesSize = 10_000
	changesLife = time.Hour
	// refreshes is how many records are loaded ahead of time at a time.
	refreshes = 8
	// tick is how exactly the age of a record is seen.
	tick = 20 * time.Millisecond
)

// New returns a cache in front of the origin. If the origin has a method Watch, as a [catalog.Catalog] has, the
// cache hears of its changes. If the origin only wraps a catalog, pass [Cache.Changed] to
// [catalog.Catalog.Watch] yourself.
func New(origin tenancy.Finder, opts *Options) (*Cache, error) {
	c, err := newCache(origin, nil, "", opts)
	if err != nil {
		return nil, tenancy.Wrap("cache.New", "", err)
	}
	return c, nil
}

// NewRedis is [New] for a service of several instances. Through Redis the caches of all instances, and of
// everything else that changes the catalog, share records and tell each other of changes. Pass
// [catalog.Catalog.Namespace] as the namespace: caches with the same namespace in the same Redis share records.
// The caller closes the client, after [Cache.Run] has ended.
func NewRedis(origin tenancy.Finder, client rueidis.Client, namespace string, opts *Options) (*Cache, error) {
	const op = "cache.NewRedis"
	if client == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no client", tenancy.ErrInvalid))
	}
	prefix, err := rediskit.Prefix("cache", namespace)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	c, err := newCache(origin, client, prefix, opts)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return c, nil
}

// newCache returns a cache, which shares what it has unless the client is nil.
func newCache(origin tenancy.Finder, client rueidis.Client, prefix string, opts *Options) (*Cache, error) {
	if origin == nil {
		return nil, fmt.Errorf("%w: no origin", tenancy.ErrInvalid)
	}
	c := &Cache{origin: origin, base: time.Now(), stop: func() {}, silence: func() error { return nil }, refresh: make(chan struct{}, refreshes)}
	if opts != nil {
		c.opts = *opts
	}
	if err := c.opts.complete(); err != nil {
		return nil, err
	}
	if client != nil {
		c.shared = newShared(client, prefix, &c.opts)
	}
	c.memory.init(c.opts.Size)
	c.memory.unknown = newRefSet(c.opts.UnknownTTL, unknownSize)
	c.memory.changes = newRefSet(changesLife, changesSize)
	c.admit = newAdmission(c.opts.UnknownRate, c.opts.UnknownBurst)
	c.circuit.Trip, c.circuit.Longest, c.circuit.Answer = 1, 5*time.Second, c.opts.LoadTimeout
	c.trusted.Store(never)
	c.syncedAt.Store(distrusted)
	if c.opts.MeterProvider != nil {
		unregister, err := c.observe(c.opts.MeterProvider)
		if err != nil {
			return nil, err
		}
		c.silence = sync.OnceValue(unregister)
	}
	if w, ok := origin.(interface {
		Watch(tell func(context.Context, catalog.Change)) (stop func())
	}); ok {
		c.stop = sync.OnceFunc(w.Watch(c.Changed))
	}
	return c, nil
}

// Close ends the cache: it stops watching the origin, and Find returns an error that wraps [tenancy.ErrClosed].
// It waits for the origin's answers to running loads. It may be called again.
func (c *Cache) Close() error {
	c.stop()
	c.memory.mu.Lock()
	c.closed.Store(true)
	c.memory.mu.Unlock()
	c.trusted.Store(never)
	c.loads.Wait()
	return tenancy.Wrap("cache.Cache.Close", "", c.silence())
}

// Run follows changes in Redis and keeps the cache's clock until ctx ends; then it returns nil. Without it the cache works, but
// misses changes of other instances (see [Options.MaxAgeUnsynced]) and reads the clock at each request.
func (c *Cache) Run(ctx context.Context) error {
	c.running.Add(1)
	defer c.running.Add(-1)
	defer c.trusted.Store(never)
	if c.shared != nil {
		c.opts.Logger.InfoContext(ctx, "cache: records are shared through redis", slog.String("keys", c.shared.prefix+"*"))
		var work sync.WaitGroup
		defer work.Wait()
		work.Go(func() { c.follow(ctx) })
	}
	t := time.NewTicker(max(time.Millisecond, min(tick, c.opts.TTL/10)))
	defer t.Stop()
	for i := uint64(0); ; i++ {
		c.look()
		c.sample.Store(i % samples)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// look says what is trusted from now on.
func (c *Cache) look() {
	now := c.now()
	c.trusted.Store(now - soon(c.maxAge()))
	if c.closed.Load() {
		c.trusted.Store(never)
	}
}

// now is the cache's clock, in nanoseconds.
func (c *Cache) now() int64 { return int64(time.Since(c.base)) }

// maxAge is how old a record may be that is used as it is.
func (c *Cache) maxAge() int64 {
	if c.shared != nil && c.unsynced() {
		return int64(c.opts.MaxAgeUnsynced)
	}
	return int64(c.opts.TTL)
}

// unsynced reports whether changes may be missed now.
func (c *Cache) unsynced() bool {
	syncedAt := c.syncedAt.Load()
	return syncedAt == distrusted || c.now()-syncedAt > int64(unsyncedAfter)
}

// soon is the age from which on a record that is used is loaded again ahead of
// time.
func soon(maxAge int64) int64 { return maxAge / 5 * 4 }

// Find returns the tenant that the ref names, whatever its status, or an error that wraps [tenancy.ErrNotFound]
// or [tenancy.ErrUnavailable]. It returns a tenant in memory even if ctx has ended; a load is waited for until
// ctx ends. The record is shared and must not be modified.
func (c *Cache) Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	if n, h := c.memory.table.Look(ref); n != nil && n.Loaded.Load() > c.trusted.Load() {
		if !n.Used.Load() {
			n.Used.Store(true)
		}
		if c.sampled(h) {
			c.counts.hits.Add(samples)
		}
		return n.Tenant, nil
	}
	t, err := c.find(ctx, ref)
	if err != nil {
		return nil, failure.Wrap("cache.Cache.Find", "", err)
	}
	return t, nil
}

// find looks again, and loads.
func (c *Cache) find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	if c.closed.Load() {
		return nil, tenancy.ErrClosed
	}
	if _, err := tenancy.NewRef(ref.Kind, ref.Value); err != nil {
		return nil, fmt.Errorf("%w: %w", tenancy.ErrNotFound, err)
	}
	now := c.now()
	n, h := c.memory.table.Look(ref)
	stale := false // it may be used while the origin fails
	if n != nil {
		n.Used.Store(true)
		maxAge, loaded := c.maxAge(), n.Loaded.Load()
		stale = loaded != distrusted && now-n.Of.loaded < int64(c.opts.MaxStale)
		switch age := now - loaded; {
		case loaded <= tried:
		case age < soon(maxAge):
			c.counts.hits.Add(1)
			return n.Tenant, nil
		case age < maxAge:
			c.counts.hits.Add(1)
			c.ahead(ctx, ref)
			return n.Tenant, nil
		}
	} else if c.memory.unknown.has(h, now) {
		c.counts.unknown.Add(1)
		return nil, fmt.Errorf("%w: tenant %v", tenancy.ErrNotFound, ref)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.counts.misses.Add(1)
	if stale && c.circuit.Open() {
		if c.circuit.Asks(now) {
			c.ahead(ctx, ref)
		}
		c.counts.stale.Add(1)
		return n.Tenant, nil
	}
	return c.wait(ctx, ref, n != nil || c.memory.changes.has(h, now))
}

// wait waits for a load, in a span.
func (c *Cache) wait(ctx context.Context, ref tenancy.Ref, known bool) (t *tenancy.Tenant, err error) {
	ctx, end := spans.Start(ctx, scope, "tenancy.catalog.load", attribute.String("tenancy.ref.kind", ref.Kind.String()))
	defer func() { end(err) }()
	l, _, err := c.join(ctx, ref, known)
	if err != nil {
		return nil, err
	}
	select {
	case <-l.done:
		if l.stale {
			c.counts.stale.Add(1)
		}
		return l.tenant, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ahead loads the record again while the old one is in use, unless many such loads run.
func (c *Cache) ahead(ctx context.Context, ref tenancy.Ref) {
	select {
	case c.refresh <- struct{}{}:
	default:
		return
	}
	l, began, err := c.join(ctx, ref, true)
	if !began || err != nil {
		<-c.refresh
		return
	}
	go func() {
		<-l.done
		<-c.refresh
	}()
}

// Changed drops what a change may have touched. After it has returned, this cache returns no record from before
// the change. See [catalog.Catalog.Watch].
func (c *Cache) Changed(ctx context.Context, change catalog.Change) {
	if change.Before == nil || change.After != nil || change.Err != nil {
		c.forget(ctx, change.Refs(), "")
		return
	}
	c.forget(ctx, change.Refs(), change.Before.ID)
	c.removals.tell(change.Before.ID)
}

// Forget drops what is cached for the refs, found or not found, here and on other instances. The next request
// loads it again. Changes that are made through the Catalog do not need it.
func (c *Cache) Forget(ctx context.Context, refs ...tenancy.Ref) { c.forget(ctx, refs, "") }

// forget forgets the refs here and on all instances. If a tenant was removed, it tells them which.
func (c *Cache) forget(ctx context.Context, refs []tenancy.Ref, removed tenancy.ID) {
	c.counts.changes.Add(1)
	s := c.shared
	if s == nil {
		c.memory.changed(refs, c.now())
		return
	}
	s.begin(refs) // what is in Redis now is from before
	c.memory.changed(refs, c.now())
	told := false
	defer func() { s.end(refs, told) }()
	if s.circuit.Open() && c.running.Load() > 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	err := s.tell(ctx, refs, removed)
	if told = err == nil; !told {
		s.failed(ctx, c.now(), err)
		c.opts.Logger.WarnContext(ctx, "cache: a change could not be written to redis; other instances see it after TTL, or when redis answers again", slog.Any("error", err))
		return
	}
	if c.running.Load() == 0 { // nobody else does it
		if err := s.pay(ctx); err != nil {
			s.failed(ctx, c.now(), err)
		}
	}
}

// jitter is how much older than it is a record is taken to be, so that records that were loaded together are
// not loaded again together.
func (c *Cache) jitter() int64 { return rand.N(int64(min(c.opts.TTL, c.opts.MaxAgeUnsynced))/10 + 1) } // not a secret
