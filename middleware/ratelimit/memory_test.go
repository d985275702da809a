package ratelimit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

func takes(t *testing.T, m *Memory, l *Limit) bool {
	t.Helper()
	limits := []Limit{*l}
	ok, err := m.Take(t.Context(), limits)
	if err != nil {
		t.Fatal(err)
	}
	*l = limits[0]
	return ok
}

// In any hour as many pass as the rate yields, and a burst more.
func TestMemoryOverTime(t *testing.T) {
	t.Parallel()
	for _, rate := range []Rate{
		PerSecond(1), PerSecond(7), PerSecond(1000), PerMinute(7), {Limit: 700, Period: time.Minute, Burst: 3},
		{Limit: 3, Period: 7 * time.Second, Burst: 50}, {Limit: 100_000, Period: 24 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := NewMemory(nil)
			l := &Limit{Rate: rate}
			const long = 10 * time.Minute
			every, depth := rate.terms()
			passed := 0
			began := time.Now()
			for time.Since(began) < long {
				ok := takes(t, m, l)
				if ok {
					passed++
				}
				if !ok {
					time.Sleep(l.After - 1)
					if takes(t, m, l) {
						t.Fatalf("%v: passed before its time", rate)
					}
					time.Sleep(time.Nanosecond)
				}
			}
			want := int(depth/every) + int(long/every)
			if passed < want-1 || passed > want+1 {
				t.Errorf("%v: %d passed, want %d", rate, passed, want)
			}
		})
	}
}

func TestMemoryAfterAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(nil)
		l := &Limit{Rate: PerMinute(60)}
		for i, step := range []struct {
			wait      time.Duration
			passes    bool
			remaining int64
			after     time.Duration
		}{
			{0, true, 59, time.Second},
			{0, true, 58, time.Second},
			{300 * time.Millisecond, true, 57, 700 * time.Millisecond},
			{700 * time.Millisecond, true, 57, time.Second},
			{time.Hour, true, 59, time.Second},
			{292 * 365 * 24 * time.Hour, true, 59, time.Second},
		} {
			time.Sleep(step.wait)
			if ok := takes(t, m, l); ok != step.passes || l.Remaining != step.remaining || l.After != step.after {
				t.Errorf("step %d: got %t, %d left, one more after %v, want %+v", i, ok, l.Remaining, l.After, step)
			}
		}
	})
}

// Whoever is at a limit stays there while others push each other out.
func TestMemoryForgetsWhoIsFreeFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(&MemoryOptions{Keys: 1})
		if len(m.shards[Address]) != 1 || m.places != 1 {
			t.Fatalf("got %d shards of %d places, want one", len(m.shards[Address]), m.places)
		}
		hour := Rate{Limit: 10, Period: time.Hour}
		of := func(i int) *Limit {
			return &Limit{Kind: Address, Address: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Rate: hour}
		}
		attacker, tenant := of(0), &Limit{Kind: Tenant, Rate: hour}
		for range 10 {
			if !takes(t, m, attacker) || !takes(t, m, tenant) {
				t.Fatal("refused within the limit")
			}
		}
		for i := range 100_000 { // each with one request
			if l := of(i + 1); !takes(t, m, l) || l.Remaining != 9 {
				t.Fatalf("a new address has %d left, want 9", l.Remaining)
			}
		}
		if takes(t, m, attacker) {
			t.Error("an address at its limit was forgiven for others that are not")
		}
		if takes(t, m, tenant) {
			t.Error("a tenant at its limit was forgiven for addresses")
		}
		time.Sleep(time.Hour / 10)
		if !takes(t, m, attacker) {
			t.Errorf("refused when it is free again: %+v", attacker)
		}
	})
}

// A request that is refused pushes nobody out.
func TestMemoryRefusedLeavesNoTrace(t *testing.T) {
	t.Parallel()
	m := NewMemory(&MemoryOptions{Keys: 1})
	hour := Rate{Limit: 10, Period: time.Hour}
	for i := range placeSize {
		takes(t, m, &Limit{Kind: Key, Key: fmt.Sprint(i), Rate: hour})
	}
	for i := range 1000 {
		limits := []Limit{{Kind: Key, Key: fmt.Sprint("new", i), Rate: hour}, {Kind: Address, Rate: Rate{}}}
		if ok, err := m.Take(t.Context(), limits); ok || err != nil {
			t.Fatalf("got %t, %v, want a refusal", ok, err)
		}
	}
	for i := range placeSize {
		l := &Limit{Kind: Key, Key: fmt.Sprint(i), Rate: hour}
		if takes(t, m, l); l.Remaining != 8 {
			t.Errorf("key %d: %d left, want 8", i, l.Remaining)
		}
	}
}

// Twice the room is enough that of as many keys as were asked for few are pushed out.
func TestMemoryHasRoom(t *testing.T) {
	t.Parallel()
	const keys = 10_000
	m := NewMemory(&MemoryOptions{Keys: keys})
	hour := Rate{Limit: 10, Period: time.Hour}
	forgotten := 0
	for range 2 {
		forgotten = 0
		for i := range keys {
			l := &Limit{Kind: Key, Key: fmt.Sprint(i), Rate: hour}
			if takes(t, m, l); l.Remaining == 9 {
				forgotten++
			}
		}
	}
	if forgotten > keys/50 {
		t.Errorf("%d of %d keys were forgotten, want 2%% at most", forgotten, keys)
	}
	bytes := 0
	for i := range m.shards[Key] {
		bytes += 16 * placeSize * len(m.shards[Key][i].places)
	}
	if bytes > 64*keys {
		t.Errorf("%d bytes for %d keys", bytes, keys)
	}
	for i := range m.shards[Tenant] {
		if m.shards[Tenant][i].places != nil {
			t.Error("room was taken for a kind that was not counted")
		}
	}
}

func TestTermsDoNotOverflow(t *testing.T) {
	t.Parallel()
	numbers := []int64{1, 2, 3, 1000, math.MaxInt32, math.MaxInt64 - 1, math.MaxInt64}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		numbers = append(numbers[:7], r.Int64()>>r.IntN(63)|1, r.Int64()>>r.IntN(63)|1)
		for _, limit := range numbers {
			for _, period := range append(numbers, 0, -1, math.MinInt64) {
				for _, burst := range append(numbers, 0, -1, math.MinInt64) {
					for _, parts := range []int64{1, 2, 1000, math.MaxInt32} {
						rate := Rate{limit, time.Duration(period), burst}.part(parts)
						every, depth := rate.terms()
						if every < 1 || every > longest || depth < every || depth > longest {
							t.Fatalf("%+v: got %v and %v", rate, every, depth)
						}
						for _, owed := range []time.Duration{0, 1, every, depth - 1, depth} {
							var l Limit
							if l.set(every, depth, owed); l.Remaining < 0 || l.After < 0 || (l.After == 0) != (owed == 0) {
								t.Fatalf("%+v owes %v: got %+v", rate, owed, l)
							}
						}
					}
				}
			}
		}
	}
}

func TestPart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rate Rate
		of   int64
		want Rate
	}{
		{PerSecond(100), 1, PerSecond(100)},
		{PerSecond(100), 4, Rate{100, 4 * time.Second, 25}},
		{Rate{Limit: 100}, 4, Rate{100, 4 * time.Second, 25}},
		{Rate{100, time.Minute, 8}, 4, Rate{100, 4 * time.Minute, 2}},
		{Rate{100, time.Minute, 2}, 4, Rate{100, 4 * time.Minute, 1}},
		{Rate{100, time.Minute, -1}, 4, Rate{100, 4 * time.Minute, 1}},
		{Rate{}, 4, Rate{}},
		{Unlimited, 4, Unlimited},
	} {
		if got := tt.rate.part(tt.of); got != tt.want {
			t.Errorf("%+v of %d: got %+v, want %+v", tt.rate, tt.of, got, tt.want)
		}
	}
}

func TestAddressOf(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.1":             "192.0.2.1",
		"::ffff:192.0.2.1":      "192.0.2.1",
		"2001:db8:1:2:3:4:5:6":  "2001:db8:1:2::",
		"2001:db8:1:2::":        "2001:db8:1:2::",
		"fe80::1%eth0":          "fe80::",
		"::1":                   "::",
		"::ffff:192.0.2.1%eth0": "192.0.2.1",
	} {
		if got := AddressOf(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	if got := AddressOf(netip.Addr{}); got.IsValid() {
		t.Errorf("none: got %v", got)
	}
}

func TestRateOf(t *testing.T) {
	t.Parallel()
	tenant := &tenancy.Tenant{Limits: map[string]int64{
		"rate.tenant": 600, "burst.tenant": 20, "rate.key": 60, "rate.address": 0, "rate.tenant.search": 30, "burst.tenant.search": 0,
		"rate.key.search": -1, "burst.address.login": 5, "tenant": 7,
	}}
	for _, tt := range []struct {
		of    Kind
		class string
		want  Rate
		ok    bool
	}{
		{Tenant, "", Rate{600, time.Minute, 20}, true},
		{Key, "", Rate{60, time.Minute, 0}, true},
		{Address, "", Rate{0, time.Minute, 0}, true},
		{Tenant, "search", Rate{30, time.Minute, 1}, true},
		{Key, "search", Rate{-1, time.Minute, 0}, true},
		{Address, "search", Rate{}, false},
		{Address, "login", Rate{}, false}, // a burst of no rate
		{Tenant, "login", Rate{}, false},
		{kinds, "", Rate{}, false},
	} {
		if got, ok := RateOf(tenant, tt.of, tt.class); got != tt.want || ok != tt.ok {
			t.Errorf("%v %q: got %+v, %t, want %+v, %t", tt.of, tt.class, got, ok, tt.want, tt.ok)
		}
	}
	for _, none := range []*tenancy.Tenant{nil, {}} {
		if _, ok := RateOf(none, Tenant, ""); ok {
			t.Error("got a rate of no record")
		}
	}
}

func TestKind(t *testing.T) {
	t.Parallel()
	for k, want := range map[Kind]string{Tenant: "tenant", Key: "key", Address: "address", 3: "Kind(3)"} {
		if got := k.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
