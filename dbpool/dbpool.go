// Package dbpool hands out the database of the tenant that a context carries.
//
//	pool, err := dbpool.New(map[string]dbpool.Engine{"main": engine}, nil)
//	...
//	db, err := pool.DB(ctx) // in a handler behind middleware.Tenant
//
// The tenant's [tenancy.Placement] names a server and a database; the host maps
// the server's name to an [Engine], which knows the address and the
// credentials. Each physical connection is checked once, when it is made,
// against the server's own answer to which database it is and whose: the wrong
// one is closed, logged at level error, and reported as an [*IdentityError].
//
// What the package does not do yet: it bounds the connections per tenant, not
// those per server.
package dbpool

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Pool holds the handles of all tenants' databases. Its methods may be called
// by many goroutines at once.
type Pool struct {
	engines map[string]Engine
	opts    Options

	mu      sync.RWMutex // guards what follows, and is never held across I/O
	handles map[tenancy.ID]*handle
	closed  bool
}

// handle is the database of one tenant at one place, opened for the record of
// that version.
type handle struct {
	placement tenancy.Placement
	version   int64
	db        *sqlx.DB
}

// serves reports whether the handle is right for the record: it leads to the
// same place, or the record is an older one, which somebody still holds.
func (h *handle) serves(t *tenancy.Tenant) bool {
	return h != nil && (h.placement == t.Placement || h.version > t.Version)
}

// Options are the options of [New].
type Options struct {
	// MaxConns is the most connections to one tenant's database. Default: 4.
	MaxConns int
	// IdleTime is how long a connection that nobody uses is kept; negative
	// keeps none. Default: one minute.
	IdleTime time.Duration
	// Logger is told of connections to the wrong database. Default: [slog.Default].
	Logger *slog.Logger
}

// New returns a pool over the servers, by the names that placements give them.
// It connects to nothing. Without a server, or with one that is nil, it returns
// an error that unwraps to [tenancy.ErrInvalid].
func New(servers map[string]Engine, opts *Options) (*Pool, error) {
	const op = "dbpool.New"
	p := &Pool{engines: maps.Clone(servers), handles: map[tenancy.ID]*handle{}}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.MaxConns == 0 {
		p.opts.MaxConns = 4
	}
	if p.opts.IdleTime == 0 {
		p.opts.IdleTime = time.Minute
	}
	if p.opts.Logger == nil {
		p.opts.Logger = slog.Default()
	}
	if p.opts.MaxConns < 0 || len(servers) == 0 {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: want a server and at least one connection", tenancy.ErrInvalid))
	}
	for name, e := range servers {
		if e == nil {
			return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: server %q has no engine", tenancy.ErrInvalid, name))
		}
	}
	return p, nil
}

// DB returns the database of the tenant that the context carries. It does no
// I/O: a server that does not answer shows at the first query, with an error
// that unwraps to [tenancy.ErrUnavailable]. The caller does not close it.
//
// The errors of DB itself unwrap to [tenancy.ErrNoTenant], to
// [tenancy.ErrUnavailable] when the placement names no server of this pool, or
// to [tenancy.ErrClosed].
func (p *Pool) DB(ctx context.Context) (*sqlx.DB, error) {
	t, err := tenancy.Require(ctx)
	if err != nil {
		return nil, tenancy.Wrap("dbpool.DB", "", err)
	}
	return p.For(ctx, t)
}

// For returns the database of the given tenant, in whatever status it is. See
// [Pool.DB]. When the record names another place than before, the handle to the
// old place is closed as by [Pool.Forget].
func (p *Pool) For(_ context.Context, t *tenancy.Tenant) (*sqlx.DB, error) {
	p.mu.RLock()
	h := p.handles[t.ID]
	p.mu.RUnlock()
	if h.serves(t) {
		return h.db, nil
	}
	return p.open(t)
}

func (p *Pool) open(t *tenancy.Tenant) (*sqlx.DB, error) {
	const op = "dbpool.For"
	engine, err := p.engine(t)
	if err != nil {
		return nil, tenancy.Wrap(op, t.ID, err)
	}
	inner, err := engine.Connector(t.Placement.Database)
	if err != nil {
		return nil, tenancy.Wrap(op, t.ID, err)
	}
	h, old, err := p.swap(t, func() *handle {
		db := sql.OpenDB(&connector{inner, engine, t.ID, t.Placement.Database, p.opts.Logger})
		db.SetMaxOpenConns(p.opts.MaxConns)
		db.SetMaxIdleConns(p.opts.MaxConns)
		if p.opts.IdleTime < 0 {
			db.SetMaxIdleConns(-1)
		}
		db.SetConnMaxIdleTime(p.opts.IdleTime)
		return &handle{t.Placement, t.Version, sqlx.NewDb(db, engine.DriverName())}
	})
	if err != nil {
		return nil, tenancy.Wrap(op, t.ID, err)
	}
	if old != nil {
		_ = old.db.Close()
	}
	return h.db, nil
}

// swap puts a new handle in place of one that does not serve the record, and
// returns both. If somebody else was faster there is no old one.
func (p *Pool) swap(t *tenancy.Tenant, open func() *handle) (h, old *handle, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, tenancy.ErrClosed
	}
	old = p.handles[t.ID]
	if old.serves(t) {
		return old, nil, nil
	}
	h = open()
	p.handles[t.ID] = h
	return h, old, nil
}

func (p *Pool) engine(t *tenancy.Tenant) (Engine, error) {
	if e, ok := p.engines[t.Placement.Server]; ok {
		return e, nil
	}
	return nil, fmt.Errorf("%w: no server is called %q", tenancy.ErrUnavailable, t.Placement.Server)
}

// With runs fn with a connection to the database of the context's tenant, which
// goes back when fn returns or panics. Whatever fn sets on the connection stays
// set for its next user of the same tenant.
func (p *Pool) With(ctx context.Context, fn func(*sqlx.Conn) error) error {
	db, err := p.DB(ctx)
	if err != nil {
		return err
	}
	conn, err := db.Connx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return fn(conn)
}

// Tx runs fn in a transaction on the database of the context's tenant. It
// commits when fn returns nil and rolls back when it returns an error or
// panics; the panic goes on. A context that ends rolls back too. Nil options
// are the server's defaults.
func (p *Pool) Tx(ctx context.Context, opts *sql.TxOptions, fn func(*sqlx.Tx) error) error {
	db, err := p.DB(ctx)
	if err != nil {
		return err
	}
	return sqlkit.Tx(ctx, db, opts, fn)
}

// Forget closes the tenant's handle. Queries that run on it go on to their end;
// who still holds it gets errors from then on; the next [Pool.DB] opens another.
func (p *Pool) Forget(id tenancy.ID) error {
	p.mu.Lock()
	h := p.handles[id]
	delete(p.handles, id)
	p.mu.Unlock()
	if h == nil {
		return nil
	}
	return h.db.Close()
}

// Close closes all handles as [Pool.Forget] does. It may be called again.
func (p *Pool) Close() error {
	p.mu.Lock()
	handles := p.handles
	p.handles = map[tenancy.ID]*handle{}
	p.closed = true
	p.mu.Unlock()

	var first error
	for _, h := range handles {
		if err := h.db.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Stat is what a pool holds at one moment.
type Stat struct {
	// Handles is the number of tenants with an open handle.
	Handles int `json:"handles"`
	// Conns, InUse and Idle count physical connections.
	Conns int `json:"conns"`
	InUse int `json:"in_use"`
	Idle  int `json:"idle"`
	// Waits counts the requests that had to wait for a connection of their
	// tenant since its handle was opened, WaitTime how long in all.
	Waits    int64         `json:"waits"`
	WaitTime time.Duration `json:"wait_time"`
}

// Stat returns figures of the server of that name.
func (p *Pool) Stat(server string) Stat {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var s Stat
	for _, h := range p.handles {
		if h.placement.Server != server {
			continue
		}
		st := h.db.Stats()
		s.Handles++
		s.Conns += st.OpenConnections
		s.InUse += st.InUse
		s.Idle += st.Idle
		s.Waits += st.WaitCount
		s.WaitTime += st.WaitDuration
	}
	return s
}
