//go:build unix

package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

var silent = slog.New(slog.DiscardHandler)

// patient is longer than any pause of a busy machine.
const patient = 2 * time.Minute

// startRedis starts a server for this test alone, where one is installed.
func startRedis(t *testing.T) *testserver.Server {
	t.Helper()
	return testserver.ForTest(t, testserver.Redis, nil)
}

func connect(t *testing.T, address string) rueidis.Client {
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

// alone is the namespace of a test that has a Redis of its own.
const alone = "alone"

// tenantKey is the key of all requests of acme.
func tenantKey(namespace string) string { return "tenancy:ratelimit:" + namespace + ":{acme}:tenant::" }

func newRedis(t *testing.T, client rueidis.Client, namespace string, opts ratelimit.RedisOptions) *ratelimit.Redis {
	t.Helper()
	if opts.Timeout == 0 {
		opts.Timeout = patient
	}
	if opts.Logger == nil {
		opts.Logger = silent
	}
	r, err := ratelimit.NewRedis(client, namespace, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func acme(t *testing.T) context.Context {
	return tenancy.NewContext(t.Context(), &tenancy.Tenant{ID: "acme"})
}

func hourly(n int64) []ratelimit.Limit {
	return []ratelimit.Limit{{Rate: ratelimit.Rate{Limit: n, Period: time.Hour}}}
}

// passed counts how many of n requests pass.
func passed(t *testing.T, l ratelimit.Limiter, n int, limits []ratelimit.Limit) (count int) {
	t.Helper()
	for range n {
		ok, err := l.Take(acme(t), limits)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			count++
		}
	}
	return count
}

func keys(t *testing.T, client rueidis.Client, pattern string) []string {
	t.Helper()
	all, err := client.Do(t.Context(), client.B().Keys().Pattern(pattern).Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// Nothing else answers when Redis does not.
func TestRedisConforms(t *testing.T) {
	t.Parallel()
	tenancytest.TestLimiter(t, func(t *testing.T) ratelimit.Limiter {
		client, ns := tenancytest.Redis(t)
		return newRedis(t, client, ns, ratelimit.RedisOptions{Instances: -1})
	})
}

// What counts while Redis is away conforms as well.
func TestRedisConformsWhenKilled(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	client := connect(t, s.URL)
	s.Kill()
	tenancytest.TestLimiter(t, func(t *testing.T) ratelimit.Limiter {
		return newRedis(t, client, alone, ratelimit.RedisOptions{Timeout: 50 * time.Millisecond})
	})
}

// What counts while Redis is away has the size that the application wants.
func TestRedisLocalSize(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	client := connect(t, s.URL)
	s.Kill()
	r := newRedis(t, client, alone, ratelimit.RedisOptions{Timeout: 50 * time.Millisecond, Local: &ratelimit.MemoryOptions{Keys: 1}})
	fresh := 0
	for range 2 {
		fresh = 0
		for i := range 100 {
			limits := []ratelimit.Limit{{Kind: ratelimit.Key, Key: strconv.Itoa(i), Rate: ratelimit.Rate{Limit: 10, Period: time.Hour}}}
			if ok, err := r.Take(acme(t), limits); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if limits[0].Remaining == 9 {
				fresh++
			}
		}
	}
	if fresh == 0 {
		t.Error("100 keys were remembered, want few")
	}
}

// Instances share what they count, and what one of them refuses counts for none.
func TestRedisIsShared(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	opts := ratelimit.RedisOptions{}
	a, b := newRedis(t, client, ns, opts), newRedis(t, client, ns, opts)
	if n := passed(t, a, 6, hourly(10)) + passed(t, b, 6, hourly(10)) + passed(t, a, 6, hourly(10)); n != 10 {
		t.Errorf("%d passed, want 10", n)
	}
	if n := passed(t, newRedis(t, client, ns+".other", opts), 12, hourly(10)); n != 10 {
		t.Errorf("another namespace: %d passed, want 10", n)
	}
}

func TestRedisKeys(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	client := connect(t, s.URL)
	r := newRedis(t, client, alone, ratelimit.RedisOptions{})
	second := ratelimit.Rate{Limit: 1, Period: time.Minute}
	limits := []ratelimit.Limit{
		{Kind: ratelimit.Tenant, Rate: second},
		{Kind: ratelimit.Key, Class: "a:b}", Key: "k:7", Rate: second},
		{Kind: ratelimit.Address, Address: netip.MustParseAddr("2001:db8::"), Rate: second},
	}
	for _, ctx := range []context.Context{acme(t), t.Context()} {
		if ok, err := r.Take(ctx, limits); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	long := []ratelimit.Limit{{Kind: ratelimit.Key, Key: strings.Repeat("k", 65), Rate: second}}
	if ok, err := r.Take(acme(t), long); !ok || err != nil {
		t.Fatal(ok, err)
	}
	want := []string{
		"tenancy:ratelimit:alone:{@}:address::2001%3Adb8%3A%3A",
		"tenancy:ratelimit:alone:{@}:key:a%3Ab%7D:k%3A7",
		"tenancy:ratelimit:alone:{@}:tenant::",
		"tenancy:ratelimit:alone:{acme}:address::2001%3Adb8%3A%3A",
		"tenancy:ratelimit:alone:{acme}:key::%23" + tenancy.DigestOf(long[0].Key).String(),
		"tenancy:ratelimit:alone:{acme}:key:a%3Ab%7D:k%3A7",
		"tenancy:ratelimit:alone:{acme}:tenant::",
	}
	got := keys(t, client, "*")
	if !slices.Equal(got, want) {
		t.Errorf("got the keys %q, want %q", got, want)
	}
	for _, key := range got {
		ttl, err := client.Do(t.Context(), client.B().Pttl().Key(key).Build()).AsInt64()
		if err != nil || ttl <= 0 || ttl > 60_000 {
			t.Errorf("%s: expires in %d ms, %v, want a minute", key, ttl, err)
		}
	}
}

// Odd texts, and those of a clock that was set back, are no more than a full burst.
func TestRedisFindsOddTexts(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	r := newRedis(t, client, ns, ratelimit.RedisOptions{Instances: -1})
	key := tenantKey(ns)
	for text, want := range map[string]int{
		"": 2, "x": 2, "nan": 2, "-nan": 2, "-inf": 2, "-1e300": 2, "0": 2, "1e-300": 2, "0x10": 2,
		"inf": 0, "1e300": 0, "999999999999999999999": 0, "9e15": 0,
	} {
		if err := client.Do(t.Context(), client.B().Set().Key(key).Value(text).Px(time.Minute).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		limits := hourly(2)
		if got := passed(t, r, 3, limits); got != want {
			t.Errorf("%q: %d passed, want %d", text, got, want)
		}
		if limits[0].After <= 0 || limits[0].After > time.Hour/2 {
			t.Errorf("%q: one more after %v, want half an hour at most", text, limits[0].After)
		}
	}
	if err := client.Do(t.Context(), client.B().Del().Key(key).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if err := client.Do(t.Context(), client.B().Lpush().Key(key).Element("x").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if got := passed(t, r, 3, hourly(2)); got != 2 {
		t.Errorf("a list: %d passed, want 2", got)
	}
}

// What is refused has nothing left, also of rates that yield many requests in a
// microsecond.
func TestRedisOwesLessThanAMicrosecond(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	r := newRedis(t, client, ns, ratelimit.RedisOptions{Instances: -1})
	key := tenantKey(ns)
	for _, rate := range []ratelimit.Rate{{Limit: 1_500_000, Burst: 1}, {Limit: 6_000_000, Burst: 10}} {
		if err := client.Do(t.Context(), client.B().Set().Key(key).Value("1e300").Px(time.Minute).Build()).Error(); err != nil {
			t.Fatal(err)
		}
		limits := []ratelimit.Limit{{Rate: rate}}
		if ok, err := r.Take(acme(t), limits); ok || err != nil {
			t.Fatalf("%+v: got %t, %v, want a refusal", rate, ok, err)
		}
		if limits[0].Remaining != 0 || limits[0].After <= 0 {
			t.Errorf("%+v: refused, and got %d left, one more after %v", rate, limits[0].Remaining, limits[0].After)
		}
	}
}

// TestRedisPermissions shows what a user of Redis must be allowed to, and that the
// script comes back when Redis has lost it.
func TestRedisPermissions(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	admin := connect(t, s.URL)
	rules := []string{"on", ">secret", "~tenancy:ratelimit:alone:*", "+hello", "+eval", "+evalsha", "+time", "+get", "+set"}
	if err := admin.Do(t.Context(), admin.B().AclSetuser().Username("limiter").Rule(rules...).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.RawQuery = url.UserPassword("limiter", "secret"), "client_cache=0"
	r := newRedis(t, connect(t, u.String()), alone, ratelimit.RedisOptions{Instances: -1})
	if n := passed(t, r, 5, hourly(10)); n != 5 {
		t.Errorf("%d passed, want 5", n)
	}
	if err := admin.Do(t.Context(), admin.B().ScriptFlush().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if n := passed(t, r, 10, hourly(10)); n != 5 {
		t.Errorf("without the script: %d passed, want 5", n)
	}
	other := newRedis(t, connect(t, u.String()), "other", ratelimit.RedisOptions{Instances: -1})
	_, err = other.Take(acme(t), hourly(10))
	if !errors.Is(err, tenancy.ErrUnavailable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("a key that the user may not use: got %v, want %v", err, tenancy.ErrUnavailable)
	}
}

func TestNewRedisRefuses(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	for _, odd := range []string{"", "a{b", "a:b"} {
		if _, err := ratelimit.NewRedis(client, odd, nil); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("namespace %q: got %v, want %v", odd, err, tenancy.ErrInvalid)
		}
	}
	if _, err := ratelimit.NewRedis(client, ns, &ratelimit.RedisOptions{Timeout: -1}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("negative timeout: got %v, want %v", err, tenancy.ErrInvalid)
	}
	if _, err := ratelimit.NewRedis(nil, ns, nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no client: got %v, want %v", err, tenancy.ErrInvalid)
	}
}

// proxied returns a client that reaches the server through a proxy.
func proxied(t *testing.T, s *testserver.Server) (rueidis.Client, *testserver.Proxy) {
	t.Helper()
	proxy, err := testserver.StartProxy(strings.TrimPrefix(s.URL, "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return connect(t, "redis://"+proxy.Addr), proxy
}

// slowDown makes answers take an hour.
func slowDown(t *testing.T, proxy *testserver.Proxy) {
	t.Helper()
	proxy.Inject(testserver.Fault{Delayed: time.Hour})
}

// A slow Redis costs few requests the timeout: if it were all of them, that would take
// minutes.
func TestRedisIsSlow(t *testing.T) {
	t.Parallel()
	client, proxy := proxied(t, startRedis(t))
	var log bytes.Buffer
	const timeout = time.Second
	r := newRedis(t, client, alone, ratelimit.RedisOptions{Timeout: timeout, Instances: 4, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	passed(t, r, 1, hourly(100))
	if down(r) {
		t.Fatal("down before it was slow")
	}
	slowDown(t, proxy)
	count := 0
	began := time.Now()
	for range 200 {
		ok, err := r.Take(acme(t), hourly(100))
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			count++
		}
	}
	if !down(r) {
		t.Error("not down after 200 requests")
	}
	if count != 25 {
		t.Errorf("%d passed, want 25: a quarter", count)
	}
	// In a pause that doubles, one request each asks again.
	if d := time.Since(began); d > patient {
		t.Errorf("took %v", d)
	}
	if n := strings.Count(log.String(), "circuit open"); n != 1 {
		t.Errorf("got %d messages, want 1: %s", n, &log)
	}

	proxy.Inject(testserver.Fault{})
	await(t, func() bool {
		_, err := r.Take(acme(t), hourly(100))
		return err == nil && !down(r)
	})
	if !strings.Contains(log.String(), "answers again") {
		t.Errorf("got no message that Redis is back: %s", &log)
	}
}

// down reports whether Check says that Redis does not answer.
func down(r *ratelimit.Redis) bool {
	return errors.Is(r.Check(context.Background()), tenancy.ErrUnavailable)
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within ", patient)
		}
	}
}

func TestRedisIsKilled(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	client := connect(t, s.URL)
	local := newRedis(t, client, alone, ratelimit.RedisOptions{Timeout: time.Second, Instances: 2})
	strict := newRedis(t, client, alone, ratelimit.RedisOptions{Timeout: time.Second, Instances: -1})
	for _, r := range []*ratelimit.Redis{local, strict} {
		passed(t, r, 1, hourly(100))
	}
	s.Kill()
	if n := passed(t, local, 200, hourly(100)); n != 50 {
		t.Errorf("%d passed, want 50: a half", n)
	}
	for range 5 {
		ok, err := strict.Take(acme(t), hourly(100))
		if ok || !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("got %t, %v, want %v", ok, err, tenancy.ErrUnavailable)
		}
	}
	if ok, err := strict.Take(acme(t), hourly(0)); ok || err != nil {
		t.Errorf("a limit of zero: got %t, %v, want a refusal", ok, err)
	}
	if ok, err := strict.Take(acme(t), hourly(-1)); !ok || err != nil {
		t.Errorf("no limit: got %t, %v", ok, err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*ratelimit.Redis{local, strict} {
		await(t, func() bool {
			ok, err := r.Take(acme(t), hourly(1000))
			return ok && err == nil && !down(r)
		})
	}
}

// A tenant that can have no keys says nothing about Redis, and is not served by
// another limiter.
func TestRedisMalformedTenant(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	r := newRedis(t, client, ns, ratelimit.RedisOptions{})
	odd := tenancy.NewContext(t.Context(), &tenancy.Tenant{ID: "Acme}:"})
	for range 5 {
		if ok, err := r.Take(odd, hourly(10)); ok || !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("got %t, %v, want %v", ok, err, tenancy.ErrInvalid)
		}
	}
	if down(r) {
		t.Error("down for all because of one tenant")
	}
}

// A request that ends by itself says nothing about Redis.
func TestRedisContextEnds(t *testing.T) {
	t.Parallel()
	client, proxy := proxied(t, startRedis(t))
	r := newRedis(t, client, alone, ratelimit.RedisOptions{Instances: -1, Timeout: time.Hour})
	passed(t, r, 1, hourly(100))
	slowDown(t, proxy)
	for range 6 {
		ctx, cancel := context.WithTimeout(acme(t), 30*time.Millisecond)
		began := time.Now()
		if _, err := r.Take(ctx, hourly(100)); err != context.DeadlineExceeded { //nolint:errorlint // unchanged
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		cancel()
		if d := time.Since(began); d > patient {
			t.Errorf("took %v", d)
		}
	}
	if down(r) {
		t.Error("down because requests ended")
	}
}
