package sched

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The idle connection of the tenant that uses its connections least goes, never
// one in use, and none for nobody.
func TestVictims(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 5, testOptions(3))
		for range 20 {
			_ = h.use(t.Context(), 0, 10*time.Millisecond, true)
		}
		_ = h.use(t.Context(), 1, 0, true)
		hold, err := h.acquire(t.Context(), h.lanes[2])
		if err != nil {
			t.Fatal(err)
		}
		if h.stat.Evictions != 0 {
			t.Errorf("got %d evictions within the budget, want none", h.stat.Evictions)
		}
		_ = h.use(t.Context(), 3, 0, true)
		if h.lanes[0].live != 1 || h.lanes[1].live != 0 || h.lanes[2].live != 1 || h.stat.Evictions != 1 {
			t.Errorf("got %d of the busy, %d of the quiet, %d in use, want the quiet tenant's to go",
				h.lanes[0].live, h.lanes[1].live, h.lanes[2].live)
		}
		h.release(hold, true)
		h.settled(t)
		h.Close()
	})
}

// One that asks every tenant for something does not cost the busy ones their
// connections, nor does a tenant that is used for the first time.
func TestCrawlerCostsBusyTenantsNoConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const busy = 15
		h := newHarness(t, 1000, testOptions(20))
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
		h.Close()
	})
}

// Of tenants that were used once, the one goes whose use was first.
func TestOfTenantsUsedOnceTheFirstGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 10, testOptions(3))
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
		h.Close()
	})
}

// Connections that a busy tenant does not need any more go before the only one of
// a quieter tenant.
func TestSpareConnectionsOfABusyTenantGoFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 100, testOptions(12))
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
		h.Close()
	})
}

// Connections that a tenant keeps in reserve go last, however seldom it uses
// them.
func TestReservedConnectionsGoLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessWith(t, 4, testOptions(3), Conns{Most: 3, Reserve: 1})
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
			t.Error("when all are in Reserve: got the quiet tenant's connection kept, want it to go")
		}
		h.settled(t)
		h.Close()
	})
}
