package sched

import (
	"math"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/nextuse"
)

// Lane is one tenant's way to a server: its idle connections and its waiters.
type Lane struct {
	server *Server
	budget *Budget // of the server
	tenant tenancy.ID
	db     Database
	killer any

	// What follows is guarded by the budget's lock.
	conns      Conns
	generation uint64 // grows when connections that were made before must end
	waiters    [classes]list[*waiter]
	idle       []*Conn // the one used last at the end
	live       int     // of the budget's connections, those of this tenant
	closing    int     // of those, the ones that are being closed in nobody's place
	inUse      int     // and the ones that somebody has
	dialing    bool
	moved      bool // nobody comes here any more
	breaker    breaker
	distrusted time.Time // when an idle connection was no good at last

	waits      *node[*Lane] // in Budget.waiting
	wants      *node[*Lane] // in Budget.ring
	wantsClass class
	wantsSince time.Time // when it came to stand there

	heat   float64   // uses, decaying
	heatAt time.Time // when heat was right

	visits nextuse.Tenant
}

// NewLane returns a lane of a tenant, or the pool's own if there is none. The connections of
// lanes with an equal killer, which can be compared, can kill each other's sessions; nil: none can.
func NewLane(s *Server, tenant tenancy.ID, db Database, killer any, c Conns) *Lane {
	return &Lane{server: s, budget: s.budget, tenant: tenant, db: db, killer: killer, conns: c, breaker: breaker{trip: 1}}
}

// Server returns the server to which the lane leads.
func (l *Lane) Server() *Server { return l.server }

// has returns how many connections serve the tenant now or soon: without those that are being closed, which
// may take minutes and serve nobody. The caller has the lock.
func (l *Lane) has() int { return l.live - l.closing }

// popIdle takes the connection that was used last, which is the likeliest to be
// warm, and leaves the others to grow cold.
func (l *Lane) popIdle() *Conn {
	if len(l.idle) == 0 {
		return nil
	}
	c := l.idle[len(l.idle)-1]
	l.budget.removeIdle(c)
	return c
}

func (l *Lane) pushIdle(c *Conn, now time.Time) {
	c.idleSince = now
	l.visits.Freed(now)
	c.turnBegan = time.Time{}
	c.inLane = len(l.idle)
	l.idle = append(l.idle, c)
	c.inBudget = len(l.budget.idle)
	l.budget.idle = append(l.budget.idle, c)
}

func (l *Lane) unlinkIdle(c *Conn) {
	copy(l.idle[c.inLane:], l.idle[c.inLane+1:])
	l.idle = l.idle[:len(l.idle)-1]
	for i := c.inLane; i < len(l.idle); i++ {
		l.idle[i].inLane = i
	}
}

// Leave sends the waiters elsewhere with [ErrMoved], and closes all connections, those in use
// after their current use.
func (l *Lane) Leave() {
	l.budget.mu.Lock()
	defer l.budget.mu.Unlock()
	l.moved = true
	l.budget.failAll(l, ErrMoved)
	l.renew()
}

// Renew begins a new generation: connections of the one before are closed, those in use
// after their current use. Waiters stay.
func (l *Lane) Renew() {
	l.budget.mu.Lock()
	defer l.budget.mu.Unlock()
	l.renew()
}

// renew is Renew. The caller has the lock.
func (l *Lane) renew() {
	l.generation++
	for len(l.idle) > 0 {
		c := l.idle[len(l.idle)-1]
		l.budget.removeIdle(c)
		l.budget.discard(c, nil)
	}
}

// Resize sets how many connections the tenant may have from now on. It closes idle
// ones that are too many; the others are closed when they come back.
func (l *Lane) Resize(to Conns) {
	b := l.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	l.conns = to
	for n := l.has() - to.Most; n > 0 && len(l.idle) > 0; n-- {
		c := l.idle[0]
		b.removeIdle(c)
		b.discard(c, nil)
	}
}

// Retry forgets that dials failed: the database is another one now.
func (l *Lane) Retry() {
	l.budget.mu.Lock()
	defer l.budget.mu.Unlock()
	l.breaker.succeeded()
}

// halfLife is the time in which a use comes to count half.
const halfLife = 10 * time.Second

// touch counts a use.
func (l *Lane) touch(now time.Time) {
	l.heat = l.heatNow(now) + 1
	l.heatAt = now
}

func (l *Lane) heatNow(now time.Time) float64 {
	return l.heat * math.Exp2(-now.Sub(l.heatAt).Seconds()/halfLife.Seconds())
}
