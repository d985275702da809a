package middleware

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// slots has a slot for each tenant with running or waiting requests.
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
	s := &slots{seed: maphash.MakeSeed()}
	for i := range s.shards {
		s.shards[i].open = map[tenancy.ID]*slot{}
	}
	return s
}

func (s *slots) of(id tenancy.ID) *slotShard {
	return &s.shards[maphash.String(s.seed, string(id))%uint64(len(s.shards))]
}

// enter returns when the request has a place, or returns why it gets none.
func (sh *slotShard) enter(ctx context.Context, id tenancy.ID, limit int64, queue int, wait time.Duration) (*slot, error) {
	sh.mu.Lock()
	s := sh.open[id]
	if s == nil {
		s = sh.take()
		sh.open[id] = s
	}
	s.limit = limit
	sh.next(s) // the limit may have grown
	if s.running < limit && len(s.waiting) == 0 {
		s.running++
		sh.mu.Unlock()
		return s, nil
	}
	if limit == 0 || len(s.waiting) >= queue {
		sh.done(id, s)
		sh.mu.Unlock()
		err := &LimitedError{Limit: "concurrency", After: time.Second}
		if limit == 0 { // nobody knows when there will be another
			err.After = 0
		}
		return nil, err
	}
	me := &waiter{make(chan struct{})}
	s.waiting = append(s.waiting, me)
	sh.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	var err error
	select {
	case <-me.mine:
		return s, nil
	case <-timer.C:
		err = &LimitedError{Limit: "concurrency", After: time.Second}
	case <-ctx.Done():
		err = ctx.Err()
	}
	if sh.quit(id, s, me) {
		return nil, err
	}
	// The place came at the same time.
	if ctx.Err() == nil {
		return s, nil
	}
	sh.leave(id, s)
	return nil, err
}

// leave gives a place back.
func (sh *slotShard) leave(id tenancy.ID, s *slot) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.running--
	sh.next(s)
	sh.done(id, s)
}

// next gives free places to those who wait. The caller holds the lock.
func (sh *slotShard) next(s *slot) {
	for len(s.waiting) > 0 && s.running < s.limit {
		s.running++
		close(s.waiting[0].mine)
		s.waiting = append(s.waiting[:0], s.waiting[1:]...) // a queue is short
	}
}

// quit stops waiting and reports true. It reports false if the request has got a place meanwhile.
func (sh *slotShard) quit(id tenancy.ID, s *slot, me *waiter) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for i, w := range s.waiting {
		if w == me {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			sh.done(id, s)
			return true
		}
	}
	return false
}

// take returns an unused slot. The caller holds the lock.
func (sh *slotShard) take() *slot {
	n := len(sh.free)
	if n == 0 {
		return &slot{}
	}
	s := sh.free[n-1]
	sh.free = sh.free[:n-1]
	return s
}

// done forgets a slot that nobody uses. The caller holds the lock.
func (sh *slotShard) done(id tenancy.ID, s *slot) {
	const most = 16 // kept for others
	if s.running > 0 || len(s.waiting) > 0 {
		return
	}
	delete(sh.open, id)
	if len(sh.free) < most {
		sh.free = append(sh.free, s)
	}
}
