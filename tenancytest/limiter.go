package tenancytest

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
)

// TestLimiter is the conformance suite for a [ratelimit.Limiter]. The function
// returns one that has seen no request yet.
func TestLimiter(t *testing.T, open func(t *testing.T) ratelimit.Limiter) {
	for name, test := range map[string]func(l *limiting){
		"Burst":        testLimiterBurst,
		"BurstAlone":   testLimiterBurstAlone,
		"Refill":       testLimiterRefill,
		"AllOrNothing": testLimiterAllOrNothing,
		"Apart":        testLimiterApart,
		"Fixed":        testLimiterFixed,
		"Extremes":     testLimiterExtremes,
		"Changes":      testLimiterChanges,
		"AtOnce":       testLimiterAtOnce,
		"ContextEnds":  testLimiterContextEnds,
		"Refuses":      testLimiterRefuses,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&limiting{t, open(t), tenancy.NewContext(t.Context(), NewTenant("acme"))})
		})
	}
}

// limiting is one run of a test of a limiter.
type limiting struct {
	*testing.T
	limiter ratelimit.Limiter
	ctx     context.Context // of a tenant
}

// epoch is a period in which tests see nothing come back, however long they take.
const epoch = 10_000 * time.Hour

// rarely is the rate of n requests in an epoch.
func rarely(n int64) ratelimit.Rate { return ratelimit.Rate{Limit: n, Period: epoch} }

func ofTenant(rate ratelimit.Rate) ratelimit.Limit {
	return ratelimit.Limit{Kind: ratelimit.Tenant, Rate: rate}
}

func ofKey(key string, rate ratelimit.Rate) ratelimit.Limit {
	return ratelimit.Limit{Kind: ratelimit.Key, Key: key, Rate: rate}
}

func ofAddress(addr string, rate ratelimit.Rate) ratelimit.Limit {
	return ratelimit.Limit{Kind: ratelimit.Address, Address: ratelimit.AddressOf(netip.MustParseAddr(addr)), Rate: rate}
}

// take counts a request and wants it to pass, or not. Of each limit so many remain.
func (l *limiting) take(ctx context.Context, what string, passes bool, limits []ratelimit.Limit, remaining ...int64) {
	l.Helper()
	got, err := l.limiter.Take(ctx, limits)
	if err != nil || got != passes {
		l.Fatalf("%s: got %t, %v, want %t", what, got, err, passes)
	}
	exceeded := false
	for i := range limits {
		if len(remaining) > i && limits[i].Remaining != remaining[i] {
			l.Errorf("%s: the limit of the %v has %d left, want %d", what, limits[i].Kind, limits[i].Remaining, remaining[i])
		}
		if limits[i].After < 0 {
			l.Errorf("%s: the limit of the %v says after %v", what, limits[i].Kind, limits[i].After)
		}
		exceeded = exceeded || limits[i].Remaining == 0
	}
	if !got && !exceeded {
		l.Errorf("%s: refused, and each limit has something left: %+v", what, limits)
	}
}

func testLimiterBurst(l *limiting) {
	began := time.Now()
	limits := []ratelimit.Limit{ofTenant(rarely(10))}
	const every = epoch / 10
	for i := range int64(10) {
		l.take(l.ctx, "within the limit", true, limits, 9-i)
		if after := limits[0].After; after > every || after < every-time.Since(began) {
			l.Errorf("request %d: one more after %v, want %v", i, after, every)
		}
	}
	for range 3 {
		l.take(l.ctx, "beyond the limit", false, limits, 0)
		if after := limits[0].After; after > every || after < every-time.Since(began) {
			l.Errorf("beyond: one more after %v, want %v", after, every)
		}
	}
}

func testLimiterBurstAlone(l *limiting) {
	for _, tt := range []struct{ burst, passes int64 }{{3, 3}, {-1, 1}, {20, 20}} {
		rate := rarely(10)
		rate.Burst = tt.burst
		limits := []ratelimit.Limit{ofKey(time.Duration(tt.burst).String(), rate)}
		for i := range tt.passes {
			l.take(l.ctx, "within the burst", true, limits, tt.passes-1-i)
		}
		l.take(l.ctx, "beyond the burst", false, limits, 0)
	}
}

func testLimiterRefill(l *limiting) {
	limits := []ratelimit.Limit{ofTenant(ratelimit.Rate{Limit: 20, Burst: 1})}
	began := time.Now()
	const n = 10
	for range n {
		l.take(l.ctx, "after a wait", true, limits, 0)
		if after := limits[0].After; after <= 0 || after > time.Second/20 {
			l.Fatalf("one more after %v, want %v", after, time.Second/20)
		}
		time.Sleep(limits[0].After) // what the limiter says is enough
	}
	if d := time.Since(began); d < (n-1)*time.Second/20 {
		l.Errorf("%d requests passed in %v, at 20 a second", n, d)
	}
}

func testLimiterAllOrNothing(l *limiting) {
	tenant, few := rarely(4), rarely(1)
	take := func(what, key, addr string, passes bool, remaining ...int64) {
		l.Helper()
		l.take(l.ctx, what, passes, []ratelimit.Limit{ofAddress(addr, rarely(3)), ofKey(key, few), ofTenant(tenant)}, remaining...)
	}
	take("first", "a", "192.0.2.1", true, 2, 0, 3)
	for range 5 {
		take("the key has nothing left", "a", "192.0.2.1", false, 2, 0, 3)
	}
	take("another key", "b", "192.0.2.1", true, 1, 0, 2)
	take("another key", "c", "192.0.2.1", true, 0, 0, 1)
	for range 5 {
		take("the address has nothing left", "d", "192.0.2.1", false, 0, 1, 1)
	}
	take("another address", "d", "192.0.2.2", true, 2, 0, 0)
	take("the tenant has nothing left", "e", "192.0.2.2", false, 2, 1, 0)
	take("the tenant has nothing left", "e", "192.0.2.3", false, 3, 1, 0)
}

// Each limit here lets one request pass, so two that were one would show.
func testLimiterApart(l *limiting) {
	one := rarely(1)
	other := tenancy.NewContext(l.Context(), NewTenant("other"))
	classed := func(limit ratelimit.Limit, class string) ratelimit.Limit {
		limit.Class = class
		return limit
	}
	long := strings.Repeat("k", 100_000)
	for _, ctx := range []context.Context{l.ctx, other, l.Context()} {
		var all []ratelimit.Limit
		for _, class := range []string{"", "a", "b", "a:b", "}", "a.b", "ä\x00"} {
			all = append(all, classed(ofTenant(one), class), classed(ofKey("a", one), class), classed(ofAddress("192.0.2.1", one), class))
		}
		for _, key := range []string{"b", "a:b", "}:b", "{b}", "192.0.2.1", "#", "ä\x00\xff", "A", long, long + "k"} {
			all = append(all, ofKey(key, one))
		}
		for _, addr := range []string{"192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", "::"} {
			all = append(all, ofAddress(addr, one))
		}
		all = append(all, ratelimit.Limit{Kind: ratelimit.Address, Rate: one}) // unknown
		for _, passes := range []bool{true, false} {
			for _, limit := range all {
				l.take(ctx, strings.ToValidUTF8(limit.Kind.String()+" "+limit.Class+" "+limit.Key[:min(len(limit.Key), 20)]+" "+limit.Address.String(), "?"),
					passes, []ratelimit.Limit{limit}, 0)
			}
		}
	}
}

func testLimiterFixed(l *limiting) {
	none, all := ratelimit.Rate{}, ratelimit.Unlimited
	const most = math.MaxInt64
	for range 3 {
		l.take(l.ctx, "no limits", true, nil)
		l.take(l.ctx, "a limit of zero", false, []ratelimit.Limit{ofTenant(none)}, 0)
		l.take(l.ctx, "a limit of zero with a burst", false, []ratelimit.Limit{ofTenant(ratelimit.Rate{Burst: 5})}, 0)
		l.take(l.ctx, "no limit", true, []ratelimit.Limit{ofTenant(all)}, most)
		l.take(l.ctx, "none and all", false, []ratelimit.Limit{ofTenant(all), ofKey("a", none)}, most, 0)
		l.take(l.ctx, "none and one", false, []ratelimit.Limit{ofTenant(rarely(1)), ofKey("a", none)}, 1, 0)
	}
	l.take(l.ctx, "all and one", true, []ratelimit.Limit{ofTenant(all), ofKey("a", rarely(1))}, most, 0)
	l.take(l.ctx, "all and one", false, []ratelimit.Limit{ofTenant(all), ofKey("a", rarely(1))}, most, 0)
}

func testLimiterExtremes(l *limiting) {
	const most = math.MaxInt64
	for name, tt := range map[string]struct {
		rate   ratelimit.Rate
		passes int // of three, at the least
	}{
		"most in a second":            {ratelimit.PerSecond(most), 3},
		"most in the shortest time":   {ratelimit.Rate{Limit: most, Period: 1}, 3},
		"most in the longest time":    {ratelimit.Rate{Limit: most, Period: most}, 3},
		"most at once":                {ratelimit.Rate{Limit: 10, Period: time.Second, Burst: most}, 3},
		"most at once, rarely":        {ratelimit.Rate{Limit: 1, Period: most, Burst: most}, 1},
		"two at once, rarely":         {ratelimit.Rate{Limit: 1, Period: 24 * 365 * time.Hour, Burst: 2}, 2},
		"one in the longest time":     {ratelimit.Rate{Limit: 1, Period: most}, 1},
		"one in the shortest time":    {ratelimit.Rate{Limit: 1, Period: 1}, 3},
		"one and the least burst":     {ratelimit.Rate{Limit: 1, Period: time.Hour, Burst: math.MinInt64}, 1},
		"one in a negative period":    {ratelimit.Rate{Limit: 10, Period: math.MinInt64}, 3},
		"a rate less than none":       {ratelimit.Rate{Limit: math.MinInt64, Period: math.MinInt64, Burst: math.MinInt64}, 3},
		"a rate of none with extreme": {ratelimit.Rate{Limit: 0, Period: most, Burst: most}, 0},
	} {
		limits := []ratelimit.Limit{ofKey(name, tt.rate)}
		passed := 0
		for range 3 {
			ok, err := l.limiter.Take(l.ctx, limits)
			if err != nil {
				l.Errorf("%s: %v", name, err)
			}
			if ok {
				passed++
			}
			if limits[0].Remaining < 0 || limits[0].After < 0 || !ok && limits[0].Remaining != 0 {
				l.Errorf("%s: got %t and %+v", name, ok, limits[0])
			}
		}
		if passed < tt.passes || tt.passes < 3 && passed > max(tt.passes, 1)*2 || tt.passes == 0 && passed > 0 {
			l.Errorf("%s: %d passed, want %d", name, passed, tt.passes)
		}
	}
}

func testLimiterChanges(l *limiting) {
	take := func(what string, n int64, passes bool, remaining int64) ratelimit.Limit {
		l.Helper()
		limits := []ratelimit.Limit{ofTenant(rarely(n))}
		l.take(l.ctx, what, passes, limits, remaining)
		return limits[0]
	}
	for i := range int64(50) {
		take("before", 100, true, 99-i)
	}
	if got := take("a lower limit", 1, false, 0); got.After > epoch {
		l.Errorf("a lower limit: one more after %v, want %v at most", got.After, epoch)
	}
	short := rarely(100)
	short.Burst = 1
	limits := []ratelimit.Limit{ofTenant(short)}
	if l.take(l.ctx, "a lower burst", false, limits, 0); limits[0].After > epoch/100 {
		l.Errorf("a lower burst: one more after %v, want no more than for a request", limits[0].After)
	}
	take("a higher limit", 1000, true, 989) // after a lower burst nobody owes more than that
	take("the limit of before", 100, true, 97)

	// A rate that is raised holds at once: what was owed at the old one is not waited for.
	for range 10 {
		l.take(l.ctx, "before it is raised", true, []ratelimit.Limit{ofKey("raised", rarely(10))})
	}
	raised := ratelimit.Rate{Limit: 100, Burst: 2}
	for began := time.Now(); ; {
		limits := []ratelimit.Limit{ofKey("raised", raised)}
		ok, err := l.limiter.Take(l.ctx, limits)
		if err != nil {
			l.Fatal(err)
		}
		if ok {
			break
		}
		if time.Since(began) > engineBound || limits[0].After > time.Second/100 {
			l.Fatalf("a raised rate: still refused after %v, one more after %v, want a hundredth of a second", time.Since(began), limits[0].After)
		}
		time.Sleep(limits[0].After)
	}
}

func testLimiterAtOnce(l *limiting) {
	const workers, each, most = 8, 40, 100
	var passed, broken atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				// The limits in any order.
				for _, limits := range [][]ratelimit.Limit{
					{ofTenant(rarely(most)), ofKey("free", rarely(1000))},
					{ofKey("none", ratelimit.Rate{}), ofTenant(rarely(most))},
				} {
					ok, err := l.limiter.Take(l.ctx, limits)
					switch {
					case err != nil:
						l.Error(err)
					case ok && limits[0].Kind == ratelimit.Key:
						broken.Add(1)
					case ok:
						passed.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != most || broken.Load() != 0 {
		l.Errorf("%d passed, want %d; and %d of a rate of zero", passed.Load(), most, broken.Load())
	}
	limits := []ratelimit.Limit{ofKey("free", rarely(1000))}
	l.take(l.ctx, "what the others left", true, limits, 1000-most-1)
}

func testLimiterContextEnds(l *limiting) {
	limits := []ratelimit.Limit{ofTenant(rarely(1))}
	canceled, cancel := context.WithCancel(l.ctx)
	cancel()
	expired, cancel := context.WithTimeout(l.ctx, -1)
	defer cancel()
	for want, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: expired} {
		if ok, err := l.limiter.Take(ctx, limits); ok || err != want { //nolint:errorlint // unchanged
			l.Errorf("got %t, %v, want %v", ok, err, want)
		}
	}
	l.take(l.ctx, "after calls whose context had ended", true, limits, 0)
}

func testLimiterRefuses(l *limiting) {
	for what, limits := range map[string][]ratelimit.Limit{
		"two of a kind":                {ofTenant(rarely(1)), ofTenant(rarely(2))},
		"two keys":                     {ofKey("a", rarely(1)), ofKey("b", rarely(1))},
		"no such kind":                 {{Kind: 200, Rate: rarely(1)}},
		"two of a kind without limits": {ofTenant(ratelimit.Unlimited), ofTenant(ratelimit.Unlimited)},
	} {
		if ok, err := l.limiter.Take(l.ctx, limits); ok || !errors.Is(err, tenancy.ErrInvalid) {
			l.Errorf("%s: got %t, %v, want %v", what, ok, err, tenancy.ErrInvalid)
		}
	}
}
