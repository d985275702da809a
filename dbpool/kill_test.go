package dbpool

import (
	"bytes"
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/wire"
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

// lockedBuffer is a buffer that a logger writes to while somebody reads.
type lockedBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A session that cannot be killed is logged after ten minutes, and its slot is free then.
func TestSessionsThatStayAreLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		engine := &busyServer{t: t, refuses: errors.New("no")}
		p, err := New(map[string]driver.Engine{"main": engine}, &Options{Budget: 2, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		db, err := p.For(t.Context(), &tenancy.Tenant{ID: "t0", Placement: tenancy.Placement{Server: "main", Database: "t0"}})
		if err != nil {
			t.Fatal(err)
		}
		held, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = held.Raw(func(c any) error { c.(*wire.Conn).Unwrap().(*busyConn).work(time.Hour); return nil })
		_ = held.Close()
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if st := p.Stat("main"); st.Conns != 1 || log.String() != "" {
			t.Errorf("after nine minutes: got %d connections counted, and log %q, want 1 and none", st.Conns, log.String())
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if st := p.Stat("main"); st.Conns != 0 || !strings.Contains(log.String(), "server=main tenant=t0 database=t0") {
			t.Errorf("after eleven minutes: got %d connections counted, and log %q, want none and the tenant", st.Conns, log.String())
		}
		time.Sleep(time.Hour)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// An orphan of a server's old engine is ended over that one's address.
func TestOrphansOfOldEngine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
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
		_ = held.Raw(func(c any) error { c.(*wire.Conn).Unwrap().(*busyConn).work(time.Hour); return nil })
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
