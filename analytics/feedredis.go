package analytics

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/rediskit"
)

// RedisFeedOptions are the options of a [RedisFeed].
type RedisFeedOptions struct {
	// Timeout bounds one question. Default: 1 second.
	Timeout time.Duration
}

// complete fills in defaults.
func (o *RedisFeedOptions) complete() error {
	if o.Timeout < 0 {
		return fmt.Errorf("%w: Timeout %v, want it not negative", tenancy.ErrInvalid, o.Timeout)
	}
	o.Timeout = cmp.Or(o.Timeout, time.Second)
	return nil
}

// RedisFeed is a [Feed] in Redis 5 or later, alone or a cluster, in which all of its keys
// are in one slot: tenancy:analytics:NAMESPACE:{live}:watched, :instances and :ID. All but
// :instances expire. A user of Redis needs SET, GET, EXISTS, MGET, SADD, SREM and SMEMBERS.
type RedisFeed struct {
	client  rueidis.Client
	prefix  string
	timeout time.Duration
}

// NewRedisFeed returns a feed. Services that share a Redis have different namespaces: see
// catalog.Catalog.Namespace. The caller keeps the client, and closes it.
func NewRedisFeed(client rueidis.Client, namespace string, opts *RedisFeedOptions) (*RedisFeed, error) {
	var o RedisFeedOptions
	if opts != nil {
		o = *opts
	}
	prefix, err := rediskit.Prefix("analytics", namespace)
	if err == nil {
		err = o.complete()
	}
	if err == nil && client == nil {
		err = fmt.Errorf("%w: no client", tenancy.ErrInvalid)
	}
	if err != nil {
		return nil, tenancy.Wrap("analytics.NewRedisFeed", "", err)
	}
	return &RedisFeed{client, prefix + "{live}:", o.Timeout}, nil
}

// do asks Redis.
func (f *RedisFeed) do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	return rediskit.Within(ctx, f.timeout, func(ctx context.Context) rueidis.RedisResult { return f.client.Do(ctx, cmd) })
}

// Check returns an error that wraps [tenancy.ErrUnavailable] if Redis does not answer within
// [RedisFeedOptions.Timeout]. Usage is counted without it; only [Reports.Live] needs it.
func (f *RedisFeed) Check(ctx context.Context) error {
	_, err := f.watched(ctx)
	return tenancy.Wrap("analytics.RedisFeed.Check", "", rediskit.Failure(ctx, err))
}

// Watched implements [Feed].
func (f *RedisFeed) Watched(ctx context.Context) (bool, error) {
	watched, err := f.watched(ctx)
	return watched, tenancy.Wrap("analytics.RedisFeed.Watched", "", rediskit.Failure(ctx, err))
}

func (f *RedisFeed) watched(ctx context.Context) (bool, error) {
	n, err := f.do(ctx, f.client.B().Exists().Key(f.prefix+"watched").Build()).AsInt64()
	return n > 0, err
}

// Put implements [Feed].
func (f *RedisFeed) Put(ctx context.Context, p *Pulse) error {
	payload, err := json.Marshal(p)
	id := strconv.FormatInt(p.Instance, 10)
	if err == nil {
		err = f.do(ctx, f.client.B().Set().Key(f.prefix+id).Value(string(payload)).Px(2*silentTime).Build()).Error()
	}
	if err == nil {
		err = f.do(ctx, f.client.B().Sadd().Key(f.prefix+"instances").Member(id).Build()).Error()
	}
	return tenancy.Wrap("analytics.RedisFeed.Put", "", rediskit.Failure(ctx, err))
}

// Pulses implements [Feed].
func (f *RedisFeed) Pulses(ctx context.Context) ([]Pulse, error) {
	all, err := f.pulses(ctx)
	return all, tenancy.Wrap("analytics.RedisFeed.Pulses", "", rediskit.Failure(ctx, err))
}

func (f *RedisFeed) pulses(ctx context.Context) ([]Pulse, error) {
	if err := f.do(ctx, f.client.B().Set().Key(f.prefix+"watched").Value("1").Px(watchTime).Build()).Error(); err != nil {
		return nil, err
	}
	ids, err := f.do(ctx, f.client.B().Smembers().Key(f.prefix+"instances").Build()).AsStrSlice()
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = f.prefix + id
	}
	payloads, err := f.do(ctx, f.client.B().Mget().Key(keys...).Build()).ToArray()
	if err != nil {
		return nil, err
	}
	var all []Pulse
	var gone []string
	for i := range payloads {
		payload, err := payloads[i].AsBytes()
		if rueidis.IsRedisNil(err) {
			gone = append(gone, ids[i])
			continue
		}
		if err != nil {
			return nil, err
		}
		p, err := parsePulse(payload)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if len(gone) > 0 { // one that comes back adds itself again
		if err := f.do(ctx, f.client.B().Srem().Key(f.prefix+"instances").Member(gone...).Build()).Error(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b Pulse) int { return comparePulses(&a, &b) })
	return all, nil
}
