//go:build unix

package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislimiter"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
)

// side decides about a request of the tenant of a context.
type side struct {
	name   string
	decide func(ctx context.Context, tenant string) (bool, error)
}

const plenty = 1_000_000_000

func sides(client rueidis.Client, address string) ([]side, error) {
	limiter, err := ratelimit.NewRedis(client, "bench", &ratelimit.RedisOptions{Instances: -1, Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	rate := ratelimit.PerMinute(plenty)
	opts, err := rueidis.ParseURL(address)
	if err != nil {
		return nil, err
	}
	opts.ForceSingleClient = true
	other, err := rueidislimiter.NewRateLimiter(rueidislimiter.RateLimiterOption{ClientOption: opts, Limit: plenty, Window: time.Minute})
	if err != nil {
		return nil, err
	}
	incr := rueidis.NewLuaScript(`
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return n <= tonumber(ARGV[1]) and 1 or 0`)
	most, window := strconv.Itoa(plenty), strconv.Itoa(60_000)
	return []side{
		{"ratelimit.Redis, one limit", func(ctx context.Context, _ string) (bool, error) {
			return limiter.Take(ctx, []ratelimit.Limit{{Rate: rate}})
		}},
		{"ratelimit.Redis, three limits", func(ctx context.Context, _ string) (bool, error) {
			return limiter.Take(ctx, []ratelimit.Limit{
				{Rate: rate}, {Kind: ratelimit.Key, Key: "k", Rate: rate},
				{Kind: ratelimit.Address, Address: netip.AddrFrom4([4]byte{192, 0, 2, 1}), Rate: rate},
			})
		}},
		{"rueidislimiter", func(ctx context.Context, tenant string) (bool, error) {
			got, err := other.Allow(ctx, tenant)
			return got.Allowed, err
		}},
		{"INCR in a script", func(ctx context.Context, tenant string) (bool, error) {
			got, err := incr.Exec(ctx, client, []string{"incr:{" + tenant + "}"}, []string{most, window}).AsInt64()
			return got == 1, err
		}},
	}, nil
}

func measureDecisions(ctx context.Context, address string) error {
	client, err := connect(address)
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := sides(client, address)
	if err != nil {
		return err
	}
	var contexts []context.Context
	var names []string
	for i := range 1000 {
		t := newTenant(i)
		contexts, names = append(contexts, tenancy.NewContext(ctx, t)), append(names, string(t.ID))
	}
	for _, workers := range []int{1, 64} {
		rates := make([][]float64, len(all))
		for range *rounds {
			for i, s := range all {
				n, err := load(s, workers, contexts, names, seconds(5, 1))
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				rates[i] = append(rates[i], n)
			}
		}
		for i, s := range all {
			fmt.Printf("%2d at once  %-30s %s decisions/s\n", workers, s.name, spread("%.0f", rates[i]))
		}
	}
	return nil
}

// load returns how many decisions there were in a second.
func load(s side, workers int, contexts []context.Context, names []string, d time.Duration) (float64, error) {
	var count atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	began := time.Now()
	for w := range workers {
		wg.Go(func() {
			for i := w; time.Since(began) < d && failed.Load() == nil; i++ {
				ok, err := s.decide(contexts[i%len(contexts)], names[i%len(names)])
				if err == nil && !ok {
					err = fmt.Errorf("refused")
				}
				if err != nil {
					failed.Store(&err)
				}
				count.Add(1)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(count.Load()) / time.Since(began).Seconds(), nil
}
