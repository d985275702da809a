package sched

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// MaySwitch implements [Database] as package wire does: never after a session had state.
func (d *fakeDatabase) MaySwitch(from Wire) bool {
	return d.switches && !from.(*fakeWire).dirty
}

// Switch implements [Database]. It fails the test when it is asked for what it must not be asked for.
func (d *fakeDatabase) Switch(_ *Conn, from Wire) (Wire, error) {
	d.tries.Add(1)
	w := from.(*fakeWire)
	if w.server != d.fakeServer || w.dirty {
		d.t.Error("asked to switch a connection of another server, or one that had state")
	}
	if !w.used.CompareAndSwap(false, true) || w.closed.Load() {
		d.t.Error("asked to switch a connection that somebody has, or that is closed")
	}
	time.Sleep(d.takes)
	w.used.Store(false)
	if d.fate != nil {
		if err := d.fate(); err != nil {
			return nil, err
		}
	}
	if !w.closed.CompareAndSwap(false, true) {
		d.t.Error("a connection was closed while it was switched")
	}
	return &fakeWire{server: d.fakeServer, tenant: d.tenant}, nil
}

// newSwitching is a harness whose server can switch.
func newSwitching(t testing.TB, tenants int, o Options) (*harness, *fakeServer) {
	h := newHarness(t, tenants, o)
	h.server.switches, h.server.takes = true, time.Millisecond
	return h, h.server
}

// A connection that gives up its place becomes the other tenant's, in the same
// slot and without a dial.
func TestSwitch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, s := newSwitching(t, 5, testOptions(2))
		h.server.delay = func() time.Duration { return time.Second }
		for i := range 20 {
			if err := h.use(t.Context(), i%5, 0, true); err != nil {
				t.Error(err)
			}
		}
		h.settled(t)
		if n := h.server.dials.Load(); n != 2 || h.stat.Dials != 2 || h.stat.Switches != 18 || h.stat.Evictions != 18 || s.tries.Load() != 18 {
			t.Errorf("got %d dials, %+v, want 2 dials and 18 switches", n, h.stat)
		}
		if h.cost > 500*time.Millisecond {
			t.Errorf("got a cost of %v, want it come down to what a switch takes", h.cost)
		}
		h.Close()
	})
}

// A switch that fails costs the connection and nothing else: another is dialled in its slot.
func TestSwitchFails(t *testing.T) {
	t.Parallel()
	for name, why := range map[string]error{"fails": errors.New("odd"), "is not possible": ErrNotSwitchable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, s := newSwitching(t, 2, testOptions(1))
				s.fate = func() error { return why }
				first, err := h.acquire(t.Context(), h.lanes[0])
				if err != nil {
					t.Fatal(err)
				}
				h.release(first, true)
				second, err := h.acquire(t.Context(), h.lanes[1])
				if err != nil {
					t.Fatal(err)
				}
				if second.Wire == first.Wire || !first.Wire.(*fakeWire).closed.Load() {
					t.Error("got the connection whose switch failed, want it closed and another")
				}
				if st := h.Stat(); st.Dials != 2 || st.Switches != 0 || s.tries.Load() != 1 || h.server.dials.Load() != 2 {
					t.Errorf("got %+v, want 2 dials and no switch", st)
				}
				if failed := h.host.switching.failures; failed > 0 == errors.Is(why, ErrNotSwitchable) {
					t.Errorf("got %d failures counted against switching", failed)
				}
				h.release(second, true)
				h.settled(t)
				h.Close()
			})
		})
	}
}

// Connections are switched only within one server, where the database allows it, and not while
// switching fails.
func TestWhichConnectionsAreSwitched(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(h *harness, from *Conn, to *Lane){
		"other server":        func(h *harness, _ *Conn, to *Lane) { to.server = NewServer("b", h.Budget) },
		"not able":            func(h *harness, _ *Conn, _ *Lane) { h.server.switches = false },
		"had state":           func(_ *harness, from *Conn, _ *Lane) { from.Wire.(*fakeWire).dirty = true },
		"has failed too much": func(h *harness, _ *Conn, _ *Lane) { fail(&h.host.switching, serverTrip) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, s := newSwitching(t, 2, testOptions(1))
				first, err := h.acquire(t.Context(), h.lanes[0])
				if err != nil {
					t.Fatal(err)
				}
				change(h, first, h.lanes[1])
				h.release(first, true)
				if _, err := h.acquire(t.Context(), h.lanes[1]); err != nil {
					t.Fatal(err)
				}
				if st := h.Stat(); s.tries.Load() != 0 || st.Dials != 2 {
					t.Errorf("got %d switches tried and %d dials, want 0 and 2", s.tries.Load(), st.Dials)
				}
			})
		})
	}
}

func fail(b *breaker, times int) {
	for range times {
		b.failed(time.Now(), errors.New("odd"))
	}
}

// Where switching fails again and again it is left for a while, and found again
// when it works.
func TestSwitchIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, s := newSwitching(t, 2, testOptions(1))
		s.fate = func() error { return errors.New("odd") }
		for i := range 100 {
			if err := h.use(t.Context(), i%2, 0, true); err != nil {
				t.Error(err)
			}
		}
		if n := s.tries.Load(); n > 10 {
			t.Errorf("got %d tries, want a few", n)
		}
		s.fate = nil
		time.Sleep(longestPause)
		tried := s.tries.Load()
		for i := range 100 {
			once := s.fate
			if i == 50 {
				s.fate = func() error { return errors.New("odd") }
			}
			_ = h.use(t.Context(), i%2, 0, true)
			s.fate = once
		}
		h.settled(t)
		if n := s.tries.Load() - tried; n != 100 || h.stat.Switches != 99 {
			t.Errorf("when it works but once: got %d tries, %d switches, want 100 and 99", n, h.stat.Switches)
		}
		h.Close()
	})
}

// What happens during a switch: the waiter goes, the tenant's connections are to
// be renewed, the pool is closed.
func TestDuringSwitch(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(h *harness, cancel func()){
		"cancel": func(_ *harness, cancel func()) { cancel() },
		"renew":  func(h *harness, _ func()) { h.lanes[1].Renew() },
		"leave":  func(h *harness, _ func()) { h.lanes[1].Leave() },
		"close":  func(h *harness, _ func()) { h.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, s := newSwitching(t, 2, testOptions(1))
				if err := h.use(t.Context(), 0, 0, true); err != nil {
					t.Fatal(err)
				}
				s.takes = time.Second
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				got := make(chan error, 1)
				go func() { got <- h.use(ctx, 1, 0, true) }()
				time.Sleep(time.Millisecond)
				meanwhile(h, cancel)
				err := <-got
				if want := map[string]error{"cancel": context.Canceled, "leave": ErrMoved, "close": tenancy.ErrClosed}[name]; !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
				time.Sleep(time.Minute)
				open := map[string]int64{"cancel": 1, "renew": 1}[name]
				if n := h.server.open.Load(); n != open || h.Stat().Conns != int(open) {
					t.Errorf("got %d connections, %d counted, want %d", n, h.Stat().Conns, open)
				}
				if name == "renew" && h.server.dials.Load() != 2 {
					t.Errorf("got %d dials, want the switched connection gone and another", h.server.dials.Load())
				}
				h.Close()
				if n := h.server.open.Load(); n != 0 {
					t.Errorf("after close: got %d connections, want none", n)
				}
			})
		})
	}
}

// Random work as in TestBudgetUnderRandomWork on a server that switches, with
// everything that can go wrong with that.
func TestSwitchUnderRandomWork(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				rnd := rand.New(rand.NewPCG(seed, 2))
				random := func(n int) int { mu.Lock(); defer mu.Unlock(); return rnd.IntN(n) }
				budget := 1 + random(8)
				h, s := newSwitching(t, 2+random(20), testOptions(budget))
				h.server.delay = func() time.Duration { return time.Duration(random(20)) * time.Millisecond }
				s.fate = func() error {
					time.Sleep(time.Duration(random(5)) * time.Millisecond)
					switch random(30) {
					case 0:
						return errors.New("odd")
					case 1:
						return ErrNotSwitchable
					}
					return nil
				}
				var wg sync.WaitGroup
				for range 40 {
					wg.Go(func() {
						for range 50 {
							ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+random(2000))*time.Millisecond)
							i := random(len(h.lanes))
							err := h.useAs(ctx, i, time.Duration(random(5))*time.Millisecond, random(20) > 0, random(20) == 0)
							cancel()
							var busy *busyError
							if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &busy) {
								t.Errorf("got %v, want an error that is documented", err)
							}
							if random(100) == 0 {
								h.lanes[random(len(h.lanes))].Renew()
							}
						}
					})
				}
				wg.Wait()
				h.settled(t)
				if h.Stat().Switches == 0 && len(h.lanes) > budget {
					t.Errorf("got %+v, want switches", h.Stat())
				}
				h.Close()
				if n := h.server.open.Load(); n != 0 {
					t.Errorf("after close: got %d connections, want none", n)
				}
			})
		})
	}
}
