package dbpool

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
	"github.com/artflow-studio/tenancy/dbpool/internal/wire"
)

// ServerOptions are the options of one server.
type ServerOptions struct {
	// Budget is the most physical connections to this server. Default: that of [Options].
	Budget int
	// Shared is how many connections to this server instances of the application share.
	// Default: that of [Options].
	Shared int
	// BudgetOf names another server, whose budget this one shares: the same server
	// under another address or with other credentials, so that it has the same
	// databases. Default: the server has a budget of its own.
	BudgetOf string
	// MaxConns is the most connections to one tenant's database. Default: that of [Options].
	MaxConns int
	// Replicas name the servers that hold copies of this one; see [Pool.Reader].
	// Default: none.
	Replicas []string
}

// server is one of the pool's servers.
type server struct {
	*sched.Server
	conns sched.Conns // of its tenants

	engine   *wire.Engine // guarded by Pool.mu
	replicas []*server
	self     *connector               // reaches the server itself, if it follows another or is followed
	progress atomic.Pointer[progress] // of a read replica
	missing  sync.Map                 // of a read replica: the connectors of databases there that could not be reached
}

// addServers makes the servers of [New]: those with a budget of their own first,
// then those that share one, then who is whose replica.
func (p *Pool) addServers(engines map[string]driver.Engine) error {
	for name := range p.opts.Servers {
		if _, ok := engines[name]; !ok {
			return fmt.Errorf("%w: options for server %q, which has no engine", tenancy.ErrInvalid, name)
		}
	}
	for _, own := range []bool{true, false} {
		for name, e := range engines {
			o := p.opts.Servers[name]
			if own != (o.BudgetOf == "") {
				continue
			}
			s, err := p.makeServer(name, e, o)
			if err != nil {
				return err
			}
			p.servers[name] = s
		}
	}
	for name, o := range p.opts.Servers {
		if err := p.replicate(p.servers[name], o.Replicas); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pool) makeServer(name string, e driver.Engine, o ServerOptions) (*server, error) {
	if e == nil {
		return nil, fmt.Errorf("%w: server %q has no engine", tenancy.ErrInvalid, name)
	}
	if o.Budget < 0 || o.Shared < 0 || o.MaxConns < 0 {
		return nil, fmt.Errorf("%w: server %q: Budget %d, Shared %d, MaxConns %d, want none negative", tenancy.ErrInvalid, name, o.Budget, o.Shared, o.MaxConns)
	}
	if o.BudgetOf != "" && (o.Budget != 0 || o.Shared != 0) {
		return nil, fmt.Errorf("%w: server %q: BudgetOf %q beside Budget %d and Shared %d, want one of them", tenancy.ErrInvalid, name, o.BudgetOf, o.Budget, o.Shared)
	}
	b, err := p.budgetFor(name, o)
	if err != nil {
		return nil, err
	}
	all := b.Slots()
	c := sched.Conns{Most: cmp.Or(o.MaxConns, p.opts.MaxConns, max(1, all/2)), Reserve: p.opts.MinIdle}
	return &server{Server: sched.NewServer(name, b), engine: wire.NewEngine(e), conns: c}, nil
}

func (p *Pool) budgetFor(name string, o ServerOptions) (*sched.Budget, error) {
	if o.BudgetOf != "" {
		of, ok := p.servers[o.BudgetOf]
		if !ok || p.opts.Servers[o.BudgetOf].BudgetOf != "" {
			return nil, fmt.Errorf("%w: server %q: no server with a budget of its own is called %q", tenancy.ErrInvalid, name, o.BudgetOf)
		}
		return of.Budget(), nil
	}
	opts := sched.Options{
		Slots: cmp.Or(o.Budget, p.opts.Budget), Dials: p.opts.MaxDials, Queue: p.opts.MaxQueue, Wait: p.opts.MaxWait,
		Life: max(0, p.opts.MaxLifetime), Idle: max(0, p.opts.MaxIdleTime),
		Errors: sched.Errors{Busy: busy, Down: down}, Timings: p.metrics.timings(name),
	}
	if p.opts.Lender != nil {
		opts.Lent = cmp.Or(o.Shared, p.opts.Shared)
	}
	return sched.New(name, opts), nil
}

// replicate makes servers the replicas of another.
func (p *Pool) replicate(s *server, names []string) error {
	if len(names) == 0 {
		return nil
	}
	all := []*server{s}
	for _, name := range names {
		r, ok := p.servers[name]
		if !ok || slices.Contains(all, r) || r.engine.DriverName() != s.engine.DriverName() {
			return fmt.Errorf("%w: server %q: %q is no replica of it", tenancy.ErrInvalid, s.Name(), name)
		}
		all = append(all, r)
	}
	for _, r := range all {
		if err := p.follows(r); err != nil {
			return err
		}
	}
	s.replicas = all[1:]
	return nil
}

// follows prepares a server for being followed, or for following another.
func (p *Pool) follows(s *server) error {
	e, ok := s.engine.Engine.(driver.Replication)
	if !ok {
		return fmt.Errorf("%w: server %q cannot tell how far its data is", tenancy.ErrInvalid, s.Name())
	}
	c, err := e.Server()
	if err != nil {
		return err
	}
	if s.self == nil {
		s.self = &connector{driver: c.Driver()}
	}
	s.self.point(p.newDatabase(s, wire.Target{Connector: c}, sched.Conns{Most: 1}))
	return nil
}

// SetServer gives a server another engine: a new address, or new credentials.
// From then on the connections of its tenants are made there, and those of
// before end after their current use; handles stay. A server of an unknown name
// is added, with the options that [New] would give it. Another driver than
// before is an error that wraps [tenancy.ErrInvalid].
func (p *Pool) SetServer(name string, e driver.Engine) error {
	const op = "dbpool.Pool.SetServer"
	if e == nil {
		return tenancy.Wrap(op, "", fmt.Errorf("%w: server %q has no engine", tenancy.ErrInvalid, name))
	}
	p.mu.Lock()
	s, ok := p.servers[name]
	var err error
	switch {
	case p.closed:
		err = tenancy.ErrClosed
	case !ok:
		if s, err = p.makeServer(name, e, ServerOptions{}); err == nil {
			p.servers[name] = s
		}
	case s.engine.DriverName() != e.DriverName():
		err = fmt.Errorf("%w: server %q has the driver %s, not %s", tenancy.ErrInvalid, name, s.engine.DriverName(), e.DriverName())
	default:
		before := s.engine
		s.engine = wire.NewEngine(e)
		if s.self != nil {
			err = p.follows(s)
		}
		if err != nil {
			s.engine = before
		} else {
			s.progress.Store(nil)
		}
	}
	var lead []*handle
	for _, h := range p.handles {
		h.all(func(h *handle) {
			if h.server == s {
				lead = append(lead, h)
			}
		})
	}
	p.mu.Unlock()
	if err != nil {
		return tenancy.Wrap(op, "", err)
	}
	for _, h := range lead { // one by one: there may be many, and requests come
		p.mu.Lock()
		if h.server == s && !p.closed {
			err = cmp.Or(err, p.repoint(h, s))
		}
		p.mu.Unlock()
	}
	s.Retry() // the failures of before said nothing of this engine
	return tenancy.Wrap(op, "", err)
}

// connsOf returns what the application says of a tenant's connections.
func (p *Pool) connsOf(t *tenancy.Tenant) sched.Conns {
	if p.opts.TenantConns == nil {
		return sched.Conns{}
	}
	least, most := p.opts.TenantConns(t)
	return sched.Conns{Most: max(0, most), Reserve: max(0, least)}
}

// orElse returns c with zeros replaced.
func orElse(c, otherwise sched.Conns) sched.Conns {
	return sched.Conns{Most: cmp.Or(c.Most, otherwise.Most), Reserve: cmp.Or(c.Reserve, otherwise.Reserve)}
}
