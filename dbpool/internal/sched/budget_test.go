package sched

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/urgency"
)

// Random work with everything that can go wrong: the accounting is right at
// every dial and at the end, whatever the order. The clock is synctest's, so an
// hour of it takes a second.
func TestBudgetUnderRandomWork(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { randomWork(t, seed) })
		})
	}
}

func randomWork(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	l := testOptions(1 + rnd.IntN(8))
	c := Conns{Most: 1 + rnd.IntN(l.Slots), Reserve: rnd.IntN(2)}
	l.Queue = 1 + rnd.IntN(20)
	tenants := 1 + rnd.IntN(20)
	if c.Reserve*tenants >= l.Slots {
		c.Reserve = 0
	}
	h := newHarnessWith(t, tenants, l, c)
	var mu sync.Mutex
	random := func(n int) int { mu.Lock(); defer mu.Unlock(); return rnd.IntN(n) }
	h.server.delay = func() time.Duration { return time.Duration(random(20)) * time.Millisecond }
	odd := errors.New("odd")
	h.server.fail = func() error {
		if random(10) == 0 {
			return odd
		}
		return nil
	}
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			for range 50 {
				ctx, cancel := context.Background(), func() {}
				switch random(4) {
				case 0:
					ctx, cancel = context.WithTimeout(ctx, time.Duration(random(100))*time.Millisecond)
				case 1:
					ctx = urgency.LowPriority(ctx)
				case 2:
					c, end := context.WithCancel(ctx)
					ctx, cancel = c, end
					time.AfterFunc(time.Duration(random(50))*time.Millisecond, end)
				}
				err := h.use(ctx, random(tenants)*random(tenants)/tenants, time.Duration(random(10))*time.Millisecond, random(10) > 0)
				cancel()
				var busy *busyError
				var down *downError
				if err != nil && !errors.Is(err, odd) && !errors.Is(err, tenancy.ErrUnavailable) && !errors.As(err, &busy) && !errors.As(err, &down) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want an error that is documented", err)
				}
				if random(100) == 0 {
					h.lanes[random(tenants)].Renew()
				}
				time.Sleep(time.Duration(random(5)) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	h.settled(t)
	h.Close()
	if n := h.server.open.Load(); n != 0 {
		t.Errorf("after close: got %d connections, want none", n)
	}
	if _, err := h.acquire(t.Context(), h.lanes[0]); !errors.Is(err, tenancy.ErrClosed) {
		t.Errorf("after close: got %v, want ErrClosed", err)
	}
}

// Two hundred tenants at once, each with one request: no connection is dialled
// twice for one, and none is left unused.
func TestColdBurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 200, testOptions(50))
		h.server.delay = func() time.Duration { return 5 * time.Millisecond }
		var wg sync.WaitGroup
		for i := range h.lanes {
			wg.Go(func() {
				if err := h.use(t.Context(), i, time.Millisecond, true); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := h.server.dials.Load(); n != 200 || h.stat.HandOvers != 200 {
			t.Errorf("got %d dials and %d hand-overs, want 200 of each", n, h.stat.HandOvers)
		}
		h.settled(t)
		h.Close()
	})
}

// Background work waits behind requests.
func TestBackgroundWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 3, testOptions(1))
		h.server.delay = func() time.Duration { return time.Millisecond }
		hold, err := h.acquire(t.Context(), h.lanes[0])
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		var mu sync.Mutex
		var wg sync.WaitGroup
		ask := func(name string, ctx context.Context, tenant int) {
			wg.Go(func() {
				if err := h.use(ctx, tenant, time.Millisecond, true); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
			})
			synctest.Wait()
		}
		ask("background, own", urgency.LowPriority(t.Context()), 0)
		ask("background, other", urgency.LowPriority(t.Context()), 1)
		ask("request, other", t.Context(), 2)
		ask("request, own", t.Context(), 0)
		h.release(hold, true)
		wg.Wait()
		if got := fmt.Sprint(order); got != "[request, own request, other background, own background, other]" &&
			got != "[request, own request, other background, other background, own]" {
			t.Errorf("got %s, want requests before background work, of whichever tenant", got)
		}
		h.settled(t)
		h.Close()
	})
}

// Waiting is bounded by the context, the maximum, the queue, and by what is
// known to be hopeless.
func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := testOptions(1)
		l.Queue = 2
		h := newHarness(t, 2, l)
		hold, err := h.acquire(t.Context(), h.lanes[0])
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var busy *busyError
		if _, err := h.acquire(t.Context(), h.lanes[0]); !errors.As(err, &busy) || time.Since(began) != l.Wait {
			t.Errorf("got %v after %v, want a BusyError after %v", err, time.Since(began), l.Wait)
		}
		if busy.after <= 0 {
			t.Errorf("got %v after %v, want a time", busy, busy.after)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, err := h.acquire(ctx, h.lanes[0]); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("got %v after %v, want the deadline", err, time.Since(began))
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { _ = h.use(t.Context(), 0, 0, true) })
		}
		synctest.Wait()
		began = time.Now()
		if _, err := h.acquire(t.Context(), h.lanes[0]); !errors.As(err, &busy) || time.Since(began) != 0 {
			t.Errorf("a full queue: got %v after %v, want a BusyError at once", err, time.Since(began))
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Microsecond)
		defer cancel()
		if _, err := h.acquire(ctx, h.lanes[1]); !errors.As(err, &busy) || time.Since(began) != 0 {
			t.Errorf("less time than a dial takes: got %v, want a BusyError at once", err)
		}
		h.release(hold, true)
		wg.Wait()
		h.settled(t)
		h.Close()
	})
}

// A connection that is handed to a waiter when its context has ended already is
// not lost.
func TestHandOverAfterTheEndOfAContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testOptions(1))
		q := h.lanes[0]
		for range 20 {
			hold, err := h.acquire(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- h.use(ctx, 0, 0, true) }()
			synctest.Wait() // it waits
			h.mu.Lock()
			cancel()
			for range 1000 {
				runtime.Gosched() // it has seen the end, and wants the lock
			}
			h.stat.InUse--
			q.inUse--
			h.handOver(q.next(), hold, time.Now())
			h.mu.Unlock()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
		}
		h.settled(t)
		h.Close()
	})
}

// Connections of an older generation end: idle ones at once, those in use and
// those being dialled as soon as they come back.
func TestGenerations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testOptions(3))
		h.server.delay = func() time.Duration { return time.Second }
		q := h.lanes[0]
		used, err := h.acquire(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { // dials, for want of an idle one
			c, err := h.acquire(t.Context(), q)
			if err != nil || c.generation != 1 {
				t.Errorf("got %+v, %v, want a connection of the generation since", c, err)
				return
			}
			h.release(c, true)
		})
		time.Sleep(100 * time.Millisecond)
		q.Renew()
		h.release(used, true)
		wg.Wait()
		time.Sleep(time.Minute)
		if n := h.server.open.Load(); n != int64(q.live) || q.live > 1 {
			t.Errorf("got %d open, %d counted, want at most the one that was dialled since", n, q.live)
		}
		for _, c := range q.idle {
			if c.generation != q.generation {
				t.Errorf("got a connection of generation %d, want %d", c.generation, q.generation)
			}
		}
		q.Renew()
		time.Sleep(time.Minute)
		if n := h.server.open.Load(); n != 0 {
			t.Errorf("got %d open, want the idle one ended", n)
		}
		h.settled(t)
		h.Close()
	})
}

// A dial that fails fails those who wait for it, at once.
func TestDialFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testOptions(2))
		odd := errors.New("odd")
		h.server.delay = func() time.Duration { return time.Second }
		h.server.fail = func() error { return odd }
		began := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := h.use(t.Context(), 0, 0, true); !errors.Is(err, odd) {
					t.Errorf("got %v, want the dial's error", err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(began); d > 2*time.Second || h.server.dials.Load() > 2 {
			t.Errorf("got %d dials in %v, want one for all", h.server.dials.Load(), d)
		}
		h.settled(t)
		h.Close()
	})
}

// A server that was slow is found to be fast again, even when no request has the
// time that a dial took.
func TestEstimatesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 30, testOptions(30))
		var delay atomic.Int64
		delay.Store(int64(8 * time.Second))
		h.server.delay = func() time.Duration { return time.Duration(delay.Load()) }
		for i := range 6 {
			if err := h.use(t.Context(), i, 0, true); err != nil {
				t.Fatal(err)
			}
		}
		delay.Store(int64(time.Millisecond))
		var err error
		for i := 6; i < 30; i++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err = h.use(ctx, i, 0, true)
			cancel()
			time.Sleep(time.Minute)
		}
		if err != nil {
			t.Errorf("after many minutes: got %v, want a connection", err)
		}
		h.settled(t)
		h.Close()
	})
}

// How long requests wait does not bound dialling: what takes longer serves later
// ones.
func TestDialsLastLongerThanRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := testOptions(1)
		l.Wait = 100 * time.Millisecond
		h := newHarness(t, 1, l)
		h.server.delay = func() time.Duration { return 300 * time.Millisecond }
		var busy *busyError
		if err := h.use(t.Context(), 0, 0, true); !errors.As(err, &busy) {
			t.Errorf("at first: got %v, want a BusyError", err)
		}
		time.Sleep(time.Second)
		if err := h.use(t.Context(), 0, 0, true); err != nil {
			t.Errorf("later: got %v, want a connection", err)
		}
		h.settled(t)
		h.Close()
	})
}

// The time that requests waited counts for those that waited in vain, too.
func TestWaitTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 2, testOptions(1))
		hold, err := h.acquire(t.Context(), h.lanes[0])
		if err != nil {
			t.Fatal(err)
		}
		waits, waited := h.stat.Waits, h.stat.WaitTime
		if err := h.use(t.Context(), 0, 0, true); err == nil {
			t.Error("got no error, want a BusyError")
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := h.use(t.Context(), 0, 0, true); !errors.Is(err, ErrMoved) {
				t.Errorf("got %v, want that the tenant has moved", err)
			}
		})
		time.Sleep(time.Second)
		h.lanes[0].Leave()
		wg.Wait()
		h.release(hold, true)
		if n, d := h.stat.Waits-waits, h.stat.WaitTime-waited; n != 2 || d != 11*time.Second {
			t.Errorf("got %d waits of %v in all, want 2 of 11 s", n, d)
		}
		h.settled(t)
		h.Close()
	})
}

// A connection that is lent is as near as one of the budget.
func TestEstimateOfALentConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 2, testOptions(1))
		h.server.budget = 2
		hold, err := h.acquire(t.Context(), h.lanes[0])
		if err != nil {
			t.Fatal(err)
		}
		h.mu.Lock()
		h.loan.n, h.loan.until = 1, time.Now().Add(time.Hour)
		h.cost = time.Second
		h.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := h.use(ctx, 1, 0, true); err != nil {
			t.Errorf("got %v, want a connection", err)
		}
		h.release(hold, true)
		h.settled(t)
		h.Close()
	})
}
