package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/wire"
)

// switchServer is a fakeServer that can switch. It fails the test when it is
// asked for what it must not be asked for.
type switchServer struct {
	*fakeServer
	takes time.Duration
}

func (s *switchServer) Switch(_ context.Context, conn sqldriver.Conn, to sqldriver.Connector) error {
	c := conn.(*fakeConn)
	if c.server != s.fakeServer || to.(fakeConnector).fakeServer != s.fakeServer {
		s.t.Error("asked to switch a connection of another server, or to one")
	}
	if !c.used.CompareAndSwap(false, true) || c.closed.Load() {
		s.t.Error("asked to switch a connection that somebody has, or that is closed")
	}
	defer c.used.Store(false)
	time.Sleep(s.takes)
	c.tenant = to.(fakeConnector).database
	return nil
}

// A new engine gets no connection of the one before, not even one of the same
// value, and not while handles are led there one by one.
func TestSwitchAndSetServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		newEngine := func() *switchServer {
			return &switchServer{fakeServer: &fakeServer{t: t, budget: 3, delay: func() time.Duration { return time.Millisecond }}, takes: time.Millisecond}
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
						if c := raw.(*wire.Conn).Unwrap().(*fakeConn); c.tenant != name {
							t.Errorf("got a connection of %s, want one of %s", c.tenant, name)
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
			before, engine := engines[0].dials.Load()+engines[1].dials.Load(), p.engineOf("t0")
			if err := p.SetServer("main", engines[i/2%2]); err != nil { // each twice
				t.Error(err)
			}
			if now := p.engineOf("t0"); now == engine {
				t.Error("got the engine of before, want another")
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

// engineOf returns the engine of a tenant's connections.
func (p *Pool) engineOf(id tenancy.ID) *wire.Engine {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if h := p.handles[id]; h != nil {
		return h.connector.to.Load().Engine
	}
	return nil
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
