package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
)

// source is the [sqldriver.Connector] of one handle: what database/sql asks for a
// connection, at each query.
type source struct {
	driver   sqldriver.Driver
	tenant   tenancy.ID // "": the server itself
	observer Observer   // nil: none
	queue    atomic.Pointer[queue]
	closed   atomic.Bool
}

// Close implements [io.Closer]: somebody closed the handle, though it is the
// pool's. It is not given out again.
func (s *source) Close() error {
	s.closed.Store(true)
	return nil
}

// Driver implements [sqldriver.Connector].
func (s *source) Driver() sqldriver.Driver { return s.driver }

// Connect implements [sqldriver.Connector]. It refuses a context that the handle does
// not serve.
func (s *source) Connect(ctx context.Context) (sqldriver.Conn, error) {
	if q := s.queue.Load(); q != nil {
		if err := q.target.allows(ctx); err != nil {
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
func (s *source) connect(ctx context.Context) (*physical, error) {
	for again := false; ; again = true {
		q := s.queue.Load()
		if q == nil {
			return nil, tenancy.ErrClosed
		}
		c, err := q.group.acquire(ctx, q)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return nil, tenancy.Wrap("dbpool.acquire", q.tenant, err)
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

// errMoved tells a request that its tenant's connections lead elsewhere by now.
var errMoved = errors.New("the tenant has moved")

// lead makes the handle lead to a target from now on.
func (s *source) lead(to *queue) {
	old := s.queue.Swap(to)
	if old != nil {
		old.leave()
	}
}

// allow sets how many connections the tenant may have from now on. Of those that
// are too many the idle ones end, the others when they come back.
func (s *source) allow(c conns) {
	q := s.queue.Load()
	if q == nil {
		return
	}
	g := q.group
	g.mu.Lock()
	defer g.mu.Unlock()
	q.conns = c
	for n := q.live - q.closing - c.most; n > 0 && len(q.idle) > 0; n-- {
		c := q.idle[0]
		g.removeIdle(c)
		g.discard(c, nil)
	}
}

// renew lets all connections that are there end.
func (s *source) renew() {
	if q := s.queue.Load(); q != nil {
		q.renew()
	}
}

// end makes the handle lead nowhere.
func (s *source) end() {
	if q := s.queue.Swap(nil); q != nil {
		q.leave()
	}
}

// leave sends the waiters elsewhere, and lets all connections end.
func (q *queue) leave() {
	q.group.mu.Lock()
	q.moved = true
	q.group.failAll(q, errMoved)
	q.group.mu.Unlock()
	q.renew()
}

// renew begins a new generation: connections of the one before end, those in use
// after their current use. Waiters stay.
func (q *queue) renew() {
	g := q.group
	g.mu.Lock()
	q.generation++
	gone := append([]*physical(nil), q.idle...)
	for _, c := range gone {
		g.removeIdle(c)
		g.discard(c, nil)
	}
	g.mu.Unlock()
}
