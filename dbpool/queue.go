package dbpool

import (
	"math"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// class is the rank of a waiter. Background work is served when no request of
// the same tenant waits, and is dialled for when no tenant's requests want a dial.
type class uint8

const (
	foreground class = iota
	background
	classes
)

// queue is one tenant at one server: its idle connections and its waiters. The
// group's lock guards it.
type queue struct {
	group  *group
	server *server
	tenant tenancy.ID
	conns  conns

	writer     writer // nil: many may write at a time, or nobody does
	target     *target
	generation uint64 // grows when connections that were made before must end
	waiters    [classes]list[*waiter]
	idle       []*physical // the one used last at the end
	live       int         // of the group's connections, those of this tenant
	closing    int         // of those, the ones that are being closed in nobody's place
	dialing    bool
	moved      bool // nobody comes here any more
	breaker    breaker
	distrusted time.Time // when an idle connection was no good at last

	waits      *node[*queue] // in group.waiting
	wants      *node[*queue] // in group.ring
	wantsClass class

	heat   float64   // uses, decaying
	heatAt time.Time // when heat was right

	pace  pace
	freed time.Time // when a connection became idle
	fresh bool      // the latest use was the first of its connection
}

// conns is how many connections a tenant may have, and how many idle ones no
// other tenant takes from it.
type conns struct {
	most, reserve int
}

func newQueue(s *server, to *target, c conns) *queue {
	q := &queue{group: s.group, server: s, tenant: to.tenant, target: to, conns: c, breaker: breaker{trip: 1}}
	if w, ok := to.engine.(driver.SingleWriter); ok && w.SingleWriter() && !to.readOnly {
		q.writer = make(writer, 1)
	}
	return q
}

// waiter is a request that waits for a connection.
type waiter struct {
	got   chan grant // of capacity 1
	since time.Time
	class class
	node  *node[*waiter] // in queue.waiters, nil when served
}

// grant is what a waiter gets.
type grant struct {
	conn *physical
	err  error
}

// next returns the waiter to serve, or nil.
func (q *queue) next() *waiter {
	for class := range q.waiters {
		if n := q.waiters[class].head; n != nil {
			return n.value
		}
	}
	return nil
}

// remove takes a waiter out.
func (q *queue) remove(w *waiter) {
	q.waiters[w.class].remove(w.node)
	w.node = nil
	if q.waits != nil && q.next() == nil {
		q.group.waiting.remove(q.waits)
		q.waits = nil
		q.leaveRing()
	}
}

// want joins the ring when the queue wants a dial and is not in it, in the
// class of its foremost waiter.
func (q *queue) want(now time.Time) {
	w := q.next()
	if q.wants != nil && w != nil && w.class != q.wantsClass {
		q.leaveRing() // a request came to background work, or has gone
	}
	if q.wants == nil && q.wantsDial(now) {
		q.wantsClass = w.class
		q.wants = q.group.ring[w.class].push(q)
	}
}

func (q *queue) leaveRing() {
	if q.wants != nil {
		q.group.ring[q.wantsClass].remove(q.wants)
		q.wants = nil
	}
}

// wantsDial reports whether another connection would serve the queue better
// than waiting for its own.
func (q *queue) wantsDial(now time.Time) bool {
	w := q.next()
	if w == nil || q.dialing || q.live >= q.conns.most || q.breaker.open(now) {
		return false
	}
	n := q.waiters[foreground].len() + q.waiters[background].len()
	return q.live == 0 || n > crowd*q.live || now.Sub(w.since) >= patience
}

// popIdle takes the connection that was used last, which is the likeliest to be
// warm, and leaves the others to grow cold.
func (q *queue) popIdle() *physical {
	if len(q.idle) == 0 {
		return nil
	}
	c := q.idle[len(q.idle)-1]
	q.group.removeIdle(c)
	return c
}

func (q *queue) pushIdle(c *physical, now time.Time) {
	c.idleSince = now
	q.freed = now
	c.turnBegan = time.Time{}
	c.inQueue = len(q.idle)
	q.idle = append(q.idle, c)
	c.at = len(q.group.idle)
	q.group.idle = append(q.group.idle, c)
}

func (q *queue) unlinkIdle(c *physical) {
	copy(q.idle[c.inQueue:], q.idle[c.inQueue+1:])
	q.idle = q.idle[:len(q.idle)-1]
	for i := c.inQueue; i < len(q.idle); i++ {
		q.idle[i].inQueue = i
	}
}

// halfLife is the time in which a use comes to count half.
const halfLife = 10 * time.Second

// touch counts a use.
func (q *queue) touch(now time.Time) {
	q.heat = q.heatNow(now) + 1
	q.heatAt = now
}

func (q *queue) heatNow(now time.Time) float64 {
	return q.heat * math.Exp2(-now.Sub(q.heatAt).Seconds()/halfLife.Seconds())
}
