package wire

import (
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
)

// fakeEngine has databases that are called as their tenants. It has only those abilities that a
// test gives to its [Engine].
type fakeEngine struct {
	dials   int
	refuses map[string]error  // what dials of some databases fail with
	leads   map[string]string // to which databases dials of some lead instead
	fate    func() error      // of a switch
	mute    bool              // nobody says whose a database is
	strays  map[string]string // to which databases switches to some lead instead
}

type fakeConnector struct {
	engine *fakeEngine
	name   string
}

type fakeConn struct {
	sqldriver.Conn
	name   string
	closed bool
}

func (e *fakeEngine) DriverName() string { return "sqlite" }

func (e *fakeEngine) Connector(name string) (sqldriver.Connector, error) {
	return fakeConnector{e, name}, nil
}

func (e *fakeEngine) Identify(ctx context.Context, c sqldriver.Conn) (driver.Identity, error) {
	if e.mute {
		<-ctx.Done()
		return driver.Identity{}, ctx.Err()
	}
	name := c.(interface{ database() string }).database()
	return driver.Identity{Database: name, Tenant: tenancy.ID(name)}, nil
}

func (e *fakeEngine) Switch(_ context.Context, c sqldriver.Conn, to sqldriver.Connector) error {
	if e.fate != nil {
		if err := e.fate(); err != nil {
			return err
		}
	}
	name := to.(fakeConnector).name
	c.(*fakeConn).name = cmp.Or(e.strays[name], name)
	return nil
}

func (c fakeConnector) Driver() sqldriver.Driver { return nil }

func (c fakeConnector) Connect(context.Context) (sqldriver.Conn, error) {
	c.engine.dials++
	time.Sleep(time.Millisecond)
	if err := c.engine.refuses[c.name]; err != nil {
		return nil, err
	}
	return &fakeConn{name: cmp.Or(c.engine.leads[c.name], c.name)}, nil
}

func (c *fakeConn) database() string { return c.name }

func (c *fakeConn) Close() error {
	c.closed = true
	return nil
}

// errWrong is what applications get for a wrong database.
var errWrong = errors.New("wrong database")

// newDatabases returns databases of an engine that share a budget of one connection.
func newDatabases(t *testing.T, e *fakeEngine, names ...string) (*sched.Budget, []*Database) {
	t.Helper()
	b := sched.New("main", sched.Options{Slots: 1, Dials: 1, Queue: 10, Wait: 10 * time.Second, Errors: sched.Errors{
		Busy: func(reason string, _ time.Duration) error { return errors.New(reason) },
		Down: func(_ int, _ time.Duration, err error) error { return fmt.Errorf("not tried: %w", err) },
	}})
	opts := &Options{Log: slog.New(slog.DiscardHandler), WrongDatabase: func(*Database, driver.Identity) error { return errWrong }}
	at, statements, engine := sched.NewServer("main", b), sqltext.New("sqlite"), NewEngine(e)
	var out []*Database
	for _, name := range names {
		target := Target{Engine: engine, Connector: fakeConnector{e, name}, Tenant: tenancy.ID(name), Name: name}
		out = append(out, New(target, at, sched.Conns{Most: 1}, statements, opts))
	}
	return b, out
}

// acquire returns a connection that can be used.
func acquire(t *testing.T, d *Database) *Conn {
	t.Helper()
	c, _, err := d.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if usable, _ := c.Usable(t.Context()); !usable {
		t.Fatal("got a connection that cannot be used")
	}
	return c
}
