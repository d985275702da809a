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

// Database is a tenant's database at one server, and what the server's engine can do there. Its
// Lane decides who gets its connections.
type Database struct {
	Target
	Lane *sched.Lane

	opts       *Options
	observer   Observer     // nil: none
	texts      TextObserver // nil: the observer wants none
	statements *sqltext.Scanner
	writer     writer // nil: many may write at a time, or nobody does

	// What the engine can do; nil if it has not the ability.
	cleaner    driver.SessionCleaner
	closes     driver.CloseNotifier
	faults     driver.FaultClassifier
	files      driver.FileBacked
	settings   driver.SettingsChecker
	switcher   driver.Switcher
	killer     driver.SessionKiller
	failures   driver.FailureClassifier
	sends      driver.SendCounter
	interrupts driver.Interrupter
}

var _ sched.Database = (*Database)(nil)

// Target says which database it is.
type Target struct {
	Engine    driver.Engine
	Era       int                 // which of the server's engines that is
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
	d.findAbilities()
	var killer any
	if d.killer != nil {
		killer = d.killer
	}
	d.Lane = sched.NewLane(at, t.Tenant, d, killer, c)
	return d
}

// findAbilities finds what the engine can do.
func (d *Database) findAbilities() {
	e := d.Engine
	d.cleaner, _ = e.(driver.SessionCleaner)
	d.closes, _ = e.(driver.CloseNotifier)
	d.faults, _ = e.(driver.FaultClassifier)
	d.files, _ = e.(driver.FileBacked)
	d.settings, _ = e.(driver.SettingsChecker)
	d.switcher, _ = e.(driver.Switcher)
	d.killer, _ = e.(driver.SessionKiller)
	d.failures, _ = e.(driver.FailureClassifier)
	d.sends, _ = e.(driver.SendCounter)
	d.interrupts, _ = e.(driver.Interrupter)
	if w, ok := e.(driver.SingleWriter); ok && w.SingleWriter() && !d.ReadOnly {
		d.writer = make(writer, 1)
	}
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
