package sched

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy/internal/urgency"
)

// A tenant with a thousand waiters does not delay one with a single waiter by
// more than its turn.
func TestFairness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 2, testOptions(2))
		h.server.delay = func() time.Duration { return 5 * time.Millisecond }
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_ = h.use(ctx, 0, 2*time.Millisecond, true)
				}
			})
		}
		time.Sleep(time.Second)
		for range 10 {
			began := time.Now()
			if err := h.use(t.Context(), 1, 0, true); err != nil {
				t.Error(err)
			}
			if wait := time.Since(began); wait > 100*time.Millisecond {
				t.Errorf("the quiet tenant waited %v, want at most 100 ms", wait)
			}
			time.Sleep(200 * time.Millisecond)
		}
		cancel()
		wg.Wait()
		h.settled(t)
		h.Close()
	})
}

// A dial goes to the tenant with most waiters, because it serves them all.
func TestMostWaitersFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := testOptions(10)
		l.Dials = 1
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
		h.Close()
	})
}

// Tenants with many waiters that keep coming do not pass one with a single
// waiter by for longer than twice what taking turns would cost it.
func TestSingleWaiterIsNotPassedByForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const tenants = 400
		l := testOptions(20)
		l.Dials = 2
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
		h.Close()
	})
}

// A lane that stands first in the ring, and whose own connection serves its waiters so fast
// that none of them is old, hides nobody who stands behind it for long.
func TestYoungWaitersHideNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const crowds = 100
		o := testOptions(20)
		o.Dials = 1
		h := newHarness(t, 2+crowds, o)
		h.server.delay = func() time.Duration { return 10 * time.Millisecond }
		h.cost = 10 * time.Millisecond
		var wg sync.WaitGroup
		ask := func(tenant int, n int, hold time.Duration) {
			for range n {
				wg.Go(func() {
					if err := h.use(t.Context(), tenant, hold, true); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
		}
		ask(0, 1, 0) // has a connection from now on
		time.Sleep(20 * time.Millisecond)
		ask(2, 5, time.Millisecond) // is being dialled for
		busy, cancel := context.WithCancel(t.Context())
		for range 2 * crowd {
			wg.Go(func() {
				for busy.Err() == nil {
					_ = h.use(busy, 0, 100*time.Microsecond, true)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		var waited time.Duration
		wg.Go(func() {
			if err := h.use(t.Context(), 1, 0, true); err != nil {
				t.Error(err)
			}
			waited = time.Since(began)
		})
		for i := 3; i < 2+crowds; i++ { // as fast as they are served
			ask(i, 5, time.Millisecond)
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
		wg.Wait()
		// Few lanes stand in the ring at a time: two rounds of it are some tens of milliseconds.
		if waited > 200*time.Millisecond {
			t.Errorf("waited %v behind a lane whose waiters are young, want 200 ms at most", waited)
		}
		h.settled(t)
		h.Close()
	})
}

// A tenant that wants another connection, and for which only its own would be
// given up, does not keep those behind it in the ring from theirs.
func TestRingPassesByWhoCannotBeServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 3, testOptions(2))
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
		h.Close()
	})
}

// Background work that stood in the ring for a request does not keep the
// request's rank when that has gone.
func TestBackgroundAfterARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 3, testOptions(1))
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
		ask(urgency.LowPriority(t.Context()), 1, "background")
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
		h.Close()
	})
}
