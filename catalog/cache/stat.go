package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Stat is the state of a cache, and what it has done since it was made.
type Stat struct {
	// Tenants is the number of tenants in memory, Unknown the number of remembered refs that name none.
	Tenants int `json:"tenants"`
	Unknown int `json:"unknown"`
	// Hits counts records found in memory; while [Cache.Run] runs it is an estimate, which is close over many
	// seconds. UnknownHits counts refs that were remembered to name no tenant. Misses counts the rest, which
	// had to wait or got a stale record.
	Hits        int64 `json:"hits"`
	UnknownHits int64 `json:"unknown_hits"`
	Misses      int64 `json:"misses"`
	// Loads counts loads from the origin, LoadFailures those that failed for another reason than that there is
	// no such tenant.
	Loads        int64 `json:"loads"`
	LoadFailures int64 `json:"load_failures"`
	// Stale counts uses of records that were too old, because the origin failed.
	Stale int64 `json:"stale"`
	// Refused counts loads that were refused with a [*BusyError].
	Refused int64 `json:"refused"`
	// Changes counts the changes that the cache has heard of, Evictions the tenants that were evicted.
	Changes   int64 `json:"changes"`
	Evictions int64 `json:"evictions"`
	// RedisHits counts records found in Redis, RedisUnreadable records there that could not be read. Resets
	// counts how often all records in memory had to be loaded again because changes may have been missed: once
	// when the cache begins to follow changes, and each time that Redis has lost its memory.
	RedisHits       int64 `json:"redis_hits"`
	RedisUnreadable int64 `json:"redis_unreadable"`
	Resets          int64 `json:"resets"`
	// RedisDown reports whether the circuit is open: Redis failed, and is not asked for
	// records. Unsynced reports whether the cache may miss changes now, so that it uses
	// records for [Options.MaxAgeUnsynced] only. Without Redis both are false.
	RedisDown bool `json:"redis_down"`
	Unsynced  bool `json:"unsynced"`
	// SyncedAt is when the cache last knew of all changes; the zero time if never.
	SyncedAt time.Time `json:"synced_at"`
	// OriginDown reports whether the last load from the origin failed.
	OriginDown bool `json:"origin_down"`
}

// Stat returns the cache's figures.
func (c *Cache) Stat() Stat {
	s := Stat{
		Hits:         c.counts.hits.Load(),
		Unknown:      c.memory.unknown.len(),
		UnknownHits:  c.counts.unknown.Load(),
		Misses:       c.counts.misses.Load(),
		Loads:        c.counts.loads.Load(),
		LoadFailures: c.counts.failures.Load(),
		Stale:        c.counts.stale.Load(),
		Refused:      c.counts.refused.Load(),
		Changes:      c.counts.changes.Load(),
		OriginDown:   c.circuit.Open(),
	}
	if c.shared != nil {
		s.RedisHits, s.RedisUnreadable, s.Resets = c.counts.redis.Load(), c.shared.unreadable.Load(), c.counts.resets.Load()
		s.RedisDown, s.Unsynced = c.shared.circuit.Open(), c.unsynced()
		if syncedAt := c.syncedAt.Load(); syncedAt != distrusted {
			s.SyncedAt = c.base.Add(time.Duration(syncedAt))
		}
	}
	c.memory.mu.Lock()
	defer c.memory.mu.Unlock()
	s.Tenants, s.Evictions = c.memory.n, c.memory.evicted
	return s
}

// Check returns an error that wraps [tenancy.ErrUnavailable] while the origin fails or the cache misses
// changes. It asks nobody: it reports what was seen last. An instance whose cache fails still serves the
// tenants in memory, so this is no reason to stop sending requests to it.
func (c *Cache) Check(context.Context) error {
	var err error
	switch {
	case c.closed.Load():
		err = tenancy.ErrClosed
	case c.circuit.Open():
		err = fmt.Errorf("%w: the catalog does not answer; only tenants in memory are served", tenancy.ErrUnavailable)
	case c.shared != nil && c.unsynced():
		err = fmt.Errorf("%w: redis does not answer; changes of other instances are seen after %v", tenancy.ErrUnavailable, c.opts.MaxAgeUnsynced)
	}
	return tenancy.Wrap("cache.Cache.Check", "", err)
}

// counts are what the cache did.
type counts struct {
	hits     atomic.Int64
	misses   atomic.Int64
	loads    atomic.Int64
	failures atomic.Int64
	unknown  atomic.Int64
	stale    atomic.Int64
	refused  atomic.Int64
	changes  atomic.Int64
	resets   atomic.Int64
	redis    atomic.Int64
}

// samples is how many shares refs are cut into by their hash. Hits of one share are
// counted at a time, because counting each would cost more than finding it: an
// atomic addition keeps the processor from looking for the next record meanwhile.
const samples = 64

func (c *Cache) sampled(h uint64) bool { return h>>58 == c.sample.Load() }
