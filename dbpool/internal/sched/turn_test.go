package sched

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy/internal/urgency"
)

// passing has two workers of a tenant's low priority, which hand its only connection to each other until the context
// ends. A dial costs a second: a turn is long.
func passing(t *testing.T, hold time.Duration) (h *harness, stop func()) {
	h = newHarness(t, 2, testOptions(1))
	h.server.delay = func() time.Duration { return time.Second }
	h.cost = time.Second
	ctx, cancel := context.WithCancel(urgency.LowPriority(t.Context()))
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = h.use(ctx, 0, hold, true)
			}
		})
	}
	time.Sleep(5 * time.Second)
	return h, func() {
		cancel()
		wg.Wait()
		h.settled(t)
		h.Close()
	}
}

// Work of low priority that hands a connection on gives its slot to another tenant's request at once.
func TestBackgroundGivesWayToRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hold = 50 * time.Millisecond
		h, stop := passing(t, hold)
		began := time.Now()
		err := h.use(t.Context(), 1, 0, true)
		// The connection comes back, is closed, and another is dialled.
		if waited := time.Since(began); err != nil || waited > hold+time.Second+10*time.Millisecond {
			t.Errorf("got %v after %v, want a connection after %v and a dial", err, waited, hold)
		}
		stop()
	})
}

// Work of low priority takes turns with that of other tenants.
func TestBackgroundTakesTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, stop := passing(t, 50*time.Millisecond)
		for range 5 {
			began := time.Now()
			err := h.use(urgency.LowPriority(t.Context()), 1, 0, true)
			if waited := time.Since(began); err != nil || waited > (turn+2)*time.Second {
				t.Errorf("got %v after %v, want a connection after a turn of %d dials, and one", err, waited, turn)
			}
			time.Sleep(5 * time.Second)
		}
		stop()
	})
}

// A lane that stands in the ring leaves it when its own connections serve it well, though none gets idle.
func TestRingIsKeptTrue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 2, testOptions(1))
		hold, err := h.acquire(t.Context(), h.lanes[0])
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		use := func(holds time.Duration) {
			wg.Go(func() {
				if err := h.use(t.Context(), 0, holds, true); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		h.lanes[0].Resize(Conns{Most: 2})
		use(time.Second)
		time.Sleep(2 * patience)
		standing := func() int {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.ring[foreground].len()
		}
		if standing() != 1 {
			t.Errorf("got %d in the ring, want the lane whose waiter is old", standing())
		}
		use(0)
		h.release(hold, true)
		h.mu.Lock()
		h.lanes[0].next().since = time.Now() // it came just now
		h.mu.Unlock()
		h.tick()
		if standing() != 0 {
			t.Errorf("got %d in the ring, want nobody: the waiter is young", standing())
		}
		wg.Wait()
		h.settled(t)
		h.Close()
	})
}

// A request that comes and goes while all slots are in use and many tenants wait.
func BenchmarkWaitWhenFull(b *testing.B) {
	const tenants = 1000
	h := newHarness(b, 1+tenants, testOptions(1))
	hold, err := h.acquire(b.Context(), h.lanes[0])
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	for i := range tenants {
		wg.Go(func() { _ = h.use(ctx, 1+i, 0, true) })
	}
	for h.Stat().Waiting < tenants {
		time.Sleep(time.Millisecond)
	}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		h.mu.Lock()
		if start := h.schedule(now); start != nil {
			b.Error("got a dial, want none: no slot is free")
		}
		h.mu.Unlock()
	}
	cancel()
	wg.Wait()
	h.release(hold, true)
	h.Close()
}
