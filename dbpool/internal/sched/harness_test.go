package sched

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// fakeServer has connections that only count. It fails the test when
// more are open than the budget allows, or one serves two at a time.
type fakeServer struct {
	t      testing.TB
	budget int64
	delay  func() time.Duration // of a dial
	fail   func() error         // of a dial
	stays  time.Duration        // how long it takes to close a connection; 0: a millisecond
	open   atomic.Int64
	most   atomic.Int64
	dials  atomic.Int64

	// What it does when it is to switch a connection; see switch_test.go.
	switches bool
	tries    atomic.Int64
	takes    time.Duration
	fate     func() error
}

// fakeDatabase is one of its databases.
type fakeDatabase struct {
	*fakeServer
	tenant  string
	refuses error // of a dial
	after   time.Duration
	faults  *faults // nil: every error is the server's
}

// fakeWire is one of its connections.
type fakeWire struct {
	server *fakeServer
	tenant string
	used   atomic.Bool
	closed atomic.Bool
	dirty  bool // its session has had state
}

func (d *fakeDatabase) Dial(_ *Conn, within time.Duration) (Wire, error) {
	if d.refuses != nil {
		time.Sleep(d.after)
		return nil, d.refuses
	}
	n := d.open.Add(1)
	d.dials.Add(1)
	for most := d.most.Load(); n > most && !d.most.CompareAndSwap(most, n); most = d.most.Load() {
	}
	if n > d.budget {
		d.t.Errorf("got %d connections, want %d at most", n, d.budget)
	}
	if d.delay != nil {
		takes := d.delay()
		time.Sleep(min(takes, within))
		if takes > within {
			d.open.Add(-1)
			return nil, context.DeadlineExceeded
		}
	}
	if d.fail != nil {
		if err := d.fail(); err != nil {
			d.open.Add(-1)
			return nil, err
		}
	}
	return &fakeWire{server: d.fakeServer, tenant: d.tenant}, nil
}

func (d *fakeDatabase) Fault(err error, ask bool) Fault {
	if errors.Is(err, tenancy.ErrNotFound) {
		return FaultDatabase
	}
	if d.faults == nil {
		return FaultServer
	}
	return d.faults.of(err, ask)
}

func (w *fakeWire) Works() bool { return true }

func (w *fakeWire) HangUp() {
	if !w.closed.CompareAndSwap(false, true) {
		w.server.t.Error("a connection was closed twice")
	}
	time.Sleep(cmp.Or(w.server.stays, time.Millisecond))
	w.server.open.Add(-1)
}

// busyError and downError are the errors of requests that get no connection.
type (
	busyError struct {
		reason string
		after  time.Duration
	}
	downError struct {
		failures int
		after    time.Duration
		err      error
	}
)

func (e *busyError) Error() string { return e.reason }
func (e *downError) Error() string { return fmt.Sprintf("not tried for %v: %v", e.after, e.err) }
func (e *downError) Unwrap() error { return e.err }

func testErrors() Errors {
	return Errors{
		Busy: func(reason string, after time.Duration) error { return &busyError{reason, after} },
		Down: func(n int, after time.Duration, err error) error { return &downError{n, after, err} },
	}
}

func testOptions(slots int) Options {
	return Options{Slots: slots, Dials: 3, Queue: 1000, Wait: 10 * time.Second, Errors: testErrors()}
}

// harness is a budget with tenants on a fake server.
type harness struct {
	*Budget
	server *fakeServer
	host   *Server
	dbs    []*fakeDatabase
	lanes  []*Lane
}

func newHarness(t testing.TB, tenants int, o Options) *harness {
	return newHarnessWith(t, tenants, o, Conns{Most: o.Slots})
}

func newHarnessWith(t testing.TB, tenants int, o Options, c Conns) *harness {
	s := &fakeServer{t: t, budget: int64(o.Slots)}
	h := &harness{Budget: New("main", o), server: s}
	h.host = NewServer("main", h.Budget)
	for i := range tenants {
		db := &fakeDatabase{fakeServer: s, tenant: fmt.Sprintf("t%d", i)}
		h.dbs = append(h.dbs, db)
		h.lanes = append(h.lanes, NewLane(h.host, tenancy.ID(db.tenant), db, nil, c))
	}
	return h
}

func (h *harness) acquire(ctx context.Context, l *Lane) (*Conn, error) {
	c, _, err := l.Acquire(ctx)
	return c, err
}

// use acquires a connection of a tenant, holds it, and gives it back.
func (h *harness) use(ctx context.Context, tenant int, hold time.Duration, reusable bool) error {
	return h.useAs(ctx, tenant, hold, reusable, false)
}

// useAs may leave state in the session.
func (h *harness) useAs(ctx context.Context, tenant int, hold time.Duration, reusable, state bool) error {
	l := h.lanes[tenant]
	c, err := h.acquire(ctx, l)
	if err != nil {
		return err
	}
	w := c.Wire.(*fakeWire)
	if w.tenant != string(l.tenant) || c.lane != l {
		h.server.t.Errorf("got a connection of %s, want one of %s", w.tenant, l.tenant)
	}
	if !w.used.CompareAndSwap(false, true) || w.closed.Load() {
		h.server.t.Error("got a connection that somebody else has, or that is closed")
	}
	time.Sleep(hold)
	w.used.Store(false)
	w.dirty = w.dirty || state
	c.Release(reusable)
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
	perLane := 0
	for _, l := range h.lanes {
		perLane += l.live
		if l.next() != nil || l.dialing || l.wants != nil || l.waits != nil || l.inUse != 0 || l.live != len(l.idle) {
			t.Errorf("tenant %s: got live %d, idle %d, dialing %v, in ring %v, want it at rest", l.tenant, l.live, len(l.idle), l.dialing, l.wants != nil)
		}
	}
	if open := int(h.server.open.Load()); h.live != open || perLane != open || len(h.idle) != open {
		t.Errorf("got %d counted, %d by tenant, %d idle, want the %d that are open", h.live, perLane, len(h.idle), open)
	}
	if h.dialing != 0 || h.ring[0].len()+h.ring[1].len() != 0 || h.waiting.len() != 0 || h.stat.InUse != 0 || h.stat.Waiting != 0 {
		t.Errorf("got %d dialing, %d and %d in the ring, %d waiting, %+v, want none", h.dialing, h.ring[0].len(), h.ring[1].len(), h.waiting.len(), h.stat)
	}
	for i, c := range h.idle {
		if c.inBudget != i || c.lane.idle[c.inLane] != c {
			t.Errorf("connection %d of %s: a wrong place", i, c.lane.tenant)
		}
	}
}
