package wire

import (
	"context"
	sqldriver "database/sql/driver"
	"log/slog"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
)

// Database is a tenant's database at one server. Its Lane decides who gets its connections.
type Database struct {
	Target
	Lane *sched.Lane

	opts       *Options
	observer   Observer     // nil: none
	texts      TextObserver // nil: the observer wants none
	statements *sqltext.Scanner
	writer     writer // nil: many may write at a time, or nobody does
}

var _ sched.Database = (*Database)(nil)

// Target says which database it is.
type Target struct {
	*Engine                       // of the server, which may get another one later
	Connector sqldriver.Connector // to the database, of that engine
	Tenant    tenancy.ID          // "": the pool's own, to the server itself
	Name      string
	ReadOnly  bool
}

// Options are those of all connections of a pool.
type Options struct {
	// Keep says that the next user of a connection gets the session as the last one left it.
	Keep bool
	// Wait is how long a statement waits for its turn to write.
	Wait     time.Duration
	Observer Observer // nil: none
	// OnSession is called with each new session. Nil: nothing is.
	OnSession func(ctx context.Context, of *Database, conn sqldriver.Conn) error
	Log       *slog.Logger

	// Busy and WrongDatabase make the errors that applications know: others use what the statement
	// wants, so try again later; and a connection reached another database than the tenant's.
	Busy          func(reason string, after time.Duration) error
	WrongDatabase func(want *Database, got driver.Identity) error
}

// Observer is dbpool.Observer.
type Observer interface {
	ObserveWait(ctx context.Context, tenant tenancy.ID, wait time.Duration, err error)
	ObserveStatement(ctx context.Context, tenant tenancy.ID, took time.Duration, local bool, err error)
	ObserveRelease(tenant tenancy.ID, held time.Duration)
}

// TextObserver is dbpool.TextObserver.
type TextObserver interface {
	ObserveText(tenant tenancy.ID, driver, text string, took time.Duration, err error)
}

// New returns a database with a lane of its own at a server. It connects to nothing.
func New(t Target, at *sched.Server, c sched.Conns, statements *sqltext.Scanner, opts *Options) *Database {
	d := &Database{Target: t, opts: opts, statements: statements}
	if t.Tenant != "" {
		d.observer = opts.Observer
		d.texts, _ = d.observer.(TextObserver)
	}
	if t.singleWriter && !t.ReadOnly {
		d.writer = make(writer, 1)
	}
	var killer any
	if d.killer != nil {
		killer = d.killer
	}
	d.Lane = sched.NewLane(at, t.Tenant, d, killer, c)
	return d
}

// Acquire returns a connection of the lane, and whether the request waited for it. The caller
// asks it whether it is [Conn.Usable], and closes it after its use.
func (d *Database) Acquire(ctx context.Context) (c *Conn, waited bool, err error) {
	at, waited, err := d.Lane.Acquire(ctx)
	if err != nil {
		return nil, waited, err
	}
	return at.Wire.(*Conn), waited, nil
}
