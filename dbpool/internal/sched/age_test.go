package sched

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// newAging is a harness whose connections live for ten minutes.
func newAging(t *testing.T, tenants int, l Options) *harness {
	l.Life = 10 * time.Minute
	return newHarness(t, tenants, l)
}

// A connection that is always busy is replaced when it has lived long enough, and
// nobody notices.
func TestLifeOfBusyConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newAging(t, 4, testOptions(12))
		h.server.delay = func() time.Duration { return 5 * time.Millisecond }
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var wg sync.WaitGroup
		var oldest atomic.Int64
		for i := range 4 {
			for range 3 {
				wg.Go(func() {
					for ctx.Err() == nil {
						c, err := h.acquire(t.Context(), h.lanes[i])
						if err != nil {
							t.Error(err)
							return
						}
						if over := int64(time.Since(c.endsAt)); over > oldest.Load() {
							oldest.Store(over)
						}
						time.Sleep(50 * time.Millisecond)
						h.release(c, true)
					}
				})
			}
		}
		wg.Wait()
		if over := time.Duration(oldest.Load()); over > 2*time.Second {
			t.Errorf("got a connection that had lived %v too long", over)
		}
		// 12 connections at most, each for 8 to 10 minutes, in an hour.
		if n := h.server.dials.Load(); n < 4*6 || n > 12*8 {
			t.Errorf("got %d dials in an hour, want 24 to 96", n)
		}
		h.settled(t)
		h.Close()
	})
}

// Connections that were made together end at different times, and few at once.
func TestRenewalIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const tenants = 40
		l := testOptions(tenants)
		l.Dials = 6
		h := newAging(t, tenants, l)
		var held []*Conn
		take := func() {
			held = held[:0]
			for _, q := range h.lanes {
				c, err := h.acquire(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				held = append(held, c)
			}
		}
		take()
		at := map[time.Duration]bool{}
		for _, c := range held {
			left := time.Until(c.endsAt)
			if left <= 7*time.Minute || left > 10*time.Minute {
				t.Errorf("got a life of %v, want up to a fifth less than 10 minutes", left)
			}
			at[left] = true
		}
		if len(at) < tenants/2 {
			t.Errorf("got %d different lives of %d connections", len(at), tenants)
		}
		time.Sleep(time.Hour) // all are too old by now
		h.server.delay = func() time.Duration {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.renewing > 3 {
				t.Errorf("got %d connections renewed at once, want 3 at most", h.renewing)
			}
			return 5 * time.Millisecond
		}
		before := h.server.dials.Load()
		for _, c := range held {
			h.release(c, true)
		}
		time.Sleep(time.Second)
		if n := h.server.dials.Load() - before; n != 3 {
			t.Errorf("got %d dials when all came back at once, want 3", n)
		}
		for range tenants {
			time.Sleep(time.Second)
			take()
			for _, c := range held {
				h.release(c, true)
			}
		}
		if n := h.server.dials.Load() - before; n != tenants {
			t.Errorf("got %d dials in the end, want each connection replaced once, %d", n, tenants)
		}
		h.settled(t)
		h.Close()
	})
}

// While new connections fail, those that work stay, however old they are.
func TestOldConnectionsOutlastAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newAging(t, 5, testOptions(10))
		if err := h.use(t.Context(), 0, 0, true); err != nil {
			t.Fatal(err)
		}
		h.server.fail = func() error { return errors.New("down") }
		for i := 1; i < 5; i++ {
			_ = h.use(t.Context(), i, 0, true)
		}
		time.Sleep(time.Hour)
		for range 100 {
			if err := h.use(t.Context(), 0, 0, true); err != nil {
				t.Errorf("got %v, want the old connection", err)
			}
			time.Sleep(time.Second)
		}
		h.server.fail = nil
		time.Sleep(longestPause)
		_ = h.use(t.Context(), 1, 0, true) // closes the breaker
		before := h.server.dials.Load()
		_ = h.use(t.Context(), 0, 0, true)
		time.Sleep(time.Second)
		if n := h.server.dials.Load() - before; n != 1 {
			t.Errorf("got %d dials when the server is up again, want the old connection replaced", n)
		}
		h.settled(t)
		h.Close()
	})
}

// Idle connections end after a while, a few at a time, and one that was idle for too
// long is not used.
func TestIdleTime(t *testing.T) {
	t.Parallel()
	for name, swept := range map[string]bool{"looked at": true, "not looked at": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const tenants = 30
				l := testOptions(2 * tenants)
				l.Idle = time.Minute
				h := newHarness(t, tenants, l)
				for i := range tenants {
					if err := h.use(t.Context(), i, 0, true); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(59 * time.Second)
				h.Sweep(time.Now())
				if n := h.server.open.Load(); n != tenants {
					t.Errorf("before the time: got %d connections, want %d", n, tenants)
				}
				time.Sleep(time.Second)
				if swept {
					h.Sweep(time.Now())
					h.mu.Lock()
					if h.closing != 1 {
						t.Errorf("got %d closed at once, want 1", h.closing)
					}
					h.mu.Unlock()
					time.Sleep(time.Minute)
					if n := h.server.open.Load(); n != 0 {
						t.Errorf("after the time: got %d connections, want none", n)
					}
				}
				if err := h.use(t.Context(), 0, 0, true); err != nil {
					t.Errorf("got %v, want a connection", err)
				}
				if n := h.server.dials.Load(); n != tenants+1 {
					t.Errorf("got %d dials, want another one", n)
				}
				h.settled(t)
				h.Close()
			})
		})
	}
}

// Connections of a lane that break one after another, while they are used, renew it once: those of the
// generation before say nothing of the next.
func TestDistrustRenewsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testOptions(4))
		var conns []*Conn
		take := func() {
			conns = nil
			var wg sync.WaitGroup
			var mu sync.Mutex
			for range 4 {
				wg.Go(func() {
					time.Sleep(time.Millisecond)
					c, err := h.acquire(t.Context(), h.lanes[0])
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					conns = append(conns, c)
				})
			}
			wg.Wait()
		}
		take()
		for _, c := range conns {
			h.release(c, true)
		}
		take() // each is used for the second time
		for i, c := range conns {
			c.Distrust()
			h.mu.Lock()
			if got, want := h.lanes[0].generation, uint64(min(i, 1)); got != want {
				t.Errorf("after %d connections that broke: got generation %d, want %d", i+1, got, want)
			}
			h.mu.Unlock()
			h.release(c, false)
		}
		h.settled(t)
		h.Close()
	})
}
