package dbpool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"go.opentelemetry.io/otel/metric"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
	"github.com/artflow-studio/tenancy/dbpool/internal/wire"
	"github.com/artflow-studio/tenancy/internal/logs"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Pool holds the connections of all tenants. Its methods may be called by many
// goroutines at once.
type Pool struct {
	opts    Options
	wire    wire.Options
	metrics *metrics // nil: none

	mu         sync.RWMutex                // guards what follows, and is never held across I/O
	statements map[string]*sqltext.Scanner // by the name of the engine's driver
	servers    map[string]*server
	handles    map[tenancy.ID]*handle
	left       map[tenancy.ID][]*sched.Lane // with connections in use when their handles left them
	closed     bool
}

// Options are the options of [New].
type Options struct {
	// Budget is the most physical connections to each server. MySQL and MariaDB
	// get one more while no other can end what was broken off; see Broken off
	// statements in the package comment. Default: 50.
	Budget int
	// Lender lends connections beyond the budget, up to Shared, while [Pool.Run] runs.
	// Default: none.
	Lender Lender
	// Shared is how many connections beyond their budgets all instances of the application
	// share at each server. It needs a Lender. Default: none.
	Shared int
	// Servers are the options of single servers, by name. Default: none; all servers have the same.
	Servers map[string]ServerOptions
	// MaxConns is the most connections to one tenant's database. Default: half
	// of the server's budget and what is shared there, and at least one.
	MaxConns int
	// MinIdle is how many idle connections a tenant keeps when another wants
	// their place, as long as there are any else to take. Default: none.
	MinIdle int
	// MaxLag is how far behind, at the most, a read replica may be that [Pool.Reader]
	// uses. Negative: any. Default: 5 seconds.
	MaxLag time.Duration
	// TenantConns returns the MinIdle and MaxConns of single tenants, from what
	// their records say. Zero means those above. Default: those above for all.
	TenantConns func(*tenancy.Tenant) (minIdle, maxConns int)
	// MaxDials is the most connections that are being dialled at a time to each
	// server; more make all of them slow. Default: 6.
	MaxDials int
	// MaxWait is how long a request waits for a connection. Default: 10 seconds.
	MaxWait time.Duration
	// MaxQueue is the most requests of one tenant that wait. Its work of low priority counts apart, up to
	// as many, and takes no place from them. Default: 1,000.
	MaxQueue int
	// MaxLifetime is after what time a connection is replaced when it comes back,
	// or closed while it is idle: so a new address or primary is found. Lives are up
	// to a fifth shorter, at random, and no more than half of MaxDials are replaced
	// at once. While new connections fail, old ones stay. Idle ones are looked at
	// while [Pool.Run] runs. Negative: no end. Default: an hour.
	MaxLifetime time.Duration
	// MaxIdleTime is after what time an idle connection is closed: while
	// [Pool.Run] runs, or when its tenant wants one. Negative: no end. Default: half
	// an hour.
	MaxIdleTime time.Duration
	// OnSession is called with each new session, before anybody uses it: of a new
	// connection, of one that was switched to another tenant's database, and of one that
	// was cleaned. It may register types, or set what all of a tenant's statements
	// want. Many goroutines call it at once, in nobody's context. An error closes
	// the connection, and is that of the dial. Default: none.
	OnSession func(ctx context.Context, s Session) error
	// Observer learns what tenants ask of their databases. Default: none.
	Observer Observer
	// KeepSessions lets what one request leaves in a session reach the next one
	// of the same tenant. After a statement that may leave something, the pool asks
	// again which database the connection reaches, and whether it still only reads
	// if it must. Default: false.
	KeepSessions bool
	// Logger records connections to the wrong database. Default: [slog.Default], asked at each message.
	Logger *slog.Logger
	// MeterProvider gets the metrics that the package comment lists. Default:
	// none are kept.
	MeterProvider metric.MeterProvider
	// TenantMetrics is how many tenants, the busiest, are named in metrics. Each
	// that was ever among them is a series of its own where metrics are kept.
	// Default: none.
	TenantMetrics int
}

// New returns a pool over the servers, by the names that placements give them.
// It connects to nothing. Without a server, with one that is nil, or with a
// negative number, it returns an error that wraps [tenancy.ErrInvalid].
func New(servers map[string]driver.Engine, opts *Options) (*Pool, error) {
	const op = "dbpool.New"
	p := &Pool{statements: map[string]*sqltext.Scanner{}, servers: map[string]*server{},
		handles: map[tenancy.ID]*handle{}, left: map[tenancy.ID][]*sched.Lane{}}
	if opts != nil {
		p.opts = *opts
	}
	p.opts.Servers = maps.Clone(p.opts.Servers)
	if err := p.opts.complete(); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	p.wire = p.opts.wire()
	if len(servers) == 0 {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no server", tenancy.ErrInvalid))
	}
	if p.opts.MeterProvider != nil {
		var err error
		if p.metrics, err = p.newMetrics(p.opts.MeterProvider); err != nil {
			return nil, tenancy.Wrap(op, "", err)
		}
	}
	p.mu.Lock() // somebody may read the metrics already
	err := p.addServers(servers)
	p.mu.Unlock()
	if err != nil {
		if p.metrics != nil {
			err = errors.Join(err, p.metrics.unregister())
		}
		return nil, tenancy.Wrap(op, "", err)
	}
	return p, nil
}

// complete fills in defaults.
func (o *Options) complete() error {
	for _, each := range []struct {
		name      string
		n         *int
		otherwise int
	}{
		{"Budget", &o.Budget, 50}, {"Shared", &o.Shared, 0}, {"MaxConns", &o.MaxConns, 0}, {"MinIdle", &o.MinIdle, 0},
		{"MaxDials", &o.MaxDials, 6}, {"MaxQueue", &o.MaxQueue, 1000}, {"TenantMetrics", &o.TenantMetrics, 0},
	} {
		if *each.n < 0 {
			return fmt.Errorf("%w: %s %d, want it not negative", tenancy.ErrInvalid, each.name, *each.n)
		}
		if *each.n == 0 {
			*each.n = each.otherwise
		}
	}
	if o.MaxWait == 0 {
		o.MaxWait = 10 * time.Second
	}
	if o.MaxWait < 0 {
		return fmt.Errorf("%w: MaxWait %v", tenancy.ErrInvalid, o.MaxWait)
	}
	shared := o.Shared > 0
	for _, s := range o.Servers {
		shared = shared || s.Shared > 0
	}
	if shared != (o.Lender != nil) {
		return fmt.Errorf("%w: set Lender and Shared together", tenancy.ErrInvalid)
	}
	if o.MaxLifetime == 0 {
		o.MaxLifetime = time.Hour
	}
	if o.MaxIdleTime == 0 {
		o.MaxIdleTime = 30 * time.Minute
	}
	if o.MaxLag == 0 {
		o.MaxLag = 5 * time.Second
	}
	o.Logger = logs.Or(o.Logger)
	return nil
}

// wire returns what the options say of each connection.
func (o *Options) wire() wire.Options {
	return wire.Options{
		Keep: o.KeepSessions, Wait: o.MaxWait, Observer: o.Observer, OnSession: o.hook(), Log: o.Logger,
		Busy: busy, WrongDatabase: wrongDatabase,
	}
}

// DB returns the database of the tenant that the context carries. It does no
// I/O: a server that does not answer shows at the first query, with an error
// that wraps [tenancy.ErrUnavailable]. The caller does not close it.
//
// In a context of [tenancy.WithReadOnly] it is a database whose transactions are
// read-only: a write is an error of the server's, unless a statement takes that back
// on purpose. Its connections are others than those that write; each kind has no more
// than [Options.MaxConns], and both are in the server's budget.
//
// A handle may be kept, but it serves its own tenant alone: a statement, transaction
// or ping whose context carries another tenant, or is read-only while the handle can
// write, is an error that wraps [tenancy.ErrForbidden]. To keep a handle is to keep the
// *sqlx.DB, and not only the *sql.DB in it; see [Pool.Forget].
//
// DB itself returns errors that wrap [tenancy.ErrNoTenant]; [tenancy.ErrUnavailable] if the
// placement names no server of this pool; [tenancy.ErrInvalid] if the context is read-only
// and the engine has not the ability [driver.ReadOnly]; [tenancy.ErrClosed] after Close.
func (p *Pool) DB(ctx context.Context) (*sqlx.DB, error) {
	t, err := tenancy.Require(ctx)
	if err != nil {
		return nil, tenancy.Wrap("dbpool.Pool.DB", "", err)
	}
	return p.For(ctx, t)
}

// For returns the database of the given tenant, in whatever status it is. See
// [Pool.DB]. A context that carries another tenant works here, but not with the
// handle: take [tenancy.NewContext] for its statements. When the record names another place than before, the handles that
// were given out lead there from then on; connections to the old place end
// after their current use. The same happens with a record of a tenant that was deleted and
// made again under its ID; from then on the old record is an error that wraps
// [tenancy.ErrUnavailable]. When the record's SchemaVersion is another one than
// before, the tenant's connections end after their current use, too. A handle cannot follow a tenant to an engine with
// another driver: it then fails with an error that wraps
// [tenancy.ErrClosed]. It is closed when nobody holds the *sqlx.DB any more, as after
// [Pool.Forget].
func (p *Pool) For(ctx context.Context, t *tenancy.Tenant) (*sqlx.DB, error) {
	if t == nil {
		return nil, tenancy.Wrap("dbpool.Pool.For", "", fmt.Errorf("%w: no tenant", tenancy.ErrInvalid))
	}
	readOnly := tenancy.IsReadOnly(ctx)
	p.mu.RLock()
	h := p.handles[t.ID]
	if h.serves(t) {
		db := h.db
		if readOnly {
			db = nil
			if r := h.reader(h.server, true); r != nil {
				db = r.db
			}
		}
		if db != nil {
			p.mu.RUnlock()
			return db, nil
		}
	}
	p.mu.RUnlock()
	db, err := p.open(t)
	if err == nil && readOnly {
		db, err = p.openReadOnly(t)
	}
	return db, tenancy.Wrap("dbpool.Pool.For", t.ID, err)
}

func (p *Pool) open(t *tenancy.Tenant) (*sqlx.DB, error) {
	c := p.connsOf(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, tenancy.ErrClosed
	}
	h := p.handles[t.ID]
	if h.serves(t) {
		return h.db, nil // somebody was faster
	}
	s, err := p.server(t)
	if err != nil {
		return nil, err
	}
	again := h != nil && !h.sameTenant(t)
	if again && t.CreatedAt.Before(h.created) {
		return nil, fmt.Errorf("%w: the record is of a tenant that was deleted, and made again since", tenancy.ErrUnavailable)
	}
	if h == nil || h.connector.closed.Load() || h.db.DriverName() != s.engine.DriverName() {
		fresh, err := p.newHandle(t, s, c, false)
		if err != nil {
			return nil, err
		}
		if h != nil && h.db.DriverName() == fresh.db.DriverName() && h.placement == t.Placement && !again {
			fresh.readers, h.readers = h.readers, nil // only this one was closed
		}
		if h != nil {
			h.all(func(h *handle) { p.point(h, nil); h.closeUnused() })
		}
		p.handles[t.ID] = fresh
		return fresh.db, nil
	}
	moved := h.placement != t.Placement || again
	if moved { // or it would lead to the old place under the new record
		if _, err := s.engine.Connector(t.Placement.Database); err != nil {
			return nil, err
		}
	}
	migrated := h.schema != t.SchemaVersion // what connections prepared may be of the old schema
	h.all(func(h *handle) {
		h.placement, h.version, h.schema, h.created, h.conns = t.Placement, t.Version, t.SchemaVersion, t.CreatedAt, c
		if moved {
			err = errors.Join(err, p.repoint(h, s)) // readers, too, until they are asked for again
			return
		}
		h.connector.resize(orElse(c, h.server.conns))
		if migrated {
			h.connector.renew()
		}
	})
	return h.db, err
}

// server returns the server of a tenant, whose record must have an ID: a marker
// without one would be anybody's. The caller has the lock.
func (p *Pool) server(t *tenancy.Tenant) (*server, error) {
	if t == nil {
		return nil, fmt.Errorf("%w: no tenant", tenancy.ErrInvalid)
	}
	if err := t.ID.Validate(); err != nil {
		return nil, err
	}
	if s, ok := p.servers[t.Placement.Server]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("%w: no server is called %q", tenancy.ErrUnavailable, t.Placement.Server)
}

// With runs fn with a connection to the database of the context's tenant, which
// goes back when fn returns or panics. Where fn leaves rows or a transaction open, With
// does not wait for them: the connection goes back when they end, such as with their
// context.
func (p *Pool) With(ctx context.Context, fn func(*sqlx.Conn) error) error {
	db, err := p.DB(ctx)
	if err != nil {
		return err
	}
	conn, err := db.Connx(ctx)
	if err != nil {
		return err
	}
	defer giveBack(conn)
	_ = conn.Raw(func(c any) error {
		c.(*wire.Conn).Hold()
		return nil
	})
	return fn(conn)
}

// giveBack closes a connection, in the background where rows or a transaction are open,
// because database/sql waits until they end.
func giveBack(conn *sqlx.Conn) {
	busy := false
	_ = conn.Raw(func(c any) error {
		busy = c.(*wire.Conn).Busy()
		return nil
	})
	if busy {
		go func() { _ = conn.Close() }()
		return
	}
	_ = conn.Close()
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

// Renew ends the tenant's connections, those in use after their current use, so that each
// use after it finds a new one. Call it after a migration, for example: connections keep plans
// of prepared statements.
func (p *Pool) Renew(id tenancy.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.handles[id]; h != nil {
		h.all(func(h *handle) { h.connector.renew() })
	}
}

// Forget ends the tenant's connections, those in use after their current use,
// and what the pool knows of the tenant. It is for tenants whose database goes
// away. A handle that somebody holds still dials when it is used. When nobody holds its
// *sqlx.DB any more, the garbage collector closes it, and so the *sql.DB in it fails,
// though somebody may have kept that one: a library that takes the *sql.DB wants the
// *sqlx.DB kept beside it.
func (p *Pool) Forget(id tenancy.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.handles[id]
	if h == nil {
		return
	}
	delete(p.handles, id)
	h.all(func(h *handle) {
		h.server.missing.Delete(h.connector)
		h.connector.renew()
		p.keepInUse(id, h.connector.lane())
		h.closeUnused()
	})
}

// Close ends all connections, those in use after their current use, and all
// handles, and waits until dials and closes in flight have ended. Requests that
// wait get an error that wraps [tenancy.ErrClosed]. It may be called again.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	var gone []*sqlx.DB
	for _, h := range p.handles {
		h.all(func(h *handle) { gone = append(gone, h.db) })
	}
	p.handles = map[tenancy.ID]*handle{}
	p.mu.Unlock()
	var closing sync.WaitGroup
	for _, b := range p.budgets() {
		closing.Go(b.Close) // no server waits for the network of another
	}
	closing.Wait()
	var errs []error
	if p.metrics != nil {
		errs = append(errs, p.metrics.unregister())
	}
	for _, db := range gone {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}
