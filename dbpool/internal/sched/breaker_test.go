package sched

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// While a server is down, requests fail at once and the budget dials one connection
// at a time. When the server answers again, the breaker closes without a call.
func TestBreakerOfTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := testOptions(20)
		l.Dials = 10
		h := newHarness(t, 50, l)
		var down atomic.Bool
		odd := errors.New("odd")
		h.server.delay = func() time.Duration { return time.Second }
		h.server.fail = func() error {
			if down.Load() {
				return odd
			}
			return nil
		}
		down.Store(true)
		ask := func() (failed, fast int) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range h.lanes {
				wg.Go(func() {
					began := time.Now()
					err := h.use(t.Context(), i, 0, true)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						failed++
						var down *downError
						if !errors.Is(err, odd) && !errors.Is(err, tenancy.ErrUnavailable) && !errors.As(err, &down) {
							t.Errorf("got %v, want the dial's error or a downError", err)
						}
					}
					if time.Since(began) == 0 {
						fast++
					}
				})
			}
			wg.Wait()
			return failed, fast
		}
		if failed, _ := ask(); failed != 50 {
			t.Errorf("at first: got %d failures, want 50", failed)
		}
		dials := h.server.dials.Load()
		if failed, fast := ask(); failed != 50 || fast != 50 || h.server.dials.Load() != dials {
			t.Errorf("when it is known: got %d failures, %d at once, %d dials, want 50 at once without a dial",
				failed, fast, h.server.dials.Load()-dials)
		}
		for range 60 { // a minute of it
			ask()
			time.Sleep(time.Second)
		}
		if n := h.server.dials.Load() - dials; n > 30 {
			t.Errorf("got %d dials in a minute, want a few", n)
		}
		down.Store(false)
		time.Sleep(longestPause)
		if failed, _ := ask(); failed != 0 {
			t.Errorf("when it is up again: got %d failures, want none", failed)
		}
		h.settled(t)
		h.Close()
	})
}

// A tenant whose database is gone does not trouble the others.
func TestBreakerOfTheTenant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 2, testOptions(2))
		gone := h.dbs[0]
		gone.refuses = fmt.Errorf("%w: no database", tenancy.ErrNotFound)
		for range 100 {
			if err := h.use(t.Context(), 0, 0, true); !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("got %v, want ErrNotFound", err)
			}
			if err := h.use(t.Context(), 1, 0, true); err != nil {
				t.Errorf("the other: %v", err)
			}
		}
		var down *downError
		if err := h.use(t.Context(), 0, 0, true); !errors.As(err, &down) || down.after <= 0 || h.stat.Failures > 2 {
			t.Errorf("got %v after %d dials, want a DownError", err, h.stat.Failures)
		}
		gone.refuses = nil
		time.Sleep(longestPause)
		if err := h.use(t.Context(), 0, 0, true); err != nil {
			t.Errorf("when it is back: %v", err)
		}
		h.settled(t)
		h.Close()
	})
}

// A tenant that has a connection and wants another does not dial again and again
// while that fails.
func TestBreakerOfATenantWithConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testOptions(2))
		hold, err := h.acquire(t.Context(), h.lanes[0])
		if err != nil {
			t.Fatal(err)
		}
		h.server.delay = func() time.Duration { return time.Millisecond }
		h.server.fail = func() error { return errors.New("odd") }
		var busy *busyError
		if _, err := h.acquire(t.Context(), h.lanes[0]); !errors.As(err, &busy) {
			t.Errorf("got %v, want a BusyError", err)
		}
		if n := h.server.dials.Load() - 1; n == 0 || n > 20 {
			t.Errorf("got %d dials that failed within %v, want a few", n, h.opts.Wait)
		}
		h.release(hold, true)
		h.settled(t)
		h.Close()
	})
}
