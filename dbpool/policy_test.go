package dbpool

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"
)

// The policy dials at most a tenth more than the best of all on every load.
// Each of the others is far from the best on some.
func TestPolicies(t *testing.T) {
	t.Parallel()
	s := scale{tenants: 150, budget: 15, requests: 5000, rate: 500}
	for _, l := range loads() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			var dials []float64
			for _, c := range candidates() {
				dials = append(dials, l.simulate(s, c.make))
			}
			if best := slices.Min(dials); dials[0] > 1.1*best {
				t.Errorf("got %.3f dials for each query, want at most a tenth more than %.3f", dials[0], best)
			}
		})
	}
}

// The real budget, where connections are in use for a time and requests wait,
// dials less than with the longest idle one as the victim. With TENANCY_SOAK it
// logs all loads and policies.
func TestPoliciesOfGroup(t *testing.T) {
	t.Parallel()
	s := scale{tenants: 200, budget: 20, requests: 4000, workers: 8}
	soak := os.Getenv("TENANCY_SOAK") != ""
	others := []candidate{{"LRU", func(*budget) policy { return lru{} }}}
	if soak {
		s, others = scale{tenants: 1000, budget: 90, requests: 40_000, workers: 64}, candidates()[1:]
	}
	var table strings.Builder
	w := newTable(&table, append([]candidate{candidates()[0]}, others...))
	for _, l := range loads() {
		atMost := map[string]float64{"Zipf 1.0": 0.9, "Zipf 1.2": 0.9, "sessions": 1.1, "pages": 1.1}[l.name]
		if atMost == 0 && !soak {
			continue
		}
		fmt.Fprint(w, l.name, "\t")
		dials, rate := l.race(t, s, candidates()[0].make)
		fmt.Fprintf(w, "%.1f, %.0f/s\t", 100*dials, rate)
		for _, c := range others {
			than, rate := l.race(t, s, c.make)
			fmt.Fprintf(w, "%.1f, %.0f/s\t", 100*than, rate)
			if c.name == "LRU" && atMost > 0 && dials > atMost*than {
				t.Errorf("%s: got %.3f dials for each query, want at most %.1f of %.3f", l.name, dials, atMost, than)
			}
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	t.Logf("dials for 100 queries, and queries a second:\n%s", &table)
}

// One that asks every tenant for something does not cost the busy ones their
// connections, nor does a tenant that is used for the first time.
func TestCrawler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const busy = 15
		h := newHarness(t, 1000, testLimits(20))
		h.server.delay = func() time.Duration { return 5 * time.Millisecond }
		for i := range 1000 {
			if err := h.use(t.Context(), i%busy, 5*time.Millisecond, true); err != nil {
				t.Fatal(err)
			}
		}
		for tenant := busy; tenant < len(h.lanes); tenant++ {
			for _, i := range []int{tenant % busy, tenant} {
				if err := h.use(t.Context(), i, 5*time.Millisecond, true); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := h.stat.Dials; got != 1000 {
			t.Errorf("got %d dials for 1,000 tenants, want one for each", got)
		}
		h.settled(t)
		h.close()
	})
}

// Of tenants that were used once, the one goes whose use was first.
func TestUsedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 10, testLimits(3))
		for i := range h.lanes {
			if err := h.use(t.Context(), i, time.Second, true); err != nil {
				t.Fatal(err)
			}
		}
		for i, q := range h.lanes {
			if want := i / 7; q.live != want {
				t.Errorf("tenant %d: got %d connections, want %d", i, q.live, want)
			}
		}
		h.settled(t)
		h.close()
	})
}

// Connections that a busy tenant does not need any more go before the only one of
// a quieter tenant.
func TestSpares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 100, testLimits(12))
		h.server.delay = func() time.Duration { return 5 * time.Millisecond }
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := h.use(t.Context(), 0, 50*time.Millisecond, true); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if live := h.lanes[0].live; live < 5 {
			t.Fatalf("got %d connections, want some to spare", live)
		}
		var dials int64
		for i := range 3000 {
			if i == 1000 { // they are known
				dials = h.stat.Dials
			}
			tenant := 0
			if i%10 == 0 {
				tenant = 1 + i/10%10
			}
			if err := h.use(t.Context(), tenant, 5*time.Millisecond, true); err != nil {
				t.Error(err)
			}
		}
		if live := h.lanes[0].live; live > 2 {
			t.Errorf("got %d connections of the busy tenant, which uses one, want at most 2", live)
		}
		if n := h.stat.Dials - dials; n > 0 {
			t.Errorf("got %d dials when all have a connection, want none", n)
		}
		h.settled(t)
		h.close()
	})
}

// Connections that a tenant keeps in reserve go last, however seldom it uses
// them.
func TestReserve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessWith(t, 4, testLimits(3), conns{most: 3, reserve: 1})
		use := func(tenant, times int) {
			for range times {
				if err := h.use(t.Context(), tenant, 10*time.Millisecond, true); err != nil {
					t.Error(err)
				}
			}
		}
		use(0, 1)
		a, err := h.acquire(t.Context(), h.lanes[1])
		if err != nil {
			t.Fatal(err)
		}
		go use(1, 1) // on a connection of its own
		time.Sleep(time.Second)
		h.release(a, true)
		use(1, 50)
		if h.lanes[0].live != 1 || h.lanes[1].live != 2 {
			t.Fatalf("got %d and %d connections, want 1 and 2", h.lanes[0].live, h.lanes[1].live)
		}
		use(2, 1)
		if h.lanes[0].live != 1 || h.lanes[1].live != 1 {
			t.Errorf("got %d of the quiet and %d of the busy tenant, want the busy one's second to go", h.lanes[0].live, h.lanes[1].live)
		}
		use(3, 1)
		if h.lanes[0].live != 0 {
			t.Error("when all are in reserve: got the quiet tenant's connection kept, want it to go")
		}
		h.settled(t)
		h.close()
	})
}

func TestPace(t *testing.T) {
	t.Parallel()
	const visit = 10 * time.Millisecond
	every := func(p *pace, at, gap time.Duration, n int) time.Duration {
		for range n {
			at += gap
			p.add(at, visit)
		}
		return at
	}
	for _, tt := range []struct {
		name string
		uses func(p *pace) (now time.Duration)
		want time.Duration
	}{
		{"never", func(*pace) time.Duration { return time.Hour }, math.MaxInt64},
		{"once", func(p *pace) time.Duration { return every(p, 0, time.Second, 1) }, math.MaxInt64},
		{"a visit of many uses", func(p *pace) time.Duration { return every(p, 0, visit/20, 20) }, math.MaxInt64},
		{"twice", func(p *pace) time.Duration { return every(p, 0, time.Second, 2) }, time.Second},
		{"many uses without a break", func(p *pace) time.Duration { return every(p, 0, visit/2, 1000) }, visit},
		{"steady", func(p *pace) time.Duration { return every(p, 0, time.Second, 1000) }, time.Second},
		{"silent since", func(p *pace) time.Duration { return every(p, 0, time.Second, 1+memory) + memory*time.Second }, 2 * time.Second},
		{"faster than before", func(p *pace) time.Duration {
			return every(p, every(p, 0, time.Minute, 100), time.Second, 2*memory)
		}, time.Second},
		{"slower than before", func(p *pace) time.Duration {
			return every(p, every(p, 0, time.Second, 100), away*time.Second, 2*memory)
		}, away * time.Second},
		{"back from a night", func(p *pace) time.Duration {
			return every(p, every(p, 0, time.Second, 100)+8*time.Hour, time.Second, 1)
		}, time.Second},
	} {
		var p pace
		now := tt.uses(&p)
		if got := p.apart(now); (got - tt.want).Abs() > tt.want/20 {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// BenchmarkPolicies prints the dials for a hundred queries of all policies on
// all loads, of a quiet server and of a busy one.
func BenchmarkPolicies(b *testing.B) {
	all := append(candidates(), candidate{"optimum", func(*budget) policy { return belady{map[*lane]time.Time{}} }})
	var table strings.Builder
	for b.Loop() {
		table.Reset()
		for _, rate := range []float64{50, 1000} {
			s := scale{tenants: 1000, budget: 90, requests: 40_000, rate: rate}
			fmt.Fprintf(&table, "\n%.0f queries a second, %d tenants, %d connections\n", rate, s.tenants, s.budget)
			w := newTable(&table, all)
			for _, l := range loads() {
				fmt.Fprint(w, l.name, "\t")
				for _, c := range all {
					fmt.Fprintf(w, "%.1f\t", 100*l.simulate(s, c.make))
				}
				fmt.Fprintln(w)
			}
			_ = w.Flush()
		}
	}
	fmt.Println(table.String())
}

// newTable begins a table with a column for each policy.
func newTable(out *strings.Builder, of []candidate) *tabwriter.Writer {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\t")
	for _, c := range of {
		fmt.Fprint(w, c.name, "\t")
	}
	fmt.Fprintln(w)
	return w
}
