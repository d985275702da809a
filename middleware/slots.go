package middleware

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// slots holds a slot for each tenant with running requests, which each have a place in it.
type slots struct {
	seed   maphash.Seed
	shards [64]slotShard
}

type slotShard struct {
	mu   sync.Mutex // guards what follows, and what a slot holds
	open map[tenancy.ID]*slot
	free []*slot
}

// slot counts the requests of one tenant.
type slot struct {
	limit   int64 // as of the last request
	running int64
	waiting []*waiter // in the order in which they came
}

// waiter is a waiting request. Its channel is closed when it gets a place.
type waiter struct{ mine chan struct{} }

func newSlots() *slots {
	g := &slots{seed: maphash.MakeSeed()}
	for i := range g.shards {
		g.shards[i].open = map[tenancy.ID]*slot{}
	}
	return g
}

func (g *slots) of(id tenancy.ID) *slotShard {
	return &g.shards[maphash.String(g.seed, string(id))%uint64(len(g.shards))]
}

// enter returns when the request has a place, or returns why it gets none.
func (s *slotShard) enter(ctx context.Context, id tenancy.ID, limit int64, queue int, wait time.Duration) (*slot, error) {
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
func (s *slotShard) leave(id tenancy.ID, g *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.running--
	s.next(g)
	s.done(id, g)
}

// next gives free places to those who wait. The caller holds the lock.
func (s *slotShard) next(g *slot) {
	for len(g.waiting) > 0 && g.running < g.limit {
		g.running++
		close(g.waiting[0].mine)
		g.waiting = append(g.waiting[:0], g.waiting[1:]...) // a queue is short
	}
}

// quit stops waiting and reports true. It reports false if the request has got a place meanwhile.
func (s *slotShard) quit(id tenancy.ID, g *slot, me *waiter) bool {
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

// take returns an unused slot. The caller holds the lock.
func (s *slotShard) take() *slot {
	n := len(s.free)
	if n == 0 {
		return &slot{}
	}
	g := s.free[n-1]
	s.free = s.free[:n-1]
	return g
}

// done forgets a slot that nobody uses. The caller holds the lock.
func (s *slotShard) done(id tenancy.ID, g *slot) {
	const most = 16 // kept for others
	if g.running > 0 || len(g.waiting) > 0 {
		return
	}
	delete(s.open, id)
	if len(s.free) < most {
		s.free = append(s.free, g)
	}
}
