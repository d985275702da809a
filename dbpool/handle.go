package dbpool

import (
	"database/sql"
	"fmt"
	"runtime"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
	"github.com/artflow-studio/tenancy/dbpool/internal/wire"
)

// handle is the database of one tenant, at the place that the record of that
// version names, or a read replica of it. Guarded by Pool.mu.
type handle struct {
	tenant    tenancy.ID
	placement tenancy.Placement
	version   int64
	schema    int64       // of the database, as that record says
	created   time.Time   // when that record was made
	conns     sched.Conns // what the application says
	server    *server     // whose lane it uses
	reads     bool        // it is for reading
	readOnly  bool        // it cannot do anything else
	connector *connector
	db        *sqlx.DB
	readers   map[string]*handle // by the server's name
}

// serves reports whether the handle is right for the record, and nobody closed
// it: it was made for it, or the record is an older one, which somebody still holds.
func (h *handle) serves(t *tenancy.Tenant) bool {
	return h != nil && !h.connector.closed.Load() && h.sameTenant(t) && (h.version == t.Version && h.placement == t.Placement || h.version > t.Version)
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

// newHandle returns a handle to a database at a server. The caller has the lock, as
// for the functions below.
func (p *Pool) newHandle(t *tenancy.Tenant, s *server, c sched.Conns, reads bool) (*handle, error) {
	h := &handle{tenant: t.ID, placement: t.Placement, version: t.Version, schema: t.SchemaVersion, created: t.CreatedAt, conns: c, reads: reads}
	to, err := p.databaseOf(h, s)
	if err != nil {
		return nil, err
	}
	h.connector = &connector{driver: to.Connector.Driver(), tenant: h.tenant, observer: p.opts.Observer}
	h.server = s
	h.connector.point(to)
	db := sql.OpenDB(h.connector)
	db.SetMaxIdleConns(-1) // the pool keeps them
	h.db = sqlx.NewDb(db, s.engine.DriverName())
	return h, nil
}

// repoint makes the handle use a server from now on. It cannot follow to another
// driver: then it has no lane any more.
func (p *Pool) repoint(h *handle, s *server) error {
	to, err := p.databaseOf(h, s)
	if err != nil {
		return err
	}
	h.server = s
	if h.db.DriverName() != s.engine.DriverName() {
		to = nil
	}
	p.point(h, to)
	return nil
}

// databaseOf returns the database of a handle at a server, with a new lane. A handle that cannot
// write stays so.
func (p *Pool) databaseOf(h *handle, s *server) (*wire.Database, error) {
	connect := s.engine.Connector
	if h.reads {
		r, ok := s.engine.Engine.(driver.ReadOnly)
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
	at := wire.Target{Connector: c, Tenant: h.tenant, Name: h.placement.Database, ReadOnly: h.readOnly}
	return p.newDatabase(s, at, orElse(h.conns, s.conns)), nil
}

// newDatabase returns what a connector of the server's engine leads to, with a new lane. The caller has
// the lock.
func (p *Pool) newDatabase(s *server, at wire.Target, c sched.Conns) *wire.Database {
	at.Engine = s.engine
	return wire.New(at, s.Server, c, p.statementsOf(s.engine), &p.wire)
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
