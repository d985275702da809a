// Package cache keeps records of tenants in front of a catalog.
//
// Middleware asks a [Cache] in place of the [catalog.Catalog] behind it. The cache keeps the
// records that were asked for in memory, shares them with other instances through Redis
// where there is one, and hears of each change from the Catalog that it was made with.
//
// Every process that changes tenants makes a Cache over its Catalog, with the same Redis
// and namespace, even if it never reads from it: that is how other instances hear of the
// changes. It needs no [Cache.Run] for that. Nobody hears of changes that are written with
// SQL past the Catalog.
//
// How old may a record be that Find returns?
//
//   - In the process that makes a change: no record is older than the change, once the
//     method that makes it has returned.
//   - In other processes, while Redis answers and Run runs: a change is seen some
//     milliseconds after it was told. The cache knows when it may have missed one:
//     it takes no longer than half a second to notice.
//   - While it may miss some, because Redis does not answer or Run does not run:
//     [Options.MaxAgeUnsynced], 5 seconds unless it is set. When Redis is back, what
//     was said meanwhile is heard of. When Redis has lost something (it was
//     flushed, started again, failed over, or the log of changes was cut off),
//     nothing that is in memory or in Redis is used before it was loaded again, or
//     a load of that very tenant has failed: then MaxStale counts, as for others.
//   - When a change could not be told, because the process that made it ended, or
//     did not reach Redis though the others did: [Options.TTL], a minute. It
//     is told when Redis is reached again; without Run, after the next change.
//   - Without Redis: TTL, for what other processes change.
//   - While the origin fails: [Options.MaxStale], an hour, for tenants of which
//     no change was heard. Others, and those that are not in memory or in Redis, are
//     [tenancy.ErrUnavailable].
//
// A load that began before a change never puts the older record back, in process or
// in Redis.
//
// Requests wait for one load of a tenant together, each until its own context ends.
// A tenant that is asked for is loaded again ahead of time, so that its requests
// never wait. A request that finds nothing in process waits for Redis no longer than
// [Options.RedisTimeout]; after three failures Redis is left alone for 100
// milliseconds to 10 seconds.
//
// Names that nobody has are remembered for some seconds, apart from tenants and at
// most 20,000 of them. They cost the origin no more than [Options.UnknownRate]
// questions a second. Beyond, they are refused with a [*BusyError] after a
// second at most, and so are tenants that are neither in memory nor in Redis, and of
// which no change was heard lately: a flood of names cannot be told from them.
//
// # Redis
//
// Redis 5 or later, alone or a cluster, in which all keys of a namespace are in one
// slot. The keys are tenancy:cache:NAMESPACE:{catalog}:state, :log, and :id:ID,
// :slug:SLUG and :domain:DOMAIN with records as JSON; all expire, and all may be deleted at any
// time. A user of Redis needs EVAL, EVALSHA, GET, SET, HMGET, HSET, XADD, XREAD,
// PEXPIRE and TIME, and INFO, without which a start from a snapshot and a fail-over
// are not noticed.
//
// # Metrics
//
// With a [Options.MeterProvider] there are tenancy.catalog.cache.tenants,
// .unknown, .hits, .unknown_hits, .misses, .redis_hits, .redis_unreadable, .loads,
// .load.failures, .stale, .refused, .changes, .resets, .evictions, .unsynced,
// .redis_down and .origin_down, the same as in [Stat]. No tenant is named.
//
// # Spans
//
// A request that has to wait for a record does so in the span tenancy.catalog.load,
// with tenancy.ref.kind, a child of its context's span and by that span's provider.
// What the origin does for the first who waits is in it.
package cache
