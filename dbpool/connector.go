package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
)

// connector is the [sqldriver.Connector] of one handle: what database/sql asks for a
// connection, at each query. It is no part of the handle, which has the *sql.DB: that
// could never be collected if its connector had a way back to it; see closeUnused.
type connector struct {
	driver   sqldriver.Driver
	tenant   tenancy.ID // "": the server itself
	observer Observer   // nil: none
	lane     atomic.Pointer[lane]
	closed   atomic.Bool
}

// Close implements [io.Closer]: somebody closed the handle, though it is the
// pool's. It is not given out again.
func (s *connector) Close() error {
	s.closed.Store(true)
	return nil
}

// Driver implements [sqldriver.Connector].
func (s *connector) Driver() sqldriver.Driver { return s.driver }

// Connect implements [sqldriver.Connector]. It refuses a context that the handle does
// not serve.
func (s *connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	if l := s.lane.Load(); l != nil {
		if err := l.allows(ctx); err != nil {
			return nil, err
		}
	}
	var began time.Time
	if s.observer != nil {
		began = time.Now()
	}
	c, err := s.connect(ctx)
	if s.observer != nil {
		s.observe(ctx, c, began, err)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// connect returns a connection. One that was idle is checked. One that was just
// dialled needs no check.
func (s *connector) connect(ctx context.Context) (*conn, error) {
	for again := false; ; again = true {
		l := s.lane.Load()
		if l == nil {
			return nil, tenancy.ErrClosed
		}
		c, err := l.budget.acquire(ctx, l)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return nil, tenancy.Wrap("dbpool.acquire", l.tenant, err)
		}
		if c.uses == 1 && time.Since(c.idleSince) < fileTime || c.usable(ctx) {
			c.waited = c.waited || again
			return c, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// errMoved tells a request that its lane is not the tenant's any more.
var errMoved = errors.New("the tenant has moved")

// point makes the handle use another lane from now on.
func (s *connector) point(to *lane) {
	old := s.lane.Swap(to)
	if old != nil {
		old.leave()
	}
}

// resize sets how many connections the tenant may have from now on. It closes idle
// ones that are too many; the others are closed when they come back.
func (s *connector) resize(c conns) {
	l := s.lane.Load()
	if l == nil {
		return
	}
	b := l.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	l.conns = c
	for n := l.live - l.closing - c.most; n > 0 && len(l.idle) > 0; n-- {
		c := l.idle[0]
		b.removeIdle(c)
		b.discard(c, nil)
	}
}

// renew lets all connections that are there end.
func (s *connector) renew() {
	if l := s.lane.Load(); l != nil {
		l.renew()
	}
}

// detach leaves the handle without a lane.
func (s *connector) detach() {
	if l := s.lane.Swap(nil); l != nil {
		l.leave()
	}
}

// leave sends the waiters elsewhere, and lets all connections end.
func (l *lane) leave() {
	l.budget.mu.Lock()
	l.moved = true
	l.budget.failAll(l, errMoved)
	l.budget.mu.Unlock()
	l.renew()
}

// renew begins a new generation: connections of the one before end, those in use
// after their current use. Waiters stay.
func (l *lane) renew() {
	b := l.budget
	b.mu.Lock()
	l.generation++
	gone := append([]*conn(nil), l.idle...)
	for _, c := range gone {
		b.removeIdle(c)
		b.discard(c, nil)
	}
	b.mu.Unlock()
}
