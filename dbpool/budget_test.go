package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
)

// fakeServer is an engine whose connections only count. It fails the test when
// more are open than the budget allows, or one serves two at a time.
type fakeServer struct {
	t      testing.TB
	budget int64
	delay  func() time.Duration // of a dial
	fail   func() error         // of a dial
	open   atomic.Int64
	most   atomic.Int64
	dials  atomic.Int64
	host   driver.Engine // of which it is a part
}

type fakeConnector struct {
	*fakeServer
	database string
}

type fakeConn struct {
	sqldriver.Conn
	server *fakeServer
	tenant string
	used   atomic.Bool
	closed atomic.Bool
	dirty  bool // its session has had state
}

func (s *fakeServer) DriverName() string { return "sqlite" }
func (s *fakeServer) Connector(database string) (sqldriver.Connector, error) {
	return fakeConnector{s, database}, nil
}
func (s *fakeServer) Identify(_ context.Context, c sqldriver.Conn) (driver.Identity, error) {
	name := c.(*fakeConn).tenant
	return driver.Identity{Database: name, Tenant: tenancy.ID(name)}, nil
}

func (c fakeConnector) Driver() sqldriver.Driver { return nil }

func (c fakeConnector) Connect(context.Context) (sqldriver.Conn, error) {
	n := c.open.Add(1)
	c.dials.Add(1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	if n > c.budget {
		c.t.Errorf("got %d connections, want %d at most", n, c.budget)
	}
	if c.delay != nil {
		time.Sleep(c.delay())
	}
	if c.fail != nil {
		if err := c.fail(); err != nil {
			c.open.Add(-1)
			return nil, err
		}
	}
	return &fakeConn{server: c.fakeServer, tenant: c.database}, nil
}

func (c *fakeConn) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		c.server.t.Error("a connection was closed twice")
	}
	time.Sleep(time.Millisecond)
	c.server.open.Add(-1)
	return nil
}

// harness is a budget with tenants on a fake server.
type harness struct {
	*budget
	server *fakeServer
	host   *server
	lanes  []*lane
}

func newHarness(t testing.TB, tenants int, l limits) *harness {
	return newHarnessWith(t, tenants, l, conns{most: l.budget})
}

func newHarnessWith(t testing.TB, tenants int, l limits, c conns) *harness {
	s := &fakeServer{t: t, budget: int64(l.budget)}
	h := &harness{budget: newBudget("main", l), server: s}
	h.host = newServer("main", s, h.budget, conns{})
	for i := range tenants {
		name := fmt.Sprintf("t%d", i)
		h.lanes = append(h.lanes, newTestLane(h.host, fakeConnector{s, name}, tenancy.ID(name), c, slog.Default()))
	}
	return h
}

// newTestLane returns a lane without a pool, to the database that is called as the tenant.
func newTestLane(s *server, c sqldriver.Connector, tenant tenancy.ID, most conns, log *slog.Logger) *lane {
	p := &Pool{statements: map[string]*sqltext.Scanner{}, opts: Options{Logger: log}}
	return p.newLane(s, c, tenant, string(tenant), false, most)
}

// use acquires a connection of a tenant, holds it, and gives it back.
func (h *harness) use(ctx context.Context, tenant int, hold time.Duration, reusable bool) error {
	return h.useAs(ctx, tenant, hold, reusable, false)
}

// useAs may leave state in the session, which is cleaned.
func (h *harness) useAs(ctx context.Context, tenant int, hold time.Duration, reusable, state bool) error {
	q := h.lanes[tenant]
	c, err := h.acquire(ctx, q)
	if err != nil {
		return err
	}
	f := c.inner.(*fakeConn)
	if f.tenant != string(q.tenant) || c.lane != q {
		h.server.t.Errorf("got a connection of %s, want one of %s", f.tenant, q.tenant)
	}
	if !f.used.CompareAndSwap(false, true) || f.closed.Load() {
		h.server.t.Error("got a connection that somebody else has, or that is closed")
	}
	time.Sleep(hold)
	f.used.Store(false)
	if state {
		f.dirty, c.cleaned = true, true
	}
	h.release(c, reusable)
	return nil
}

// settled checks the accounting when nothing runs any more.
func (h *harness) settled(t *testing.T) {
	t.Helper()
	synctest.Wait()
	time.Sleep(time.Minute)
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	perQueue := 0
	for _, q := range h.lanes {
		perQueue += q.live
		if q.next() != nil || q.dialing || q.wants != nil || q.waits != nil || q.live != len(q.idle) {
			t.Errorf("tenant %s: got live %d, idle %d, dialing %v, in ring %v, want it at rest", q.tenant, q.live, len(q.idle), q.dialing, q.wants != nil)
		}
	}
	if open := int(h.server.open.Load()); h.live != open || perQueue != open || len(h.idle) != open {
		t.Errorf("got %d counted, %d by tenant, %d idle, want the %d that are open", h.live, perQueue, len(h.idle), open)
	}
	if h.dialing != 0 || h.ring[0].len()+h.ring[1].len() != 0 || h.waiting.len() != 0 || h.stat.InUse != 0 || h.stat.Waiting != 0 {
		t.Errorf("got %d dialing, %d and %d in the ring, %d waiting, %+v, want none", h.dialing, h.ring[0].len(), h.ring[1].len(), h.waiting.len(), h.stat)
	}
	for i, c := range h.idle {
		if c.at != i || c.lane.idle[c.inQueue] != c {
			t.Errorf("connection %d of %s: a wrong place", i, c.lane.tenant)
		}
	}
}

func testLimits(budget int) limits {
	return limits{budget: budget, dials: 3, queue: 1000, wait: 10 * time.Second}
}

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
	l := testLimits(1 + rnd.IntN(8))
	c := conns{most: 1 + rnd.IntN(l.budget), reserve: rnd.IntN(2)}
	l.queue = 1 + rnd.IntN(20)
	tenants := 1 + rnd.IntN(20)
	if c.reserve*tenants >= l.budget {
		c.reserve = 0
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
					ctx = LowPriority(ctx)
				case 2:
					c, end := context.WithCancel(ctx)
					ctx, cancel = c, end
					time.AfterFunc(time.Duration(random(50))*time.Millisecond, end)
				}
				err := h.use(ctx, random(tenants)*random(tenants)/tenants, time.Duration(random(10))*time.Millisecond, random(10) > 0)
				cancel()
				var busy *BusyError
				if err != nil && !errors.Is(err, odd) && !errors.Is(err, tenancy.ErrUnavailable) && !errors.As(err, &busy) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want an error that is documented", err)
				}
				if random(100) == 0 {
					h.lanes[random(tenants)].renew()
				}
				time.Sleep(time.Duration(random(5)) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	h.settled(t)
	h.close()
	if n := h.server.open.Load(); n != 0 {
		t.Errorf("after close: got %d connections, want none", n)
	}
	if _, err := h.acquire(t.Context(), h.lanes[0]); !errors.Is(err, tenancy.ErrClosed) {
		t.Errorf("after close: got %v, want ErrClosed", err)
	}
}

// A tenant with a thousand waiters does not delay one with a single waiter by
// more than its turn.
func TestFairness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 2, testLimits(2))
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
		h.close()
	})
}

// Two hundred tenants at once, each with one request: no connection is dialled
// twice for one, and none is left unused.
func TestColdBurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 200, testLimits(50))
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
		h.close()
	})
}

// Background work waits behind requests.
func TestBackgroundWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 3, testLimits(1))
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
		ask("background, own", LowPriority(t.Context()), 0)
		ask("background, other", LowPriority(t.Context()), 1)
		ask("request, other", t.Context(), 2)
		ask("request, own", t.Context(), 0)
		h.release(hold, true)
		wg.Wait()
		if got := fmt.Sprint(order); got != "[request, own request, other background, own background, other]" &&
			got != "[request, own background, own request, other background, other]" {
			t.Errorf("got %s, want requests before background work of the same tenant, and before dials for it", got)
		}
		h.settled(t)
		h.close()
	})
}

// Waiting is bounded by the context, the maximum, the queue, and by what is
// known to be hopeless.
func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := testLimits(1)
		l.queue = 2
		h := newHarness(t, 2, l)
		hold, err := h.acquire(t.Context(), h.lanes[0])
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var busy *BusyError
		if _, err := h.acquire(t.Context(), h.lanes[0]); !errors.As(err, &busy) || time.Since(began) != l.wait {
			t.Errorf("got %v after %v, want a BusyError after %v", err, time.Since(began), l.wait)
		}
		if !errors.Is(busy, tenancy.ErrLimited) || !errors.Is(busy, tenancy.ErrUnavailable) || busy.RetryAfter() <= 0 {
			t.Errorf("got %v after %v, want both sentinels and a time", busy, busy.RetryAfter())
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
		h.close()
	})
}

// The idle connection of the tenant that uses its connections least goes, never
// one in use, and none for nobody.
func TestVictims(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 5, testLimits(3))
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
		h.close()
	})
}

// A dial that fails fails those who wait for it, at once.
func TestDialFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testLimits(2))
		odd := errors.New("odd")
		h.server.delay = func() time.Duration { return time.Second }
		h.server.fail = func() error { return odd }
		began := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := h.use(t.Context(), 0, 0, true); !errors.Is(err, odd) || !errors.Is(err, tenancy.ErrUnavailable) {
					t.Errorf("got %v, want the dial's error", err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(began); d > 2*time.Second || h.server.dials.Load() > 2 {
			t.Errorf("got %d dials in %v, want one for all", h.server.dials.Load(), d)
		}
		h.settled(t)
		h.close()
	})
}

// A server that is down is left alone: requests fail at once, one dial at a time
// is tried, and it is found again by itself.
func TestBreakerOfTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := testLimits(20)
		l.dials = 10
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
						if !errors.Is(err, tenancy.ErrUnavailable) {
							t.Errorf("got %v, want ErrUnavailable", err)
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
		h.close()
	})
}

// A tenant whose database is gone does not trouble the others.
func TestBreakerOfTheTenant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 2, testLimits(2))
		gone := h.lanes[0]
		gone.connector = refusing{fmt.Errorf("%w: no database", tenancy.ErrNotFound)}
		for range 100 {
			if err := h.use(t.Context(), 0, 0, true); !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("got %v, want ErrNotFound", err)
			}
			if err := h.use(t.Context(), 1, 0, true); err != nil {
				t.Errorf("the other: %v", err)
			}
		}
		var down *DownError
		if err := h.use(t.Context(), 0, 0, true); !errors.As(err, &down) || down.RetryAfter() <= 0 || h.stat.Failures > 2 {
			t.Errorf("got %v after %d dials, want a DownError", err, h.stat.Failures)
		}
		gone.connector = fakeConnector{h.server, string(gone.tenant)}
		time.Sleep(longestPause)
		if err := h.use(t.Context(), 0, 0, true); err != nil {
			t.Errorf("when it is back: %v", err)
		}
		h.settled(t)
		h.close()
	})
}

type refusing struct{ err error }

func (r refusing) Driver() sqldriver.Driver                        { return nil }
func (r refusing) Connect(context.Context) (sqldriver.Conn, error) { return nil, r.err }

// A connection that is handed to a waiter when its context has ended already is
// not lost.
func TestHandOverAfterTheEndOfAContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testLimits(1))
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
			h.handOver(q.next(), hold, time.Now())
			h.mu.Unlock()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
		}
		h.settled(t)
		h.close()
	})
}

// Connections of an older generation end: idle ones at once, those in use and
// those being dialled as soon as they come back.
func TestGenerations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testLimits(3))
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
		q.renew()
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
		q.renew()
		time.Sleep(time.Minute)
		if n := h.server.open.Load(); n != 0 {
			t.Errorf("got %d open, want the idle one ended", n)
		}
		h.settled(t)
		h.close()
	})
}

// A tenant that has a connection and wants another does not dial again and again
// while that fails.
func TestBreakerOfATenantWithConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testLimits(2))
		hold, err := h.acquire(t.Context(), h.lanes[0])
		if err != nil {
			t.Fatal(err)
		}
		h.server.delay = func() time.Duration { return time.Millisecond }
		h.server.fail = func() error { return errors.New("odd") }
		var busy *BusyError
		if _, err := h.acquire(t.Context(), h.lanes[0]); !errors.As(err, &busy) {
			t.Errorf("got %v, want a BusyError", err)
		}
		if n := h.server.dials.Load() - 1; n == 0 || n > 20 {
			t.Errorf("got %d dials that failed within %v, want a few", n, h.limits.wait)
		}
		h.release(hold, true)
		h.settled(t)
		h.close()
	})
}

// The lock is not held while an engine looks at a database's file.
func TestFilesAreLookedAtWithoutTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testLimits(1))
		looked := false
		h.lanes[0].files = files(func() {
			looked = true
			if !h.mu.TryLock() {
				t.Error("got the lock held")
				return
			}
			h.mu.Unlock()
		})
		if err := h.use(t.Context(), 0, 0, true); err != nil || !looked {
			t.Errorf("got %v, looked %v, want the file looked at", err, looked)
		}
		h.settled(t)
		h.close()
	})
}

type files func()

func (f files) File(string) (os.FileInfo, error) {
	f()
	return nil, os.ErrNotExist
}

// A server that was slow is found to be fast again, even when no request has the
// time that a dial took.
func TestEstimatesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 30, testLimits(30))
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
		h.close()
	})
}

// How long requests wait does not bound dialling: what takes longer serves later
// ones.
func TestDialsLastLongerThanRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := testLimits(1)
		l.wait = 100 * time.Millisecond
		h := newHarness(t, 1, l)
		h.lanes[0].connector = slow{h.lanes[0].connector, 300 * time.Millisecond}
		var busy *BusyError
		if err := h.use(t.Context(), 0, 0, true); !errors.As(err, &busy) {
			t.Errorf("at first: got %v, want a BusyError", err)
		}
		time.Sleep(time.Second)
		if err := h.use(t.Context(), 0, 0, true); err != nil {
			t.Errorf("later: got %v, want a connection", err)
		}
		h.settled(t)
		h.close()
	})
}

// slow takes its time, and heeds the context.
type slow struct {
	sqldriver.Connector
	delay time.Duration
}

func (s slow) Connect(ctx context.Context) (sqldriver.Conn, error) {
	select {
	case <-time.After(s.delay):
		return s.Connector.Connect(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A connection whose session cannot be cleaned because the engine panics is
// closed, and not lost.
func TestCleaningPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testLimits(1))
		h.lanes[0].cleaner = panicking{}
		c, err := h.acquire(t.Context(), h.lanes[0])
		if err != nil {
			t.Fatal(err)
		}
		c.state = true
		func() {
			defer func() { _ = recover() }()
			_ = c.Close()
		}()
		if err := h.use(t.Context(), 0, 0, true); err != nil {
			t.Errorf("got %v, want another connection", err)
		}
		h.settled(t)
		h.close()
	})
}

type panicking struct{}

func (panicking) Clean(context.Context, sqldriver.Conn) error { panic("on purpose") }

// A connection that was dialled and not used is looked at before its first use,
// too, when it was idle for a while.
func TestFirstUseAfterIdling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1, testLimits(1))
		path := filepath.Join(t.TempDir(), "file")
		h.lanes[0].files = fileAt(path)
		h.server.delay = func() time.Duration { return 5 * time.Millisecond }
		replace := func() {
			t.Helper()
			if err := os.WriteFile(path+".new", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}
		replace()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		defer cancel()
		if err := h.use(ctx, 0, 0, true); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want the deadline", err)
		}
		time.Sleep(time.Hour)
		replace()
		var s connector
		s.point(h.lanes[0])
		c, err := s.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := h.server.dials.Load(); n != 2 {
			t.Errorf("got %d dials, want another after the file was replaced", n)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		h.settled(t)
		h.close()
	})
}

type fileAt string

func (f fileAt) File(string) (os.FileInfo, error) { return os.Stat(string(f)) }

// The time that requests waited counts for those that waited in vain, too.
func TestWaitTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 2, testLimits(1))
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
			if err := h.use(t.Context(), 0, 0, true); !errors.Is(err, errMoved) {
				t.Errorf("got %v, want that the tenant has moved", err)
			}
		})
		time.Sleep(time.Second)
		h.lanes[0].leave()
		wg.Wait()
		h.release(hold, true)
		if n, d := h.stat.Waits-waits, h.stat.WaitTime-waited; n != 2 || d != 11*time.Second {
			t.Errorf("got %d waits of %v in all, want 2 of 11 s", n, d)
		}
		h.settled(t)
		h.close()
	})
}

// A connection that is lent is as near as one of the budget.
func TestEstimateOfALentConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 2, testLimits(1))
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
		h.close()
	})
}
