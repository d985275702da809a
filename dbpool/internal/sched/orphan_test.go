package sched

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// busyServer has sessions that run on when their connections are closed.
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

// busyDatabase is one of its databases, or the server itself.
type busyDatabase struct {
	*busyServer
	lane *crowded // of the tenants
	own  bool
}

// busyWire is one of its connections.
type busyWire struct {
	server *busyServer
	at     *Conn         // nil: one over which sessions are killed
	stays  func()        // called if its session stays on the server
	over   chan struct{} // closed when the session is
	ending sync.Once
	mu     sync.Mutex // guards works
	works  bool
}

func (d busyDatabase) MaySwitch(Wire) bool              { return false }
func (d busyDatabase) Switch(*Conn, Wire) (Wire, error) { return nil, ErrNotSwitchable }
func (d busyDatabase) Fault(error, bool) Fault          { return FaultServer }

func (d busyDatabase) Dial(at *Conn, _ time.Duration) (Wire, error) {
	s := d.busyServer
	s.mu.Lock()
	down := s.down
	if d.own {
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
	w := &busyWire{server: s, at: at, over: make(chan struct{})}
	if !d.own {
		w.stays = func() { d.lane.stay.Add(1) }
	}
	return w, nil
}

// Ended implements [Session], as do the two methods below.
func (w *busyWire) Ended() <-chan struct{} {
	select {
	case <-w.over:
		return nil
	default:
		return w.over
	}
}

func (w *busyWire) Kill(over Wire) (bool, error) {
	s := w.server
	if over.(*busyWire).server != s {
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
	if w.Ended() == nil {
		return true, nil
	}
	time.AfterFunc(s.slow, w.end)
	return false, nil
}

func (w *busyWire) DialHelper() (Wire, error) {
	return busyDatabase{busyServer: w.server, own: true}.Dial(nil, 0)
}

// work begins something that takes a time, whether or not anybody waits for it.
func (w *busyWire) work(d time.Duration) {
	w.mu.Lock()
	w.works = true
	w.mu.Unlock()
	time.AfterFunc(d, w.end)
}

// end ends the session.
func (w *busyWire) end() {
	w.ending.Do(func() {
		w.server.mu.Lock()
		w.server.sessions--
		w.server.mu.Unlock()
		close(w.over)
	})
}

func (w *busyWire) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.works
}

func (w *busyWire) Works() bool { return !w.busy() }

func (w *busyWire) HangUp() {
	if !w.busy() {
		w.end()
		return
	}
	switch w.at.KillSession(w, true) {
	case SessionGone:
	case SessionHungUp:
		time.Sleep(20 * time.Millisecond)
	case SessionStays:
		w.stays()
	}
}

// crowded is a budget with tenants on a busy server.
type crowded struct {
	*Budget
	server *busyServer
	lanes  []*Lane
	stay   atomic.Int64 // sessions that stayed
}

func newCrowded(t testing.TB, tenants int, o Options, c Conns) *crowded {
	s := &busyServer{t: t, slow: time.Millisecond}
	h := &crowded{Budget: New("main", o), server: s}
	host := NewServer("main", h.Budget)
	for i := range tenants {
		h.lanes = append(h.lanes, NewLane(host, tenancy.ID(fmt.Sprintf("t%d", i)), busyDatabase{busyServer: s, lane: h}, s, c))
	}
	return h
}

// use works for a tenant on a connection; gives it up after a time, or back.
func (h *crowded) use(tenant int, work, hold time.Duration) error {
	c, _, err := h.lanes[tenant].Acquire(context.Background())
	if err != nil {
		return err
	}
	w := c.Wire.(*busyWire)
	if work > 0 {
		w.work(work)
	}
	time.Sleep(hold)
	c.Release(w.Works())
	return nil
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
	h.Close()
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
		h := newCrowded(t, 3, testOptions(3), Conns{Most: 2})
		_ = h.use(2, 0, 0)
		var all sync.WaitGroup
		for i := range 2 {
			all.Go(func() { _ = h.use(i, time.Hour, time.Millisecond) })
		}
		all.Wait()
		if now, _ := h.counts(); now != 3 {
			t.Errorf("got %d sessions, want those of two orphans, and one that is idle", now)
		}
		if st := h.Stat(); st.Conns != 3 {
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
		h := newCrowded(t, 2, testOptions(2), Conns{Most: 1})
		_ = h.use(1, 0, 0)
		_ = h.use(0, 2*time.Millisecond, time.Millisecond)
		time.Sleep(orphanGrace)
		if st := h.Stat(); st.Conns != 1 || h.server.asked != 1 {
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
		h := newCrowded(t, budget+1, testOptions(budget), Conns{Most: 1})
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
		h := newCrowded(t, 2, testOptions(2), Conns{Most: 1})
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
// themselves, or for ten minutes, and that is known. Nobody asks all the time.
func TestOrphansThatStay(t *testing.T) {
	orphanTest(t, func(t *testing.T) {
		h := newCrowded(t, 2, testOptions(2), Conns{Most: 2})
		h.server.refuses = errors.New("no")
		_ = h.use(0, time.Minute, time.Millisecond)
		_ = h.use(0, time.Hour, time.Millisecond)
		time.Sleep(30 * time.Second)
		if st := h.Stat(); st.Conns < 2 {
			t.Errorf("got %d connections counted, want 2", st.Conns)
		}
		time.Sleep(5 * time.Minute)
		if st := h.Stat(); st.Conns != 1 || h.stay.Load() != 0 {
			t.Errorf("got %d connections counted, and %d sessions given up, want 1 and none", st.Conns, h.stay.Load())
		}
		if h.dialled() > 80 {
			t.Errorf("got %d dials in five minutes, want few", h.dialled())
		}
		time.Sleep(6 * time.Minute)
		if st := h.Stat(); st.Conns != 0 || h.stay.Load() != 1 {
			t.Errorf("got %d connections counted, and %d sessions given up, want none and one", st.Conns, h.stay.Load())
		}
		h.ends(t)
	})
}

// A server that takes no connections is not dialled all the time, and when it is
// gone its sessions are, too.
func TestOrphansOfServerThatIsDown(t *testing.T) {
	orphanTest(t, func(t *testing.T) {
		h := newCrowded(t, 20, testOptions(20), Conns{Most: 1})
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
		if st := h.Stat(); st.Conns != 0 {
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
				h := newCrowded(t, 3, testOptions(3), Conns{Most: 1})
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
				h := newCrowded(t, tenants, testOptions(budget), Conns{Most: 1 + rnd.IntN(budget)})
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
								h.lanes[random(tenants)].Renew()
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
				if st := h.Stat(); most > budget+1 || st.Conns != now || st.Conns != st.Idle {
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
