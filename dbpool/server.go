package dbpool

import (
	"cmp"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
)

// ServerOptions are the options of one server. Zero means what [Options] say.
type ServerOptions struct {
	// Budget is the most physical connections to this server.
	Budget int
	// BudgetOf names another server, whose budget this one shares: the same
	// machine under another address or with other credentials. Default: the
	// server has a budget of its own.
	BudgetOf string
	// MaxConns is the most connections to one tenant's database.
	MaxConns int
}

// server is one of the pool's servers.
type server struct {
	name   string
	engine Engine // guarded by Pool.mu
	group  *group
	conns  conns // of its tenants

	// What follows is guarded by the group's lock.
	breaker breaker
	dialing int
}

// mayDial reports whether the breaker lets a dial through.
func (s *server) mayDial(now time.Time) bool {
	return !s.breaker.tripped() || s.dialing == 0 && !now.Before(s.breaker.retryAt)
}

// addServers makes the servers of [New], those with a budget of their own first.
func (p *Pool) addServers(engines map[string]Engine) error {
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
	return nil
}

func (p *Pool) makeServer(name string, e Engine, o ServerOptions) (*server, error) {
	if e == nil {
		return nil, fmt.Errorf("%w: server %q has no engine", tenancy.ErrInvalid, name)
	}
	if o.Budget < 0 || o.MaxConns < 0 || o.BudgetOf != "" && o.Budget != 0 {
		return nil, fmt.Errorf("%w: server %q: budget %d, of %q, %d connections for a tenant", tenancy.ErrInvalid, name, o.Budget, o.BudgetOf, o.MaxConns)
	}
	var g *group
	if o.BudgetOf != "" {
		of, ok := p.servers[o.BudgetOf]
		if !ok || p.opts.Servers[o.BudgetOf].BudgetOf != "" {
			return nil, fmt.Errorf("%w: server %q: no server with a budget of its own is called %q", tenancy.ErrInvalid, name, o.BudgetOf)
		}
		g = of.group
	} else {
		g = newGroup(limits{
			budget: cmp.Or(o.Budget, p.opts.Budget), dials: p.opts.MaxDials, queue: p.opts.MaxQueue, wait: p.opts.MaxWait,
		})
	}
	c := conns{most: cmp.Or(o.MaxConns, p.opts.MaxConns, max(1, g.limits.budget/2)), reserve: p.opts.MinIdle}
	return newServer(name, e, g, c), nil
}

func newServer(name string, e Engine, g *group, c conns) *server {
	return &server{name: name, engine: e, group: g, conns: c, breaker: breaker{trip: serverTrip}}
}

// connsOf returns what the host says of a tenant's connections.
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
