package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
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
}

func (s *fakeServer) DriverName() string { return "sqlite" }

func (s *fakeServer) Connector(database string) (sqldriver.Connector, error) {
	return fakeConnector{s, database}, nil
}

func (s *fakeServer) Identify(_ context.Context, c sqldriver.Conn) (driver.Identity, error) {
	if c.(*fakeConn).server != s {
		s.t.Error("asked whose a connection to another server is")
	}
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
