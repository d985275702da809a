package sched

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

var (
	errDatabase = errors.New("this database takes no connections")
	errServer   = errors.New("the server refuses everybody")
	errEither   = errors.New("too many clients, of the server or of the database")
)

// faults classifies the errors above.
type faults struct {
	down atomic.Bool // the server refuses everybody
	asks atomic.Int64
}

func (f *faults) of(err error, ask bool) Fault {
	switch {
	case errors.Is(err, errDatabase):
		return FaultDatabase
	case errors.Is(err, errServer):
		return FaultServer
	case !ask:
		return FaultUnclear
	}
	f.asks.Add(1)
	if f.down.Load() {
		return FaultServer
	}
	return FaultDatabase
}

// newCrowd is a harness in which the first tenants are broken, each with an error of
// its own dials.
func newCrowd(t *testing.T, broken, healthy int, err error) (*harness, *faults) {
	h := newHarness(t, broken+healthy, testOptions(broken+healthy))
	f := &faults{}
	for i, db := range h.dbs {
		db.faults = f
		if i < broken {
			db.refuses, db.after = err, time.Millisecond
		}
	}
	return h, f
}

// bother asks for connections of the broken tenants until the context ends.
func (h *harness) bother(ctx context.Context, broken int, every time.Duration) (wait func()) {
	var wg sync.WaitGroup
	for i := range broken {
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = h.use(ctx, i, 0, true)
				time.Sleep(every)
			}
		})
	}
	return wg.Wait
}

// A tenant whose only connection is being closed, which takes minutes when a session must be killed, has
// none: it hears of a dial that fails, and is refused while nothing is tried.
func TestClosingConnectionIsNone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		most int
		fail func(*testing.T, *harness) // makes dials of the tenant fail
		want error
	}{
		"its database fails": {2, func(_ *testing.T, h *harness) { h.dbs[0].refuses = errDatabase }, errDatabase},
		"the server fails, and the tenant may have no more": {1, func(t *testing.T, h *harness) {
			for i := 1; i <= serverTrip; i++ {
				go func() {
					time.Sleep(time.Duration(i) * 10 * time.Millisecond)
					if err := h.use(t.Context(), i, 0, true); !errors.Is(err, errServer) {
						t.Errorf("tenant %d: got %v, want the server's error", i, err)
					}
				}()
			}
		}, tenancy.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarnessWith(t, 1+serverTrip, testOptions(10), Conns{Most: tt.most})
				f := &faults{}
				for i, db := range h.dbs {
					db.faults = f
					if i > 0 {
						db.refuses, db.after = errServer, time.Millisecond
					}
				}
				h.server.stays = 5 * time.Minute
				if err := h.use(t.Context(), 0, 0, false); err != nil {
					t.Fatal(err)
				}
				tt.fail(t, h)
				began := time.Now()
				if err := h.use(t.Context(), 0, 0, true); !errors.Is(err, tt.want) || time.Since(began) > time.Second {
					t.Errorf("got %v after %v, want %v when the dial failed", err, time.Since(began), tt.want)
				}
				began = time.Now()
				var down *downError
				if err := h.use(t.Context(), 0, 0, true); !errors.As(err, &down) || time.Since(began) != 0 {
					t.Errorf("got %v after %v, want to be refused at once", err, time.Since(began))
				}
				if got := h.lanes[0].Stat(time.Now()); got.Conns != 1 || h.lanes[0].InUse() != 0 {
					t.Errorf("got %+v, want the one that is being closed, not in use", got)
				}
				time.Sleep(h.server.stays)
				h.settled(t)
				h.Close()
			})
		})
	}
}

// A dial in flight is in use by nobody.
func TestDialIsNotInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testOptions(1))
		h.server.delay = func() time.Duration { return time.Second }
		done := make(chan error)
		go func() { done <- h.use(t.Context(), 0, time.Second, true) }()
		for _, want := range []int{0, 1, 0} {
			time.Sleep(900 * time.Millisecond)
			synctest.Wait()
			if got := h.lanes[0].InUse(); got != want {
				t.Errorf("got %d in use, want %d", got, want)
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		h.settled(t)
		h.Close()
	})
}

// A few broken databases, asked for all the time, keep nobody else from the server.
func TestFewBrokenDatabases(t *testing.T) {
	t.Parallel()
	// Eight first failures make the server pause from 0.1 to 3.2 s, once each, in which
	// 1, 1, 1, 2, 4 and 8 others ask at the most; and each may take one along that waits.
	const once = 17 + 8
	for name, tt := range map[string]struct {
		err   error
		plain bool // the engine cannot classify
		most  int  // of the others' first requests that may fail
	}{
		"of the database":            {err: errDatabase},
		"unclear, the server works":  {err: errEither},
		"no such database":           {err: fmt.Errorf("%w: no database", tenancy.ErrNotFound)},
		"an engine without classes":  {err: errEither, plain: true, most: once},
		"of the server, in one code": {err: errServer, most: once},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const broken, healthy = 8, 100
				h, _ := newCrowd(t, broken, healthy, tt.err)
				if tt.plain {
					for _, db := range h.dbs {
						db.faults = nil
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				wait := h.bother(ctx, broken, 50*time.Millisecond)
				failed := 0
				for i := range healthy {
					time.Sleep(400 * time.Millisecond)
					if err := h.use(t.Context(), broken+i, 0, true); err != nil {
						failed++
					}
				}
				if failed > tt.most {
					t.Errorf("got %d of %d first requests of healthy tenants refused, want %d at most", failed, healthy, tt.most)
				}
				cancel()
				wait()
				h.settled(t)
				h.Close()
			})
		})
	}
}

// A server that refuses everybody is found out by asking it, and left alone.
func TestUnclearErrorsOfTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, e := newCrowd(t, 20, 0, errEither)
		e.down.Store(true)
		for i := range h.lanes {
			_ = h.use(t.Context(), i, 0, true)
		}
		if n := e.asks.Load(); !h.host.breaker.tripped() || n != serverTrip {
			t.Errorf("got the breaker tripped %v after %d asks, want it after %d", h.host.breaker.tripped(), n, serverTrip)
		}
		h.settled(t)
		h.Close()
	})
}

// An answer about one database shows that the server works: the breaker closes.
func TestAnAnswerClosesTheBreaker(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"of the database": errDatabase, "unclear": errEither} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, _ := newCrowd(t, 4, 1, errServer)
				for i := range 3 {
					_ = h.use(t.Context(), i, 0, true)
				}
				if !h.host.breaker.tripped() {
					t.Fatal("three tenants failed: got the breaker closed")
				}
				h.dbs[3].refuses = err
				time.Sleep(longestPause)
				if got := h.use(t.Context(), 3, 0, true); !errors.Is(got, err) {
					t.Errorf("the probe: got %v, want %v", got, err)
				}
				if h.host.breaker.tripped() {
					t.Error("after an answer: got the breaker open")
				}
				h.settled(t)
				h.Close()
			})
		})
	}
}

// Tenants that failed before do not lengthen the pause of a server that is down,
// and do not take the probe from one that did not fail.
func TestFailingTenantsAreNoEvidence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const broken = 4
		h, _ := newCrowd(t, broken, 1, errServer)
		ctx, cancel := context.WithCancel(t.Context())
		wait := h.bother(ctx, broken, time.Millisecond)
		time.Sleep(50 * time.Second)
		h.mu.Lock()
		failures, now := h.host.breaker.failures, time.Now()
		probe, again := h.host.breaker.probeAt(false), h.host.breaker.probeAt(true)
		h.mu.Unlock()
		if failures != broken {
			t.Errorf("got %d failures counted, want one of each of the %d tenants", failures, broken)
		}
		if probe.After(now) || again.Before(probe) {
			t.Errorf("got the next probe of a tenant that has not failed in %v, of others in %v, want it at once and first", probe.Sub(now), again.Sub(now))
		}
		if err := h.use(t.Context(), broken, 0, true); err != nil {
			t.Errorf("a healthy tenant: got %v, want a connection", err)
		}
		cancel()
		wait()
		h.settled(t)
		h.Close()
	})
}

// When all tenants have failed, one of them finds that the server is up again.
func TestTenantsThatFailedProbeToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, _ := newCrowd(t, 3, 0, errServer)
		for i := range h.lanes {
			_ = h.use(t.Context(), i, 0, true)
		}
		for _, db := range h.dbs {
			db.refuses = nil
		}
		time.Sleep(longestPause)
		for i := range h.lanes {
			if err := h.use(t.Context(), i, 0, true); err != nil {
				t.Errorf("tenant %d: got %v, want a connection", i, err)
			}
		}
		h.settled(t)
		h.Close()
	})
}
