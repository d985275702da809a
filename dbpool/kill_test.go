package dbpool

import (
	"bytes"
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// busyServer is an engine whose sessions run on when their connections are closed.
type busyServer struct {
	t        testing.TB
	mu       sync.Mutex // guards what follows
	sessions int
	most     int
	dials    int // beside those of tenants
	asked    int
	down     bool          // it refuses connections
	refuses  error         // what it says when it is to end a session
	slow     time.Duration // how long it takes for that
}

type busyConnector struct {
	*busyServer
	database string
}

// busyConn is one of its connections.
type busyConn struct {
	sqldriver.Conn
	server *busyServer
	tenant string
	over   chan struct{} // closed when the session is
	ending sync.Once
	mu     sync.Mutex // guards works
	works  bool
}

func (s *busyServer) DriverName() string { return "sqlite" }
func (s *busyServer) Connector(database string) (sqldriver.Connector, error) {
	return busyConnector{s, database}, nil
}
func (s *busyServer) Server() (sqldriver.Connector, error) { return s.Connector("") }
func (s *busyServer) Identify(_ context.Context, c sqldriver.Conn) (driver.Identity, error) {
	name := c.(*busyConn).tenant
	return driver.Identity{Database: name, Tenant: tenancy.ID(name)}, nil
}

func (s *busyServer) Closed(conn sqldriver.Conn) <-chan struct{} {
	c := conn.(*busyConn)
	select {
	case <-c.over:
		return nil
	default:
		return c.over
	}
}

func (s *busyServer) Kill(_ context.Context, over, closed sqldriver.Conn) (bool, error) {
	c := closed.(*busyConn)
	if over.(*busyConn).server != s || c.server != s {
		s.t.Error("a session was to be ended over a connection to another server")
	}
	time.Sleep(100 * time.Microsecond)
	s.mu.Lock()
	s.asked++
	refuses := s.refuses
	s.mu.Unlock()
	if refuses != nil {
		return false, refuses
	}
	if s.Closed(c) == nil {
		return true, nil
	}
	time.AfterFunc(s.slow, c.end)
	return false, nil
}

func (c busyConnector) Driver() sqldriver.Driver { return nil }

func (c busyConnector) Connect(context.Context) (sqldriver.Conn, error) {
	s := c.busyServer
	s.mu.Lock()
	down := s.down
	if c.database == "" {
		s.dials++
	}
	if !down {
		s.sessions++
		s.most = max(s.most, s.sessions)
	}
	s.mu.Unlock()
	time.Sleep(time.Millisecond)
	if down {
		return nil, errors.New("down")
	}
	return &busyConn{server: s, tenant: c.database, over: make(chan struct{})}, nil
}

// work begins something that takes a time, whether or not anybody waits for it.
func (c *busyConn) work(d time.Duration) {
	c.mu.Lock()
	c.works = true
	c.mu.Unlock()
	time.AfterFunc(d, c.end)
}

// end ends the session.
func (c *busyConn) end() {
	c.ending.Do(func() {
		c.server.mu.Lock()
		c.server.sessions--
		c.server.mu.Unlock()
		close(c.over)
	})
}

func (c *busyConn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.works
}

func (c *busyConn) IsValid() bool { return !c.busy() }

func (c *busyConn) Close() error {
	if !c.busy() {
		c.end()
	}
	return nil
}

// crowded is a budget with tenants on a busy server.
type crowded struct {
	*budget
	server *busyServer
	lanes  []*lane
	log    bytes.Buffer
}

func newCrowded(t testing.TB, tenants int, l limits, c conns) *crowded {
	s := &busyServer{t: t, slow: time.Millisecond}
	h := &crowded{budget: newBudget("main", l), server: s}
	host := newServer("main", s, h.budget, conns{})
	log := slog.New(slog.NewTextHandler(&h.log, nil))
	for i := range tenants {
		name := fmt.Sprintf("t%d", i)
		h.lanes = append(h.lanes, newTestLane(host, busyConnector{s, name}, tenancy.ID(name), c, log))
	}
	return h
}

// use works for a tenant on a connection; gives it up after a time, or back.
func (h *crowded) use(tenant int, work, hold time.Duration) error {
	c, err := h.acquire(context.Background(), h.lanes[tenant])
	if err != nil {
		return err
	}
	if work > 0 {
		c.inner.(*busyConn).work(work)
	}
	time.Sleep(hold)
	return c.Close()
}

// dialled returns how many connections were dialled to end sessions.
func (h *crowded) dialled() int {
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	return h.server.dials
}

// counts returns how many sessions there are, and how many there were at most.
func (h *crowded) counts() (now, most int) {
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	return h.server.sessions, h.server.most
}

// ends closes the group and checks that it counts right.
func (h *crowded) ends(t *testing.T) {
	t.Helper()
	h.close()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	live := 0
	for _, q := range h.lanes {
		live += q.live
	}
	if o := &h.orphans; h.live != 0 || live != 0 || h.tasks != 0 || o.wait.len() != 0 || o.helping != 0 || o.own || h.stat.InUse != 0 {
		t.Errorf("after close: got %d connections, %d of tenants, %d tasks, %d orphans wait, %d and %v lent, %d in use, want none",
			h.live, live, h.tasks, o.wait.len(), o.helping, o.own, h.stat.InUse)
	}
}

func orphanTest(t *testing.T, fn func(t *testing.T)) {
	t.Parallel()
	synctest.Test(t, fn)
}

// A session that works on keeps its slot, and is ended over a connection that is
// idle or comes back: there are never more than the budget.
func TestOrphansAreEnded(t *testing.T) {
	orphanTest(t, func(t *testing.T) {
		h := newCrowded(t, 3, testLimits(3), conns{most: 2})
		_ = h.use(2, 0, 0)
		var all sync.WaitGroup
		for i := range 2 {
			all.Go(func() { _ = h.use(i, time.Hour, time.Millisecond) })
		}
		all.Wait()
		if now, _ := h.counts(); now != 3 {
			t.Errorf("got %d sessions, want those of two orphans, and one that is idle", now)
		}
		if st := h.snapshot(); st.Conns != 3 {
			t.Errorf("got %d connections counted, want 3", st.Conns)
		}
		time.Sleep(20 * time.Millisecond)
		if now, most := h.counts(); now != 1 || most != 3 || h.dialled() != 0 {
			t.Errorf("got %d sessions, %d at most, %d dials to end them, want 1, 3, none", now, most, h.dialled())
		}
		if n := h.server.asked; n > 4 {
			t.Errorf("got %d round trips, want 4: to end each, and to see that it has", n)
		}
		h.ends(t)
	})
}

// The session of a short statement ends by itself before anybody asks for it, and
// one round trip shows that the server has unlisted it.
func TestOrphansOfShortStatements(t *testing.T) {
	orphanTest(t, func(t *testing.T) {
		h := newCrowded(t, 2, testLimits(2), conns{most: 1})
		_ = h.use(1, 0, 0)
		_ = h.use(0, 2*time.Millisecond, time.Millisecond)
		time.Sleep(orphanGrace)
		if st := h.snapshot(); st.Conns != 1 || h.server.asked != 1 {
			t.Errorf("got %d connections and %d round trips, want 1 and 1", st.Conns, h.server.asked)
		}
		h.ends(t)
	})
}

// When the budget is all orphans, they are ended over one connection more, one
// after the other, and whoever waits is served soon.
func TestOrphansOnly(t *testing.T) {
	orphanTest(t, func(t *testing.T) {
		const budget = 50
		h := newCrowded(t, budget+1, testLimits(budget), conns{most: 1})
		var all sync.WaitGroup
		for i := range budget {
			all.Go(func() { _ = h.use(i, time.Hour, time.Second) })
		}
		all.Wait()
		began := time.Now()
		if err := h.use(budget, 0, 0); err != nil || time.Since(began) > 20*time.Millisecond {
			t.Errorf("got %v after %v, want a connection within 20 ms", err, time.Since(began))
		}
		time.Sleep(time.Second - time.Since(began))
		now, most := h.counts()
		if now > 1 || most > budget+1 || h.dialled() > budget/2 {
			t.Errorf("got %d sessions a second later, %d at most, %d dials, want 1 and %d at most, and few", now, most, h.dialled(), budget+1)
		}
		h.ends(t)
	})
}

// As long as connections come back, none is dialled beyond the budget.
func TestOrphansWaitForConnections(t *testing.T) {
	orphanTest(t, func(t *testing.T) {
		h := newCrowded(t, 2, testLimits(2), conns{most: 1})
		var busy sync.WaitGroup
		busy.Go(func() { _ = h.use(1, 0, 100*time.Millisecond) })
		synctest.Wait()
		_ = h.use(0, time.Hour, time.Millisecond)
		busy.Wait()
		time.Sleep(10 * time.Millisecond)
		if now, most := h.counts(); now != 1 || most != 2 || h.dialled() != 0 {
			t.Errorf("got %d sessions, %d at most, %d dials to end them, want 1, 2, none", now, most, h.dialled())
		}
		h.ends(t)
	})
}

// Where sessions cannot be ended they keep their slots until they end by
// themselves, or for ten minutes, and that is logged. Nobody asks all the time.
func TestOrphansThatStay(t *testing.T) {
	orphanTest(t, func(t *testing.T) {
		h := newCrowded(t, 2, testLimits(2), conns{most: 2})
		h.server.refuses = errors.New("no")
		_ = h.use(0, time.Minute, time.Millisecond)
		_ = h.use(0, time.Hour, time.Millisecond)
		time.Sleep(30 * time.Second)
		if st := h.snapshot(); st.Conns < 2 {
			t.Errorf("got %d connections counted, want 2", st.Conns)
		}
		time.Sleep(5 * time.Minute)
		if st := h.snapshot(); st.Conns != 1 || h.log.Len() != 0 {
			t.Errorf("got %d connections counted, and log %q, want 1 and none", st.Conns, &h.log)
		}
		if h.dialled() > 80 {
			t.Errorf("got %d dials in five minutes, want few", h.dialled())
		}
		time.Sleep(6 * time.Minute)
		if st := h.snapshot(); st.Conns != 0 || !strings.Contains(h.log.String(), "tenant=t0") {
			t.Errorf("got %d connections counted, and log %q, want 0 and the tenant", st.Conns, &h.log)
		}
		h.ends(t)
	})
}

// A server that takes no connections is not dialled all the time, and when it is
// gone its sessions are, too.
func TestOrphansOfServerThatIsDown(t *testing.T) {
	orphanTest(t, func(t *testing.T) {
		h := newCrowded(t, 20, testLimits(20), conns{most: 1})
		for i := range 20 {
			_ = h.use(i, time.Minute, time.Microsecond)
			if i == 0 {
				synctest.Wait()
			}
		}
		h.server.mu.Lock()
		h.server.down = true
		before := h.server.dials
		h.server.mu.Unlock()
		time.Sleep(30 * time.Second)
		if n := h.dialled() - before; n > 12 {
			t.Errorf("got %d dials in 30 seconds, want few", n)
		}
		time.Sleep(31 * time.Second)
		if st := h.snapshot(); st.Conns != 0 {
			t.Errorf("got %d connections counted, want none", st.Conns)
		}
		h.ends(t)
	})
}

// Close ends what can be ended at once, and waits five seconds for the rest.
func TestOrphansWhenClosed(t *testing.T) {
	for _, stays := range []bool{false, true} {
		t.Run(fmt.Sprint(stays), func(t *testing.T) {
			orphanTest(t, func(t *testing.T) {
				h := newCrowded(t, 3, testLimits(3), conns{most: 1})
				if stays {
					h.server.refuses = errors.New("no")
				}
				_ = h.use(2, 0, 0)
				_ = h.use(0, time.Hour, time.Millisecond)
				_ = h.use(1, time.Hour, time.Millisecond)
				time.Sleep(time.Millisecond)
				began := time.Now()
				h.ends(t)
				now, _ := h.counts()
				took := time.Since(began)
				if !stays && (now != 0 || took > 100*time.Millisecond) || stays && (now != 2 || took > orphanClosing+time.Second) {
					t.Errorf("got %d sessions after %v", now, took)
				}
			})
		})
	}
}

// Whatever happens, there are no more sessions than the budget and one, and all
// is counted right at the end.
func TestOrphansUnderRandomWork(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			orphanTest(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 2))
				budget := 1 + rnd.IntN(6)
				tenants := 1 + rnd.IntN(8)
				h := newCrowded(t, tenants, testLimits(budget), conns{most: 1 + rnd.IntN(budget)})
				var mu sync.Mutex
				random := func(n int) int { mu.Lock(); defer mu.Unlock(); return rnd.IntN(n) }
				var all sync.WaitGroup
				for range 20 {
					all.Go(func() {
						for range 40 {
							work := time.Duration(0)
							if random(3) == 0 {
								work = time.Duration(1+random(2000)) * time.Millisecond
							}
							_ = h.use(random(tenants), work, time.Duration(random(30))*time.Millisecond)
							if random(100) == 0 {
								h.lanes[random(tenants)].renew()
							}
							if random(50) == 0 {
								h.server.mu.Lock()
								h.server.refuses = []error{nil, errors.New("no")}[random(2)]
								h.server.mu.Unlock()
							}
						}
					})
				}
				all.Wait()
				time.Sleep(10 * time.Second)
				now, most := h.counts()
				if st := h.snapshot(); most > budget+1 || st.Conns != now || st.Conns != st.Idle {
					t.Errorf("got %d sessions, %d at most, %+v, want %d at most", now, most, st, budget+1)
				}
				h.ends(t)
				if now, _ := h.counts(); now != 0 {
					t.Errorf("after close: got %d sessions, want none", now)
				}
			})
		})
	}
}

// An orphan of a server's old engine is ended over that one's address.
func TestOrphansOfOldEngine(t *testing.T) {
	orphanTest(t, func(t *testing.T) {
		before, after := &busyServer{t: t}, &busyServer{t: t}
		p, err := New(map[string]driver.Engine{"main": before}, &Options{Budget: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.Close() }()
		tenant := &tenancy.Tenant{ID: "t0", Version: 1, Placement: tenancy.Placement{Server: "main", Database: "t0"}}
		db, err := p.For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		held, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = held.Raw(func(c any) error { c.(*conn).inner.(*busyConn).work(time.Hour); return nil })
		if err := p.SetServer("main", after); err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(); err != nil {
			t.Fatal(err)
		}
		_ = held.Close()
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		before.mu.Lock()
		after.mu.Lock()
		defer before.mu.Unlock()
		defer after.mu.Unlock()
		if before.sessions != 0 || after.sessions != 1 || before.dials != 1 || after.dials != 0 {
			t.Errorf("got %d sessions on the old server and %d on the new one, want 0 and 1", before.sessions, after.sessions)
		}
	})
}
