package cache

import (
	"context"

	"go.opentelemetry.io/otel/metric"
)

const scope = "github.com/artflow-studio/tenancy/catalog/cache" // of metrics and spans

// observed are the instruments, which show what [Stat] has.
var observed = []struct {
	name, unit, about string
	gauge             bool
	value             func(Stat) int64
}{
	{"tenancy.catalog.cache.tenants", "{tenant}", "Tenants in memory.", true, func(s Stat) int64 { return int64(s.Tenants) }},
	{"tenancy.catalog.cache.unknown", "{name}", "Names remembered to lead to no tenant.", true, func(s Stat) int64 { return int64(s.Unknown) }},
	{"tenancy.catalog.cache.hits", "{request}", "Look-ups answered from memory.", false, func(s Stat) int64 { return s.Hits }},
	{"tenancy.catalog.cache.unknown_hits", "{request}", "Look-ups of names remembered to lead to no tenant.", false, func(s Stat) int64 { return s.UnknownHits }},
	{"tenancy.catalog.cache.misses", "{request}", "Look-ups that had to wait, or got a stale record.", false, func(s Stat) int64 { return s.Misses }},
	{"tenancy.catalog.cache.redis_hits", "{record}", "Records found in Redis.", false, func(s Stat) int64 { return s.RedisHits }},
	{"tenancy.catalog.cache.redis_unreadable", "{record}", "Records in Redis that could not be read.", false, func(s Stat) int64 { return s.RedisUnreadable }},
	{"tenancy.catalog.cache.loads", "{question}", "Questions to the origin.", false, func(s Stat) int64 { return s.Loads }},
	{"tenancy.catalog.cache.load.failures", "{question}", "Questions to the origin that failed.", false, func(s Stat) int64 { return s.LoadFailures }},
	{"tenancy.catalog.cache.stale", "{request}", "Look-ups answered with a stale record.", false, func(s Stat) int64 { return s.Stale }},
	{"tenancy.catalog.cache.refused", "{question}", "Questions refused because too many lead to no tenant.", false, func(s Stat) int64 { return s.Refused }},
	{"tenancy.catalog.cache.changes", "{change}", "Changes that were heard of.", false, func(s Stat) int64 { return s.Changes }},
	{"tenancy.catalog.cache.resets", "{reset}", "Times when nothing in memory was trusted any more.", false, func(s Stat) int64 { return s.Resets }},
	{"tenancy.catalog.cache.evictions", "{tenant}", "Tenants that gave their place in memory to others.", false, func(s Stat) int64 { return s.Evictions }},
	{"tenancy.catalog.cache.unsynced", "1", "Whether changes may be missed now.", true, func(s Stat) int64 { return b2i(s.Unsynced) }},
	{"tenancy.catalog.cache.redis_down", "1", "Whether Redis is not asked for records.", true, func(s Stat) int64 { return b2i(s.RedisDown) }},
	{"tenancy.catalog.cache.origin_down", "1", "Whether the origin failed when it was last asked.", true, func(s Stat) int64 { return b2i(s.OriginDown) }},
}

// observe makes the instruments, which read the cache's figures when somebody
// collects them, until stop.
func (c *Cache) observe(provider metric.MeterProvider) (stop func() error, err error) {
	m := provider.Meter(scope)
	all := make([]metric.Int64Observable, len(observed))
	instruments := make([]metric.Observable, len(observed))
	for i, o := range observed {
		if o.gauge { // one that may fall, and adds up over instances
			all[i], err = m.Int64ObservableUpDownCounter(o.name, metric.WithUnit(o.unit), metric.WithDescription(o.about))
		} else {
			all[i], err = m.Int64ObservableCounter(o.name, metric.WithUnit(o.unit), metric.WithDescription(o.about))
		}
		if err != nil {
			return nil, err
		}
		instruments[i] = all[i]
	}
	registration, err := m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		s := c.Stat()
		for i, o := range observed {
			to.ObserveInt64(all[i], o.value(s))
		}
		return nil
	}, instruments...)
	if err != nil {
		return nil, err
	}
	return registration.Unregister, nil
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
