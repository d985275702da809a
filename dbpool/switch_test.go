package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// switchServer is a fakeServer that can switch. It fails the test when it is
// asked for what it must not be asked for.
type switchServer struct {
	*fakeServer
	tries atomic.Int64
	takes time.Duration
	fate  func() error  // of a switch
	leads func() string // to another database than asked for, if not ""
}

func (s *switchServer) Switch(_ context.Context, conn sqldriver.Conn, to sqldriver.Connector) error {
	s.tries.Add(1)
	c := conn.(*fakeConn)
	if c.server != s.fakeServer || c.dirty {
		s.t.Errorf("asked to switch a connection of another server, or one that had state")
	}
	if !c.used.CompareAndSwap(false, true) || c.closed.Load() {
		s.t.Error("asked to switch a connection that somebody has, or that is closed")
	}
	defer c.used.Store(false)
	time.Sleep(s.takes)
	if s.fate != nil {
		if err := s.fate(); err != nil {
			return err
		}
	}
	c.tenant = to.(fakeConnector).database
	if s.leads != nil {
		if other := s.leads(); other != "" {
			c.tenant = other
		}
	}
	return nil
}

// newSwitching is a harness whose server can switch.
func newSwitching(t testing.TB, tenants int, l limits) (*harness, *switchServer) {
	h := newHarness(t, tenants, l)
	s := &switchServer{fakeServer: h.server, takes: time.Millisecond}
	for _, q := range h.lanes {
		q.engine, q.switcher, q.server = s, s, h.host
		q.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return h, s
}

// A connection that gives up its place becomes the other tenant's, in the same
// slot and without a dial.
func TestSwitch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, s := newSwitching(t, 5, testLimits(2))
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
		h.close()
	})
}

// A switch that fails, or that leads elsewhere, costs the connection and nothing
// else: another is dialled in its slot.
func TestSwitchFails(t *testing.T) {
	t.Parallel()
	odd := errors.New("odd")
	for name, trouble := range map[string]struct {
		fate  func() error
		leads func() string
	}{
		"fails":           {fate: func() error { return odd }},
		"is not possible": {fate: func() error { return sqldriver.ErrSkip }},
		"panics":          {fate: func() error { panic("odd") }},
		"leads elsewhere": {leads: func() string { return "t0" }},
		"leads nowhere":   {leads: func() string { return "x" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, s := newSwitching(t, 2, testLimits(1))
				s.fate, s.leads = trouble.fate, trouble.leads
				first, err := h.acquire(t.Context(), h.lanes[0])
				if err != nil {
					t.Fatal(err)
				}
				h.release(first, true)
				second, err := h.acquire(t.Context(), h.lanes[1])
				if err != nil {
					t.Fatal(err)
				}
				if second.inner == first.inner || !first.inner.(*fakeConn).closed.Load() {
					t.Error("got the connection whose switch failed, want it closed and another")
				}
				if st := h.snapshot(); st.Dials != 2 || st.Switches != 0 || s.tries.Load() != 1 || h.server.dials.Load() != 2 {
					t.Errorf("got %+v, want 2 dials and no switch", st)
				}
				h.release(second, true)
				h.settled(t)
				h.close()
			})
		})
	}
}

// When neither the switch nor the dial leads to the tenant's database, its
// waiters get the dial's error.
func TestSwitchAndDialFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, s := newSwitching(t, 2, testLimits(1))
		s.leads = func() string { return "t0" }
		if err := h.use(t.Context(), 0, 0, true); err != nil {
			t.Fatal(err)
		}
		h.lanes[1].connector = refusing{fmt.Errorf("%w: no database", tenancy.ErrNotFound)}
		s.fate = func() error { return errors.New("no database") }
		if err := h.use(t.Context(), 1, 0, true); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("a missing database: got %v, want ErrNotFound", err)
		}
		if err := h.use(t.Context(), 0, 0, true); err != nil {
			t.Error(err)
		}
		time.Sleep(longestPause)
		s.fate = nil
		h.lanes[1].connector = fakeConnector{h.server, "t0"}
		var wrong *IdentityError
		if err := h.use(t.Context(), 1, 0, true); !errors.As(err, &wrong) {
			t.Errorf("another tenant's database: got %v, want an IdentityError", err)
		}
		h.settled(t)
		h.close()
	})
}

// Connections are switched only within what one engine of one server opened for
// tenants, and only those that never had state.
func TestWhichConnectionsAreSwitched(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(h *harness, from *conn, to *lane){
		"other server":        func(h *harness, _ *conn, to *lane) { to.server = newServer("b", h.server, h.budget, conns{}) },
		"later engine":        func(_ *harness, _ *conn, to *lane) { to.era++ },
		"not able":            func(_ *harness, _ *conn, to *lane) { to.switcher = nil },
		"had state":           func(_ *harness, from *conn, _ *lane) { from.cleaned = true },
		"may have state":      func(_ *harness, from *conn, _ *lane) { from.lane.keep = true },
		"to the server":       func(_ *harness, _ *conn, to *lane) { to.tenant = "" },
		"of the server":       func(_ *harness, from *conn, _ *lane) { from.lane.tenant = "" },
		"has failed too much": func(h *harness, _ *conn, _ *lane) { fail(&h.host.switching, serverTrip) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, s := newSwitching(t, 2, testLimits(1))
				first, err := h.acquire(t.Context(), h.lanes[0])
				if err != nil {
					t.Fatal(err)
				}
				change(h, first, h.lanes[1])
				h.release(first, true)
				if _, err := h.acquire(t.Context(), h.lanes[1]); err != nil {
					t.Fatal(err)
				}
				if st := h.snapshot(); s.tries.Load() != 0 || st.Dials != 2 {
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
		h, s := newSwitching(t, 2, testLimits(1))
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
		h.close()
	})
}

// What happens during a switch: the waiter goes, the tenant's connections are to
// be renewed, the pool is closed.
func TestDuringSwitch(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(h *harness, cancel func()){
		"cancel": func(_ *harness, cancel func()) { cancel() },
		"renew":  func(h *harness, _ func()) { h.lanes[1].renew() },
		"leave":  func(h *harness, _ func()) { h.lanes[1].leave() },
		"close":  func(h *harness, _ func()) { h.close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, s := newSwitching(t, 2, testLimits(1))
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
				if want := map[string]error{"cancel": context.Canceled, "leave": errMoved, "close": tenancy.ErrClosed}[name]; !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
				time.Sleep(time.Minute)
				open := map[string]int64{"cancel": 1, "renew": 1}[name]
				if n := h.server.open.Load(); n != open || h.snapshot().Conns != int(open) {
					t.Errorf("got %d connections, %d counted, want %d", n, h.snapshot().Conns, open)
				}
				if name == "renew" && h.server.dials.Load() != 2 {
					t.Errorf("got %d dials, want the switched connection gone and another", h.server.dials.Load())
				}
				h.close()
				if n := h.server.open.Load(); n != 0 {
					t.Errorf("after close: got %d connections, want none", n)
				}
			})
		})
	}
}

// A new engine gets no connection of the one before, not even one of the same
// value, and not while handles are led there one by one.
func TestSwitchAndSetServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		newEngine := func() *switchServer {
			s := &switchServer{fakeServer: &fakeServer{t: t, budget: 3, delay: func() time.Duration { return time.Millisecond }}, takes: time.Millisecond}
			s.host = s
			return s
		}
		engines := []*switchServer{newEngine(), newEngine()}
		p, err := New(map[string]driver.Engine{"main": engines[0]}, &Options{Budget: 3, MaxConns: 2})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		var served atomic.Int64
		for w := range 10 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(w), 1))
				for ctx.Err() == nil {
					name := fmt.Sprintf("t%d", rnd.IntN(20))
					db, err := p.For(ctx, &tenancy.Tenant{ID: tenancy.ID(name), Placement: tenancy.Placement{Server: "main", Database: name}})
					if err != nil {
						t.Error(err)
						return
					}
					held, err := db.Conn(ctx)
					if err != nil {
						continue
					}
					served.Add(1)
					_ = held.Raw(func(raw any) error {
						if c := raw.(*conn); c.inner.(*fakeConn).tenant != name || c.lane.engine != driver.Engine(c.inner.(*fakeConn).server.host) {
							t.Errorf("got a connection of %s, want one of %s on its own engine", c.inner.(*fakeConn).tenant, name)
						}
						return nil
					})
					time.Sleep(time.Duration(rnd.IntN(5)) * time.Millisecond)
					_ = held.Close()
				}
			})
		}
		for i := 0; ctx.Err() == nil; i++ {
			time.Sleep(300 * time.Millisecond)
			before, era := engines[0].dials.Load()+engines[1].dials.Load(), p.eraOf("t0")
			if err := p.SetServer("main", engines[i/2%2]); err != nil { // each twice
				t.Error(err)
			}
			if now := p.eraOf("t0"); now == era {
				t.Errorf("got era %d as before, want another", now)
			}
			time.Sleep(100 * time.Millisecond)
			if engines[0].dials.Load()+engines[1].dials.Load() == before && ctx.Err() == nil {
				t.Error("got no dial after SetServer, want those of before to end")
			}
		}
		wg.Wait()
		st := p.Stat("main")
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if n := engines[0].open.Load() + engines[1].open.Load(); n != 0 || served.Load() == 0 || st.Switches == 0 {
			t.Errorf("got %d connections left, %d requests served, %+v, want none left, and switches", n, served.Load(), st)
		}
	})
}

// eraOf returns that of a tenant's connections.
func (p *Pool) eraOf(id tenancy.ID) int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if h := p.handles[id]; h != nil {
		return h.connector.lane.Load().era
	}
	return -1
}

// cleaningServer is a switchServer that cleans sessions.
type cleaningServer struct{ *switchServer }

func (s *cleaningServer) Clean(context.Context, sqldriver.Conn) error { return nil }

// A connection whose session was cleaned serves its tenant on, and no other.
func TestSwitchAfterCleaning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &cleaningServer{&switchServer{fakeServer: &fakeServer{t: t, budget: 1}}}
		p, err := New(map[string]driver.Engine{"main": s}, &Options{Budget: 1})
		if err != nil {
			t.Fatal(err)
		}
		use := func(name string, fn func(any) any) {
			t.Helper()
			db, err := p.For(t.Context(), &tenancy.Tenant{ID: tenancy.ID(name), Placement: tenancy.Placement{Server: "main", Database: name}})
			if err != nil {
				t.Fatal(err)
			}
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Raw(func(raw any) error { fn(raw); return nil })
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
		for step, want := range []struct {
			tenant          string
			fn              func(any) any
			dials, switches int64
		}{
			{"a", func(any) any { return nil }, 1, 0},
			{"b", Unwrap, 1, 1}, // may leave anything
			{"b", Unwrap, 1, 1},
			{"a", func(any) any { return nil }, 2, 1},
			{"b", func(any) any { return nil }, 2, 2},
		} {
			use(want.tenant, want.fn)
			synctest.Wait()
			if st := p.Stat("main"); st.Dials != want.dials || st.Switches != want.switches {
				t.Errorf("step %d: got %d dials, %d switches, want %d and %d", step, st.Dials, st.Switches, want.dials, want.switches)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
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
				h, s := newSwitching(t, 2+random(20), testLimits(budget))
				h.server.delay = func() time.Duration { return time.Duration(random(20)) * time.Millisecond }
				s.fate = func() error {
					time.Sleep(time.Duration(random(5)) * time.Millisecond)
					switch random(50) {
					case 0:
						return errors.New("odd")
					case 1:
						return sqldriver.ErrSkip
					case 2:
						panic("odd")
					}
					return nil
				}
				s.leads = func() string {
					if random(20) == 0 {
						return fmt.Sprintf("t%d", random(len(h.lanes)))
					}
					return ""
				}
				var wg sync.WaitGroup
				for range 40 {
					wg.Go(func() {
						for range 50 {
							ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+random(2000))*time.Millisecond)
							i := random(len(h.lanes))
							err := h.useAs(ctx, i, time.Duration(random(5))*time.Millisecond, random(20) > 0, random(20) == 0)
							cancel()
							if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, tenancy.ErrUnavailable) {
								t.Errorf("got %v, want an error that is documented", err)
							}
							if random(100) == 0 {
								h.lanes[random(len(h.lanes))].renew()
							}
						}
					})
				}
				wg.Wait()
				h.settled(t)
				if h.snapshot().Switches == 0 && len(h.lanes) > budget {
					t.Errorf("got %+v, want switches", h.snapshot())
				}
				h.close()
				if n := h.server.open.Load(); n != 0 {
					t.Errorf("after close: got %d connections, want none", n)
				}
			})
		})
	}
}
