package cache

import (
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/logs"
)

// Options are the options of [New] and [NewRedis].
type Options struct {
	// Size is how many tenants are kept in process. Default: 100,000.
	Size int
	// TTL is the age at which a record is loaded again, counted from the beginning of its load from the origin.
	// Default: 1 minute.
	TTL time.Duration
	// MaxStale is the greatest age of a record that is used while the origin fails. Negative: stale records are
	// not used. Default: 1 hour.
	MaxStale time.Duration
	// LoadTimeout is how long the origin may take to answer. Default: 5 seconds.
	LoadTimeout time.Duration
	// UnknownTTL is how long the cache remembers that a ref names no tenant. Negative: not at all. Default: 5
	// seconds.
	UnknownTTL time.Duration
	// UnknownRate is how many loads a second may end without a tenant in the long run. UnknownBurst is how many
	// may come at once, and how many loads of tenants that are not in memory may run at a time. Defaults: 100
	// and 200.
	UnknownRate, UnknownBurst int
	// RedisTimeout is how long a request waits for Redis. Default: 50 milliseconds.
	RedisTimeout time.Duration
	// MaxAgeUnsynced replaces TTL while the cache may miss changes, because Redis does
	// not answer or [Cache.Run] does not run. Default: 5 seconds.
	MaxAgeUnsynced time.Duration
	// Logger gets a line when the origin or Redis fails, and when it answers again.
	// Default: [slog.Default], asked at each message.
	Logger *slog.Logger
	// MeterProvider gets the metrics that the package comment lists. Default: none.
	MeterProvider metric.MeterProvider
}

// complete fills in defaults.
func (o *Options) complete() error {
	for _, each := range []struct {
		name      string
		n         *int
		otherwise int
	}{
		{"Size", &o.Size, 100_000}, {"UnknownRate", &o.UnknownRate, 100}, {"UnknownBurst", &o.UnknownBurst, 200},
	} {
		if *each.n < 0 {
			return fmt.Errorf("%w: %s %d", tenancy.ErrInvalid, each.name, *each.n)
		}
		if *each.n == 0 {
			*each.n = each.otherwise
		}
	}
	for _, each := range []struct {
		name      string
		d         *time.Duration
		otherwise time.Duration
		off       bool // negative means off
	}{
		{"TTL", &o.TTL, time.Minute, false}, {"MaxAgeUnsynced", &o.MaxAgeUnsynced, 5 * time.Second, false},
		{"RedisTimeout", &o.RedisTimeout, 50 * time.Millisecond, false}, {"LoadTimeout", &o.LoadTimeout, 5 * time.Second, false},
		{"MaxStale", &o.MaxStale, time.Hour, true}, {"UnknownTTL", &o.UnknownTTL, 5 * time.Second, true},
	} {
		if *each.d < 0 && !each.off {
			return fmt.Errorf("%w: %s %v", tenancy.ErrInvalid, each.name, *each.d)
		}
		if *each.d == 0 {
			*each.d = each.otherwise
		}
		*each.d = max(*each.d, 0)
	}
	o.MaxAgeUnsynced = min(o.MaxAgeUnsynced, o.TTL)
	o.Logger = logs.Or(o.Logger)
	return nil
}
