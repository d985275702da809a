package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
	"github.com/artflow-studio/tenancy/dbpool/internal/wire"
)

// connector is the [sqldriver.Connector] of one handle: what database/sql asks for a
// connection, at each query. It is no part of the handle, which has the *sql.DB: that
// could never be collected if its connector had a way back to it; see closeUnused.
type connector struct {
	driver   sqldriver.Driver
	tenant   tenancy.ID                    // "": the server itself
	observer Observer                      // nil: none
	to       atomic.Pointer[wire.Database] // nil: it leads nowhere any more
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
	if d := s.to.Load(); d != nil {
		if err := d.Allows(ctx); err != nil {
			return nil, err
		}
	}
	var began time.Time
	if s.observer != nil {
		began = time.Now()
	}
	c, waited, err := s.connect(ctx)
	if s.observer != nil {
		s.observe(ctx, c, waited, began, err)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// connect returns a connection that can be used, and whether the request waited for it.
func (s *connector) connect(ctx context.Context) (*wire.Conn, bool, error) {
	for again := false; ; again = true {
		d := s.to.Load()
		if d == nil {
			return nil, again, tenancy.ErrClosed
		}
		c, waited, err := d.Acquire(ctx)
		if errors.Is(err, sched.ErrMoved) {
			continue
		}
		if err != nil {
			return nil, waited, tenancy.Wrap("dbpool.acquire", d.Tenant, err)
		}
		if usable, asked := c.Usable(ctx); usable {
			return c, waited || asked || again, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, waited, err
		}
	}
}

// position asks the server how far it is, over a connection of the lane.
func (s *connector) position(ctx context.Context) (driver.Position, error) {
	c, _, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	return c.Position(ctx)
}

// point makes the handle use another database from now on, or none, and returns the lane that it
// left, or nil.
func (s *connector) point(to *wire.Database) *sched.Lane {
	old := s.to.Swap(to)
	if old == nil {
		return nil
	}
	old.Lane.Leave()
	return old.Lane
}

// lane returns the lane that the handle uses, or nil.
func (s *connector) lane() *sched.Lane {
	if d := s.to.Load(); d != nil {
		return d.Lane
	}
	return nil
}

// down is [sched.Lane.Down] of the lane that the handle uses.
func (s *connector) down() (down, early bool) {
	if l := s.lane(); l != nil {
		return l.Down(time.Now())
	}
	return false, false
}

// renew closes all connections that are there, those in use after their current use.
func (s *connector) renew() {
	if l := s.lane(); l != nil {
		l.Renew()
	}
}

// resize sets how many connections the tenant may have from now on.
func (s *connector) resize(c sched.Conns) {
	if l := s.lane(); l != nil {
		l.Resize(c)
	}
}
