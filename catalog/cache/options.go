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
	// Size is the most tenants that are kept in process. Default: 100,000.
	Size int
	// TTL is how old a record may become, counted from when its load from the
	// origin began, before it is loaded again. Default: 1 minute.
	TTL time.Duration
	// MaxStale is how old a record may become that is used because the origin
	// fails. Negative: none is used. Default: 1 hour.
	MaxStale time.Duration
	// LoadTimeout bounds one question to the origin. Default: 5 seconds.
	LoadTimeout time.Duration
	// UnknownTTL is how long a ref is remembered that led to no tenant. Negative:
	// it is not. Default: 5 seconds.
	UnknownTTL time.Duration
	// UnknownRate is how many questions a second that lead to no tenant, or to an
	// error, the origin is asked in the long run. UnknownBurst is how many at
	// once, and how many questions about tenants that are not in memory are under
	// way at a time. Defaults: 100 and 200.
	UnknownRate, UnknownBurst int
	// RedisTimeout bounds how long a request waits for Redis. Default: 50
	// milliseconds.
	RedisTimeout time.Duration
	// MaxAgeUnsynced replaces TTL while the cache may miss changes, because Redis does
	// not answer or [Cache.Run] does not run. Default: 5 seconds.
	MaxAgeUnsynced time.Duration
	// Logger gets a line when the origin or Redis fails, and when it answers again.
	// Default: [slog.Default], asked at each message.
	Logger *slog.Logger
	// MeterProvider gets the metrics that the package comment lists. Default:
	// none are kept.
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
