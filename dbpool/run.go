package dbpool

import (
	"context"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
)

// Run does what the pool does beside requests, until the context ends; then it
// returns nil. It borrows connections from [Options.Lender], and gives them back at the end, sees
// how far replicas are, and closes idle connections that are too old. Run is called
// once.
func (p *Pool) Run(ctx context.Context) error {
	var work errgroup.Group
	if p.opts.MaxLifetime > 0 || p.opts.MaxIdleTime > 0 {
		work.Go(func() error { p.age(ctx); return nil })
	}
	if p.opts.Lender != nil {
		work.Go(func() error { p.borrow(ctx); return nil })
	}
	p.mu.RLock()
	for _, s := range p.servers {
		if len(s.replicas) > 0 {
			work.Go(func() error { p.follow(ctx, s); return nil })
		}
	}
	p.mu.RUnlock()
	<-ctx.Done()
	return work.Wait()
}

// allServers returns the servers, in no order.
func (p *Pool) allServers() []*server {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Collect(maps.Values(p.servers))
}

// budgets returns the budgets of all servers, in no order.
func (p *Pool) budgets() []*sched.Budget {
	seen := map[*sched.Budget]bool{}
	for _, s := range p.allServers() {
		seen[s.Budget()] = true
	}
	return slices.Collect(maps.Keys(seen))
}
