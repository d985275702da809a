package dbpool

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/wire"
)

// NewFakeServer returns an engine whose connections only count. It fails the
// test when more than budget are open at a time.
func NewFakeServer(t testing.TB, budget int, dial time.Duration) (engine driver.Engine, open func() int64) {
	s := &fakeServer{t: t, budget: int64(budget), delay: func() time.Duration { return dial }}
	return s, s.open.Load
}

// OpenReadOnly opens a database for reading, without a pool.
func OpenReadOnly(e driver.Engine, database string) (*sqlx.DB, error) {
	c, err := e.(driver.ReadOnly).ReadOnlyConnector(database)
	if err != nil {
		return nil, err
	}
	return sqlx.NewDb(sql.OpenDB(c), e.DriverName()), nil
}

// FakeReplica is an engine whose servers are always as far as each other. It
// counts how often connections to tenants' databases are used.
type FakeReplica struct {
	fakeServer
	uses     atomic.Int64
	hanging  atomic.Bool
	refusing atomic.Bool
	lacking  atomic.Pointer[string]
	lacked   atomic.Int64
}

// NewFakeReplicas returns one.
func NewFakeReplicas(t testing.TB, budget int) *FakeReplica {
	r := &FakeReplica{}
	r.t, r.budget = t, int64(budget)
	return r
}

// Tenants returns how often.
func (r *FakeReplica) Tenants() int { return int(r.uses.Load()) }

// Hang makes the server answer nothing, or again.
func (r *FakeReplica) Hang(yes bool) { r.hanging.Store(yes) }

// Refuse makes the server refuse new connections, or take them again.
func (r *FakeReplica) Refuse(yes bool) { r.refusing.Store(yes) }

// Lack makes the server have no database of that name; "": all again.
func (r *FakeReplica) Lack(database string) { r.lacking.Store(&database) }

// Lacked returns how often connections to that database were asked for.
func (r *FakeReplica) Lacked() int { return int(r.lacked.Load()) }

// Fault implements [driver.FaultClassifier].
func (r *FakeReplica) Fault(err error) driver.Fault {
	if errors.Is(err, tenancy.ErrNotFound) {
		return driver.FaultDatabase
	}
	return driver.FaultUnclear
}

// Connector implements [driver.Engine].
func (r *FakeReplica) Connector(database string) (sqldriver.Connector, error) {
	return replicaConnector{fakeConnector{&r.fakeServer, database}, r}, nil
}

// Server implements [driver.Replication].
func (r *FakeReplica) Server() (sqldriver.Connector, error) { return r.Connector("") }

// Position implements [driver.Replication].
func (r *FakeReplica) Position(ctx context.Context, _ sqldriver.Conn) (driver.Position, error) {
	if r.hanging.Load() {
		<-ctx.Done()
		return "", ctx.Err()
	}
	return driver.Position(strconv.FormatInt(time.Now().UnixNano(), 10)), nil
}

// Reached implements [driver.Replication].
func (r *FakeReplica) Reached(at, want driver.Position) bool { return at >= want }

// Flicker makes the pool know how far a replica is, and not know it, by turns, until the channel is closed.
func (p *Pool) Flicker(replica string, e driver.Replication, until <-chan struct{}) {
	s := p.servers[replica]
	for {
		select {
		case <-until:
			return
		default:
			s.progress.Store(&progress{e, "1", time.Now()})
			s.progress.Store(nil)
		}
	}
}

type replicaConnector struct {
	fakeConnector
	replica *FakeReplica
}

func (c replicaConnector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	if c.replica.hanging.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if c.replica.refusing.Load() {
		return nil, errors.New("too many clients")
	}
	if lacks := c.replica.lacking.Load(); lacks != nil && *lacks != "" && *lacks == c.database {
		c.replica.lacked.Add(1)
		return nil, tenancy.ErrNotFound
	}
	conn, err := c.fakeConnector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &replicaConn{conn.(*fakeConn), c.replica}, nil
}

type replicaConn struct {
	*fakeConn
	replica *FakeReplica
}

// Ping implements [sqldriver.Pinger].
func (c *replicaConn) Ping(context.Context) error {
	c.replica.uses.Add(1)
	return nil
}

// Identify implements [driver.Engine].
func (r *FakeReplica) Identify(ctx context.Context, c sqldriver.Conn) (driver.Identity, error) {
	return r.fakeServer.Identify(ctx, c.(*replicaConn).fakeConn)
}

// ContextCheck returns what compares a context with a tenant's handle.
func ContextCheck(t testing.TB, e driver.Engine, id tenancy.ID) func(context.Context) {
	to := wire.Database{Target: wire.Target{Engine: wire.NewEngine(e), Tenant: id}}
	return func(ctx context.Context) {
		if err := to.Allows(ctx); err != nil {
			t.Error(err)
		}
	}
}

// RestTime is for how long a connection is idle before it is asked for a sign of life.
const RestTime = wire.RestTime
