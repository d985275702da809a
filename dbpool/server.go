package dbpool

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// ServerOptions are the options of one server. Zero means what [Options] say.
type ServerOptions struct {
	// Budget is the most physical connections to this server.
	Budget int
	// Shared is how many connections to this server instances of the application share.
	Shared int
	// BudgetOf names another server, whose budget this one shares: the same
	// machine under another address or with other credentials. Default: the
	// server has a budget of its own.
	BudgetOf string
	// MaxConns is the most connections to one tenant's database.
	MaxConns int
	// Replicas name the servers that hold copies of this one; see [Pool.Reader].
	// Default: none.
	Replicas []string
}

// server is one of the pool's servers.
type server struct {
	name   string
	budget *budget
	conns  conns // of its tenants

	engine   driver.Engine // guarded by Pool.mu, as era
	era      int           // how many engines it had before
	replicas []*server
	self     *connector               // reaches the server itself, if it follows another or is followed
	progress atomic.Pointer[progress] // of a replica

	// What follows is guarded by the budget's lock.
	breaker   breaker
	switching breaker // keeps from switching connections where that fails
	dialing   int
}

func newServer(name string, e driver.Engine, b *budget, c conns) *server {
	return &server{name: name, engine: e, budget: b, conns: c, breaker: breaker{trip: serverTrip}, switching: breaker{trip: serverTrip}}
}

// mayDial reports whether the breaker lets a dial of the lane's tenant through.
func (s *server) mayDial(l *lane, now time.Time) bool {
	return !s.breaker.tripped() || s.dialing == 0 && !now.Before(s.breaker.probeAt(l.breaker.failing(now)))
}

// up reports whether the server's breaker is closed.
func (s *server) up() bool {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	return !s.breaker.tripped()
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
	if o.Budget < 0 || o.Shared < 0 || o.MaxConns < 0 || o.BudgetOf != "" && (o.Budget != 0 || o.Shared != 0) {
		return nil, fmt.Errorf("%w: server %q: negative numbers, or two budgets", tenancy.ErrInvalid, name)
	}
	b, err := p.groupFor(name, o)
	if err != nil {
		return nil, err
	}
	all := b.limits.budget + b.loan.total
	c := conns{most: cmp.Or(o.MaxConns, p.opts.MaxConns, max(1, all/2)), reserve: p.opts.MinIdle}
	return newServer(name, e, b, c), nil
}

func (p *Pool) groupFor(name string, o ServerOptions) (*budget, error) {
	if o.BudgetOf != "" {
		of, ok := p.servers[o.BudgetOf]
		if !ok || p.opts.Servers[o.BudgetOf].BudgetOf != "" {
			return nil, fmt.Errorf("%w: server %q: no server with a budget of its own is called %q", tenancy.ErrInvalid, name, o.BudgetOf)
		}
		return of.budget, nil
	}
	b := newBudget(name, limits{
		budget: cmp.Or(o.Budget, p.opts.Budget), dials: p.opts.MaxDials, queue: p.opts.MaxQueue, wait: p.opts.MaxWait,
		life: max(0, p.opts.MaxLifetime), idle: max(0, p.opts.MaxIdleTime),
	})
	if p.opts.Lender != nil {
		b.loan.total = cmp.Or(o.Shared, p.opts.Shared)
	}
	b.metrics = p.metrics
	return b, nil
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
			return fmt.Errorf("%w: server %q: %q is no replica of it", tenancy.ErrInvalid, s.name, name)
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
	e, ok := s.engine.(driver.Replication)
	if !ok {
		return fmt.Errorf("%w: server %q cannot tell how far its data is", tenancy.ErrInvalid, s.name)
	}
	c, err := e.Server()
	if err != nil {
		return err
	}
	if s.self == nil {
		s.self = &connector{driver: c.Driver()}
	}
	s.self.point(p.newLane(s, c, "", "", false, conns{most: 1}))
	return nil
}

// SetServer gives a server another engine: a new address, or new credentials.
// From then on the connections of its tenants are made there, and those of
// before end after their current use; handles stay. A server of an unknown name
// is added, with the options that [New] would give it. Another driver than
// before is an error that wraps [tenancy.ErrInvalid].
func (p *Pool) SetServer(name string, e driver.Engine) error {
	const op = "dbpool.SetServer"
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
		s.engine = e
		s.era++
		s.progress.Store(nil)
		if s.self != nil {
			if err = p.follows(s); err != nil {
				s.engine = before
			}
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
	s.budget.mu.Lock()
	s.breaker = breaker{trip: serverTrip} // the one before said nothing of this engine
	s.budget.mu.Unlock()
	return tenancy.Wrap(op, "", err)
}

// connsOf returns what the application says of a tenant's connections.
func (p *Pool) connsOf(t *tenancy.Tenant) conns {
	if p.opts.TenantConns == nil {
		return conns{}
	}
	least, most := p.opts.TenantConns(t)
	return conns{most: max(0, most), reserve: max(0, least)}
}

// or returns c with zeros replaced.
func (c conns) or(otherwise conns) conns {
	return conns{most: cmp.Or(c.most, otherwise.most), reserve: cmp.Or(c.reserve, otherwise.reserve)}
}
