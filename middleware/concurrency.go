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
	// Limit returns how many requests of a tenant may be under way at once, and
	// whether there is such a number for it: zero is none, and a negative one has
	// no limit. Default: the record's [tenancy.Tenant.Limits] "concurrency".
	Limit func(t *tenancy.Tenant) (int64, bool)
	// Max is how many may be under way for which there is no such number. Default:
	// 100; negative: no limit.
	Max int
	// Queue is how many of a tenant may wait. Default: 100; negative: none.
	Queue int
	// Wait is how long each may wait. Default: a second; negative: not at all.
	Wait time.Duration
}

const (
	defaultInFlight = 100
	defaultQueue    = 100
	defaultWait     = time.Second
)

// Concurrency lets as many requests of a tenant pass at once, in this process, so
// that one tenant cannot take all its goroutines, connections and memory. A few
// more wait, in the order in which they came, until others are done; one for which
// there is no room, or no end of the waiting in time, is answered as limited, and
// one whose client goes away meanwhile as cancelled.
//
// A request is under way until the handler returns or panics. One that streams, or
// whose connection the handler has hijacked for a websocket, takes its place for as
// long as the handler runs; a handler that leaves the connection to another
// goroutine and returns gives the place back. Applications with long-lived requests give
// these a chain of their own, with another limit.
//
// A request without a tenant passes.
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

// gates are those of all tenants that have requests under way.
type gates struct {
	seed   maphash.Seed
	shards [64]gateShard
}

type gateShard struct {
	mu   sync.Mutex // guards what follows, and what gates hold
	open map[tenancy.ID]*gate
	free []*gate
}

// gate is that of one tenant.
type gate struct {
	limit   int64 // as of the last request
	running int64
	waiting []*waiter // in the order in which they came
}

// waiter is told when the place of another is its own.
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

// enter returns when the request has a place, or says why it has none.
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

// next gives those who wait the places that there are. The caller has the lock.
func (s *gateShard) next(g *gate) {
	for len(g.waiting) > 0 && g.running < g.limit {
		g.running++
		close(g.waiting[0].mine)
		g.waiting = append(g.waiting[:0], g.waiting[1:]...) // a queue is short
	}
}

// quit ends the waiting and reports true, or false if there was a place meanwhile.
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

// take returns a gate that nobody uses. The caller has the lock.
func (s *gateShard) take() *gate {
	n := len(s.free)
	if n == 0 {
		return &gate{}
	}
	g := s.free[n-1]
	s.free = s.free[:n-1]
	return g
}

// done forgets a gate that nobody uses any more. The caller has the lock.
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
