package cache

import (
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// refSet remembers refs, by their hash, in two sets that take turns: a ref is
// remembered for between half of its life and all of it, or until as many others
// came as a set holds. Its methods may be called by many goroutines at once.
type refSet struct {
	life int64 // nanoseconds; 0 remembers nothing
	size int   // of each set

	mu       sync.Mutex // guards what follows
	now, old map[uint64]struct{}
	began    int64 // when now was
	before   int64 // when old was
}

func newRefSet(life time.Duration, size int) *refSet {
	return &refSet{life: int64(life), size: size, now: map[uint64]struct{}{}, old: map[uint64]struct{}{}}
}

// turn lets the sets take turns, when it is time. The caller has the lock.
func (u *refSet) turn(now int64) {
	if now-u.began < u.life/2 && len(u.now) < u.size {
		return
	}
	u.now, u.old = u.old, u.now
	clear(u.now)
	u.began, u.before = now, u.began
	if now-u.before >= u.life {
		clear(u.old)
	}
}

func (u *refSet) has(h uint64, now int64) bool {
	if u.life == 0 {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn(now)
	_, in := u.now[h]
	if !in && now-u.before < u.life {
		_, in = u.old[h]
	}
	return in
}

func (u *refSet) add(h uint64, now int64) {
	if u.life == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn(now)
	u.now[h] = struct{}{}
}

func (u *refSet) remove(h uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.now, h)
	delete(u.old, h)
}

func (u *refSet) clear() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.now)
	clear(u.old)
}

func (u *refSet) len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.now) + len(u.old)
}

// admission lets loads of refs through that may lead nowhere: each takes a token and
// gives it back if there was a tenant. A caller that finds none waits for one, in turn.
type admission struct {
	every time.Duration // a new token
	most  int           // tokens
	queue int           // the most that wait
	wait  time.Duration // the longest

	mu      sync.Mutex // guards what follows
	tokens  int
	last    time.Time // when the last token was made
	waiting []*turnstile
	armed   bool // a timer runs that serves those who wait
}

// turnstile is one that waits for admission.
type turnstile struct {
	open  chan struct{}
	taken bool // open is closed, or nobody waits any more
}

func newAdmission(rate, burst int) *admission {
	return &admission{
		every: max(time.Second/time.Duration(rate), 1), most: burst, tokens: burst, last: time.Now(),
		queue: 4096, wait: time.Second,
	}
}

// enter returns when there is a token, or a [*BusyError].
func (a *admission) enter() error {
	a.mu.Lock()
	a.refill()
	if a.tokens > 0 && len(a.waiting) == 0 {
		a.tokens--
		a.mu.Unlock()
		return nil
	}
	if len(a.waiting) >= a.queue {
		a.mu.Unlock()
		return &BusyError{After: a.wait}
	}
	t := &turnstile{open: make(chan struct{})}
	a.waiting = append(a.waiting, t)
	a.serve()
	a.mu.Unlock()

	timer := time.NewTimer(a.wait)
	defer timer.Stop()
	select {
	case <-t.open:
		return nil
	case <-timer.C:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.taken {
		return nil
	}
	for i, each := range a.waiting {
		if each == t {
			a.waiting = append(a.waiting[:i], a.waiting[i+1:]...)
			break
		}
	}
	return &BusyError{After: a.wait}
}

// back gives a token back that was not needed.
func (a *admission) back() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tokens < a.most {
		a.tokens++
	}
	a.serve()
}

// refill makes the tokens that are due. The caller has the lock.
func (a *admission) refill() {
	n := time.Since(a.last) / a.every
	a.last = a.last.Add(n * a.every)
	a.tokens += int(min(n, time.Duration(a.most-a.tokens)))
}

// serve gives tokens to those who wait, and sees that it is called when there is
// another. The caller has the lock.
func (a *admission) serve() {
	a.refill()
	for a.tokens > 0 && len(a.waiting) > 0 {
		a.tokens--
		a.waiting[0].taken = true
		close(a.waiting[0].open)
		a.waiting = a.waiting[1:]
	}
	if len(a.waiting) == 0 || a.armed {
		return
	}
	a.armed = true
	time.AfterFunc(time.Until(a.last.Add(a.every)), func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.armed = false
		a.serve()
	})
}

// BusyError says that a ref was not looked up because too many lookups found no tenant. It wraps
// [tenancy.ErrUnavailable].
type BusyError struct {
	// After is when to try again.
	After time.Duration
}

// Error returns the text for logs.
func (e *BusyError) Error() string {
	return "not looked up: too many look-ups of names that nobody has"
}

// RetryAfter returns when to try again, for the header of that name.
func (e *BusyError) RetryAfter() time.Duration { return e.After }

// Unwrap returns [tenancy.ErrUnavailable].
func (e *BusyError) Unwrap() error { return tenancy.ErrUnavailable }
