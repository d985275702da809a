package dbpool

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"fmt"
	"runtime"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
)

// handle is the database of one tenant, at the place that the record of that
// version names, or a replica of it. Guarded by Pool.mu.
type handle struct {
	tenant    tenancy.ID
	placement tenancy.Placement
	version   int64
	schema    int64     // of the database, as that record says
	created   time.Time // when that record was made
	conns     conns     // what the host says
	server    *server   // to which it leads
	reads     bool      // it is for reading
	readOnly  bool      // it cannot do anything else
	source    *source
	db        *sqlx.DB
	readers   map[string]*handle // by the server's name
}

// serves reports whether the handle is right for the record, and nobody closed
// it: it was made for it, or the record is an older one, which somebody still holds.
func (h *handle) serves(t *tenancy.Tenant) bool {
	return h != nil && !h.source.closed.Load() && h.sameTenant(t) && (h.version == t.Version && h.placement == t.Placement || h.version > t.Version)
}

// sameTenant reports whether the record is of the tenant that the handle was made
// for, and not of one that was made before or again under its ID. Records that do not
// say when they were made are of the same.
func (h *handle) sameTenant(t *tenancy.Tenant) bool {
	return h.created.Equal(t.CreatedAt) || h.created.IsZero() || t.CreatedAt.IsZero()
}

// closeUnused closes the handle's *sql.DB when nobody holds the handle any more.
// Somebody may hold it for long, and closing it under them would fail their
// queries in a way of its own.
func (h *handle) closeUnused() {
	runtime.AddCleanup(h.db, func(db *sql.DB) { _ = db.Close() }, h.db.DB)
}

// all calls fn with the handle and those of its readers.
func (h *handle) all(fn func(*handle)) {
	fn(h)
	for _, r := range h.readers {
		fn(r)
	}
}

// has reports whether a database is one of the handle or of its readers.
func (h *handle) has(db *sqlx.DB) bool {
	found := false
	h.all(func(h *handle) { found = found || h.db == db })
	return found
}

// newHandle returns a handle that leads to a server. The caller has the lock, as
// for the functions below.
func (p *Pool) newHandle(t *tenancy.Tenant, s *server, c conns, reads bool) (*handle, error) {
	h := &handle{tenant: t.ID, placement: t.Placement, version: t.Version, schema: t.SchemaVersion, created: t.CreatedAt, conns: c, reads: reads}
	to, err := p.target(s, h)
	if err != nil {
		return nil, err
	}
	h.source = &source{driver: to.connector.Driver(), tenant: h.tenant, observer: p.opts.Observer}
	h.server = s
	h.source.lead(newQueue(s, to, c.or(s.conns)))
	db := sql.OpenDB(h.source)
	db.SetMaxIdleConns(-1) // the pool keeps them
	h.db = sqlx.NewDb(db, s.engine.DriverName())
	return h, nil
}

// lead makes the handle lead to a server from now on. It cannot follow to
// another driver: then it ends.
func (p *Pool) lead(h *handle, s *server) error {
	to, err := p.target(s, h)
	if err != nil {
		return err
	}
	h.server = s
	if h.db.DriverName() != s.engine.DriverName() {
		h.source.end()
		return nil
	}
	h.source.lead(newQueue(s, to, h.conns.or(s.conns)))
	return nil
}

// target returns where a handle's connections lead at a server. One that cannot
// write stays so.
func (p *Pool) target(s *server, h *handle) (*target, error) {
	connect := s.engine.Connector
	if h.reads {
		r, ok := s.engine.(driver.ReadOnly)
		if !ok && h.readOnly {
			return nil, errWrites()
		}
		if ok {
			connect, h.readOnly = r.ReadOnlyConnector, true
		}
	}
	c, err := connect(h.placement.Database)
	if err != nil {
		return nil, err
	}
	to := p.newTarget(s, c, h.tenant, h.placement.Database)
	to.readOnly = h.readOnly
	return to, nil
}

func errWrites() error {
	return fmt.Errorf("%w: the engine cannot open connections that only read", tenancy.ErrInvalid)
}

// statementsOf returns what is known of the statements of an engine.
func (p *Pool) statementsOf(e driver.Engine) *sqltext.Scanner {
	name := e.DriverName()
	s := p.statements[name]
	if s == nil {
		s = sqltext.New(name)
		p.statements[name] = s
	}
	return s
}

func (p *Pool) newTarget(s *server, c sqldriver.Connector, id tenancy.ID, database string) *target {
	e := s.engine
	to := &target{
		engine: e, server: s, era: s.era, connector: c, tenant: id, database: database,
		statements: p.statementsOf(e), keep: p.opts.KeepSessions, onSession: p.opts.OnSession, log: p.opts.Logger,
	}
	if id != "" { // or it is the pool's own
		to.observer = p.opts.Observer
	}
	to.endings, _ = e.(driver.CloseNotifier)
	to.faults, _ = e.(driver.FaultClassifier)
	to.files, _ = e.(driver.FileBacked)
	to.orphans, _ = e.(driver.SessionKiller)
	to.sessions, _ = e.(driver.SessionCleaner)
	to.settings, _ = e.(driver.SettingsChecker)
	to.switcher, _ = e.(driver.Switcher)
	to.failures, _ = e.(driver.FailureClassifier)
	to.traffic, _ = e.(driver.SendCounter)
	to.interrupts, _ = e.(driver.Interrupter)
	return to
}
