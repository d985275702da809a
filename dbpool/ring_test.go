package dbpool

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// A dial goes to the tenant with most waiters, because it serves them all.
func TestMostWaitersFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := testLimits(10)
		l.dials = 1
		h := newHarness(t, 10, l)
		h.server.delay = func() time.Duration { return 10 * time.Millisecond }
		h.cost = 10 * time.Millisecond
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		ask := func(tenant int) {
			wg.Go(func() {
				if err := h.use(t.Context(), tenant, 0, true); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, tenant)
			})
			synctest.Wait()
		}
		for i := range 9 {
			ask(i)
		}
		for range 5 {
			ask(9)
		}
		wg.Wait()
		if want := "[0 9 9 9 9 9 1 2 3 4 5 6 7 8]"; fmt.Sprint(order) != want {
			t.Errorf("got %v, want %s", order, want)
		}
		h.settled(t)
		h.close()
	})
}

// Tenants with many waiters that keep coming do not pass one with a single
// waiter by for longer than twice what taking turns would cost it.
func TestSingleWaiterIsNotPassedByForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const tenants = 400
		l := testLimits(20)
		l.dials = 2
		h := newHarness(t, tenants, l)
		h.server.delay = func() time.Duration { return 10 * time.Millisecond }
		h.cost = 10 * time.Millisecond
		var wg sync.WaitGroup
		crowdOf := func(tenant int) {
			for range 5 {
				wg.Go(func() {
					if err := h.use(t.Context(), tenant, time.Millisecond, true); err != nil {
						t.Error(err)
					}
				})
			}
		}
		for i := 1; i < 41; i++ { // a ring of forty
			crowdOf(i)
		}
		synctest.Wait()
		began := time.Now()
		var waited time.Duration
		wg.Go(func() {
			if err := h.use(t.Context(), 0, 0, true); err != nil {
				t.Error(err)
			}
			waited = time.Since(began)
		})
		synctest.Wait()
		for i := 41; i < tenants; i++ { // as fast as they are served
			crowdOf(i)
			time.Sleep(6 * time.Millisecond)
		}
		wg.Wait()
		// Forty tenants take turns in 40/2 dials of 11 ms, with the closing.
		if turn := 220 * time.Millisecond; waited < turn || waited > 2*turn+turn/4 {
			t.Errorf("waited %v, want no less than a turn of %v and little more than two", waited, turn)
		}
		h.settled(t)
		h.close()
	})
}

// Servers that share a budget do not share a breaker.
func TestServersOfOneBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up := &fakeServer{t: t, budget: 4}
		down := &fakeServer{t: t, budget: 4, fail: func() error { return fmt.Errorf("down") }, delay: func() time.Duration { return time.Millisecond }}
		p, err := New(map[string]driver.Engine{"up": up, "down": down, "apart": up}, &Options{
			Budget: 4, Logger: slog.New(slog.DiscardHandler),
			Servers: map[string]ServerOptions{"down": {BudgetOf: "up"}, "apart": {Budget: 1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		use := func(server string, i int) error {
			name := fmt.Sprintf("%s%d", server, i)
			db, err := p.For(t.Context(), &tenancy.Tenant{ID: tenancy.ID(name), Placement: tenancy.Placement{Server: server, Database: name}})
			if err != nil {
				return err
			}
			return db.PingContext(t.Context())
		}
		for i := range 20 {
			if err := use("down", i); err == nil {
				t.Error("a server that is down: got no error")
			}
			if err := use("up", i); err != nil {
				t.Errorf("the other: %v", err)
			}
		}
		if n := down.dials.Load(); n > serverTrip+1 {
			t.Errorf("got %d dials to the server that is down, want its breaker open", n)
		}
		got, want := p.Stat("down"), p.Stat("up")
		if got.Breaker != "open" || want.Breaker != "closed" {
			t.Errorf("got breakers %s and %s, want one open", got.Breaker, want.Breaker)
		}
		got.Breaker = want.Breaker
		if got != want || got.Budget != 4 || got.Conns != 4 {
			t.Errorf("got %+v and %+v, want one budget of 4 that is used up", got, want)
		}
		if got := p.Stat("apart"); got.Budget != 1 {
			t.Errorf("got %+v, want a budget of 1", got)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestServerOptionsAreChecked(t *testing.T) {
	t.Parallel()
	s := &fakeServer{t: t}
	for name, o := range map[string]map[string]ServerOptions{
		"unknown server":     {"b": {}},
		"negative budget":    {"a": {Budget: -1}},
		"negative conns":     {"a": {MaxConns: -1}},
		"budget of nobody":   {"a": {BudgetOf: "b"}},
		"budget of itself":   {"a": {BudgetOf: "a"}},
		"two budgets":        {"c": {BudgetOf: "a", Budget: 2}},
		"budget of a sharer": {"a": {BudgetOf: "c"}, "c": {BudgetOf: "a"}},
	} {
		if _, err := New(map[string]driver.Engine{"a": s, "c": s}, &Options{Servers: o}); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// A tenant that wants another connection, and for which only its own would be
// given up, does not keep those behind it in the ring from theirs.
func TestRingPassesByWhoCannotBeServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 3, testLimits(2))
		h.server.delay = func() time.Duration { return time.Millisecond }
		hold, err := h.acquire(t.Context(), h.lanes[2])
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_ = h.use(ctx, 0, time.Millisecond, true)
				}
			})
		}
		time.Sleep(time.Second) // by now it stands in the ring
		began := time.Now()
		if err := h.use(t.Context(), 1, 0, true); err != nil || time.Since(began) > 100*time.Millisecond {
			t.Errorf("got %v after %v, want a connection within 100 ms", err, time.Since(began))
		}
		cancel()
		wg.Wait()
		h.release(hold, true)
		h.settled(t)
		h.close()
	})
}

// Background work that stood in the ring for a request does not keep the
// request's rank when that has gone.
func TestBackgroundAfterARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 3, testLimits(1))
		h.server.delay = func() time.Duration { return time.Millisecond }
		hold, err := h.acquire(t.Context(), h.lanes[0])
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		var wg sync.WaitGroup
		ask := func(ctx context.Context, tenant int, name string) {
			wg.Go(func() {
				if h.use(ctx, tenant, 0, true) == nil {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, name)
				}
			})
			synctest.Wait()
		}
		gone, cancel := context.WithCancel(t.Context())
		ask(LowPriority(t.Context()), 1, "background")
		ask(gone, 1, "gone")
		cancel()
		synctest.Wait()
		ask(t.Context(), 2, "request")
		time.Sleep(2 * patience)
		h.release(hold, true)
		wg.Wait()
		if got := fmt.Sprint(order); got != "[request background]" {
			t.Errorf("got %s, want the request first", got)
		}
		h.settled(t)
		h.close()
	})
}
