package middleware

import (
	"cmp"
	"context"
	"hash/maphash"
	"net/http"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// ConcurrencyOptions are the options of [Concurrency].
type ConcurrencyOptions struct {
	Options
	// Limit returns how many requests of the tenant may run at once, and false if the tenant has no limit of
	// its own. Zero serves no request; a negative number is no limit. Default: [tenancy.Tenant.Limits]
	// "concurrency".
	Limit func(t *tenancy.Tenant) (int64, bool)
	// Max is the limit of tenants without one of their own. Negative: no limit. Default: 100.
	Max int
	// Queue is how many requests of one tenant may wait. Negative: none. Default: 100.
	Queue int
	// Wait is how long a request may wait. Negative: not at all. Default: 1 second.
	Wait time.Duration
}

const (
	defaultInFlight = 100
	defaultQueue    = 100
	defaultWait     = time.Second
)

// Concurrency limits how many requests of one tenant run at once in this process, so that one tenant cannot
// take all goroutines, connections and memory. A few more requests wait in the order of their arrival. A
// request that finds the queue full, or waits for too long, is refused with [tenancy.ErrLimited]. A request
// whose client goes away while it waits ends as canceled.
//
// A request runs until its handler returns or panics. A handler that streams, or that has hijacked the
// connection for a websocket, holds its place until it returns; one that passes the connection to another
// goroutine and returns gives its place back. Give long-lived requests a chain of their own with another limit.
//
// A request without a tenant is not limited.
func Concurrency(opts *ConcurrencyOptions) func(http.Handler) http.Handler {
	o := opts.complete()
	g := newGates()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			t, ok := tenancy.FromContext(r.Context())
			if !ok {
				next.ServeHTTP(w, r)
				return
			}
			limit, ok := o.Limit(t)
			if !ok {
				limit = int64(o.Max)
			}
			if limit < 0 {
				next.ServeHTTP(w, r)
				return
			}
			shard := g.of(t.ID)
			entry, err := shard.enter(r.Context(), t.ID, limit, o.Queue, o.Wait)
			if err != nil {
				o.refuse(w, r, tenancy.Wrap("middleware.Concurrency", t.ID, err))
				return
			}
			defer shard.leave(t.ID, entry)
			next.ServeHTTP(w, r)
		})
	}
}

func (o *ConcurrencyOptions) complete() ConcurrencyOptions {
	var c ConcurrencyOptions
	if o != nil {
		c = *o
	}
	c.Options = c.Options.complete()
	if c.Limit == nil {
		c.Limit = func(t *tenancy.Tenant) (int64, bool) { n, ok := t.Limits["concurrency"]; return n, ok }
	}
	c.Max = cmp.Or(c.Max, defaultInFlight)
	c.Queue = cmp.Or(c.Queue, defaultQueue)
	c.Wait = cmp.Or(c.Wait, defaultWait)
	return c
}

// gates holds a gate for each tenant with running requests.
type gates struct {
	seed   maphash.Seed
	shards [64]gateShard
}

type gateShard struct {
	mu   sync.Mutex // guards what follows, and what gates hold
	open map[tenancy.ID]*gate
	free []*gate
}

// gate is the gate of one tenant.
type gate struct {
	limit   int64 // as of the last request
	running int64
	waiting []*waiter // in the order in which they came
}

// waiter is a waiting request. Its channel is closed when it gets a place.
type waiter struct{ mine chan struct{} }

func newGates() *gates {
	g := &gates{seed: maphash.MakeSeed()}
	for i := range g.shards {
		g.shards[i].open = map[tenancy.ID]*gate{}
	}
	return g
}

func (g *gates) of(id tenancy.ID) *gateShard {
	return &g.shards[maphash.String(g.seed, string(id))%uint64(len(g.shards))]
}

// enter returns when the request has a place, or returns why it gets none.
func (s *gateShard) enter(ctx context.Context, id tenancy.ID, limit int64, queue int, wait time.Duration) (*gate, error) {
	s.mu.Lock()
	g := s.open[id]
	if g == nil {
		g = s.take()
		s.open[id] = g
	}
	g.limit = limit
	s.next(g) // the limit may have grown
	if g.running < limit && len(g.waiting) == 0 {
		g.running++
		s.mu.Unlock()
		return g, nil
	}
	if limit == 0 || len(g.waiting) >= queue {
		s.done(id, g)
		s.mu.Unlock()
		err := &LimitedError{Limit: "concurrency", After: time.Second}
		if limit == 0 { // nobody knows when there will be another
			err.After = 0
		}
		return nil, err
	}
	me := &waiter{make(chan struct{})}
	g.waiting = append(g.waiting, me)
	s.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	var err error
	select {
	case <-me.mine:
		return g, nil
	case <-timer.C:
		err = &LimitedError{Limit: "concurrency", After: time.Second}
	case <-ctx.Done():
		err = ctx.Err()
	}
	if s.quit(id, g, me) {
		return nil, err
	}
	// The place came at the same time.
	if ctx.Err() == nil {
		return g, nil
	}
	s.leave(id, g)
	return nil, err
}

// leave gives a place back.
func (s *gateShard) leave(id tenancy.ID, g *gate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.running--
	s.next(g)
	s.done(id, g)
}

// next gives free places to those who wait. The caller holds the lock.
func (s *gateShard) next(g *gate) {
	for len(g.waiting) > 0 && g.running < g.limit {
		g.running++
		close(g.waiting[0].mine)
		g.waiting = append(g.waiting[:0], g.waiting[1:]...) // a queue is short
	}
}

// quit stops waiting and reports true. It reports false if the request has got a place meanwhile.
func (s *gateShard) quit(id tenancy.ID, g *gate, me *waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range g.waiting {
		if w == me {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			s.done(id, g)
			return true
		}
	}
	return false
}

// take returns an unused gate. The caller holds the lock.
func (s *gateShard) take() *gate {
	n := len(s.free)
	if n == 0 {
		return &gate{}
	}
	g := s.free[n-1]
	s.free = s.free[:n-1]
	return g
}

// done forgets a gate that nobody uses. The caller holds the lock.
func (s *gateShard) done(id tenancy.ID, g *gate) {
	const most = 16 // kept for others
	if g.running > 0 || len(g.waiting) > 0 {
		return
	}
	delete(s.open, id)
	if len(s.free) < most {
		s.free = append(s.free, g)
	}
}
