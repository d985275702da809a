package sched

import "time"

// Conn is a connection's place in a budget: whose it is, and when it was given back.
type Conn struct {
	Wire Wire // set once, before anybody gets the connection

	lane       *Lane
	generation uint64
	endsAt     time.Time // when it has lived long enough; zero: never
	uses       int64     // how often it was acquired; of the one who has it

	// What follows is guarded by the budget's lock.
	idleSince time.Time // when it was dialled or given back; of one in use, before that use
	turnBegan time.Time // when its tenant began to hand it on while others wait
	inBudget  int       // its index in Budget.idle
	inLane    int       // and in Lane.idle
}

// IdleSince returns when the user before gave the connection back, or when it was dialled, for the one
// who has it now.
func (c *Conn) IdleSince() time.Time { return c.idleSince }

// FirstUse reports whether nobody had the connection before the one who has it now.
func (c *Conn) FirstUse() bool { return c.uses == 1 }

// Release gives the connection back. One that is not reusable is closed. The caller does not
// touch it afterwards.
func (c *Conn) Release(reusable bool) { c.lane.budget.release(c, reusable) }

// Background runs fn in a goroutine for which [Budget.Close] waits.
func (c *Conn) Background(fn func()) {
	b := c.lane.budget
	b.mu.Lock()
	b.tasks++
	b.mu.Unlock()
	go func() {
		fn()
		b.mu.Lock()
		b.done()
		b.mu.Unlock()
	}()
}

// Suspects takes the idle connections to the same server that have been idle for at least as
// long as this one, which has died without a sign. The caller checks and releases each of them.
func (c *Conn) Suspects() []*Conn {
	b := c.lane.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	var suspects []*Conn
	for _, o := range b.idle {
		if o.lane.server == c.lane.server && !o.idleSince.After(c.idleSince) {
			suspects = append(suspects, o)
		}
	}
	for _, o := range suspects {
		b.removeIdle(o)
		b.take(o)
	}
	return suspects
}

// distrustTime is for how long a connection that was no good makes others
// suspicious.
const distrustTime = 10 * time.Second

// Distrust notes that the connection was no good, though it looked so when it was acquired.
// After two such connections of a lane that had been idle, all its idle connections end: the
// next is new. One of an older generation says nothing of those since.
func (c *Conn) Distrust() {
	l, b := c.lane, c.lane.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.uses <= 1 || c.generation != l.generation {
		return
	}
	now := time.Now()
	if !l.distrusted.IsZero() && now.Sub(l.distrusted) < distrustTime {
		l.renew()
	}
	l.distrusted = now
}

// Outdated notes that what the connection keeps of earlier statements is out of date: the lane
// begins a new generation, unless it did so since the connection was made.
func (c *Conn) Outdated() {
	l, b := c.lane, c.lane.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.generation == l.generation {
		l.renew()
	}
}
