package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"log/slog"
	"math"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
	"github.com/artflow-studio/tenancy/internal/nextuse"
)

// class is the rank of a waiter. Background work is served when no request of
// the same tenant waits, and is dialled for when no tenant's requests want a dial.
type class uint8

const (
	foreground class = iota
	background
	classes
)

// lane is one tenant's way to a server: what its engine can do there, its idle
// connections, and its waiters.
type lane struct {
	server    *server
	budget    *budget // of the server
	tenant    tenancy.ID
	database  string
	readOnly  bool
	connector sqldriver.Connector

	// The engine, and what it can do; nil if it has not the ability.
	engine     driver.Engine
	era        int // which of the server's engines it is
	cleaner    driver.SessionCleaner
	closes     driver.CloseNotifier
	faults     driver.FaultClassifier
	files      driver.FileBacked
	settings   driver.SettingsChecker
	switcher   driver.Switcher
	killer     driver.SessionKiller
	failures   driver.FailureClassifier
	sends      driver.SendCounter
	interrupts driver.Interrupter

	statements *sqltext.Scanner
	keep       bool                                 // what a session holds, for the next user
	onSession  func(context.Context, Session) error // nil: none
	observer   Observer                             // nil: none
	texts      TextObserver                         // nil: the observer wants none
	log        *slog.Logger
	writer     writer // nil: many may write at a time, or nobody does

	// What follows is guarded by the budget's lock.
	conns      conns
	generation uint64 // grows when connections that were made before must end
	waiters    [classes]list[*waiter]
	idle       []*conn // the one used last at the end
	live       int     // of the budget's connections, those of this tenant
	closing    int     // of those, the ones that are being closed in nobody's place
	dialing    bool
	moved      bool // nobody comes here any more
	breaker    breaker
	distrusted time.Time // when an idle connection was no good at last

	waits      *node[*lane] // in budget.waiting
	wants      *node[*lane] // in budget.ring
	wantsClass class

	heat   float64   // uses, decaying
	heatAt time.Time // when heat was right

	visits nextuse.Tenant
}

// conns is how many connections a tenant may have, and how many idle ones no
// other tenant takes from it.
type conns struct {
	most, reserve int
}

// newLane returns a lane to a database at a server, and to the server itself if there is
// no tenant. The caller has the pool's lock.
func (p *Pool) newLane(s *server, connector sqldriver.Connector, tenant tenancy.ID, database string, readOnly bool, c conns) *lane {
	l := &lane{
		server: s, budget: s.budget, tenant: tenant, database: database, readOnly: readOnly, connector: connector, era: s.era,
		statements: p.statementsOf(s.engine), keep: p.opts.KeepSessions, onSession: p.opts.OnSession, log: p.opts.Logger,
		conns: c, breaker: breaker{trip: 1},
	}
	if tenant != "" { // or it is the pool's own
		l.observer = p.opts.Observer
		l.texts, _ = l.observer.(TextObserver)
	}
	l.findAbilities(s.engine)
	return l
}

// use finds what the lane's engine can do.
func (l *lane) findAbilities(e driver.Engine) {
	l.engine = e
	l.cleaner, _ = e.(driver.SessionCleaner)
	l.closes, _ = e.(driver.CloseNotifier)
	l.faults, _ = e.(driver.FaultClassifier)
	l.files, _ = e.(driver.FileBacked)
	l.settings, _ = e.(driver.SettingsChecker)
	l.switcher, _ = e.(driver.Switcher)
	l.killer, _ = e.(driver.SessionKiller)
	l.failures, _ = e.(driver.FailureClassifier)
	l.sends, _ = e.(driver.SendCounter)
	l.interrupts, _ = e.(driver.Interrupter)
	if w, ok := e.(driver.SingleWriter); ok && w.SingleWriter() && !l.readOnly {
		l.writer = make(writer, 1)
	}
}

// waiter is a request that waits for a connection.
type waiter struct {
	got   chan grant // of capacity 1
	since time.Time
	class class
	node  *node[*waiter] // in lane.waiters, nil when served
}

// grant is what a waiter gets.
type grant struct {
	conn *conn
	err  error
}

// next returns the waiter to serve, or nil.
func (l *lane) next() *waiter {
	for class := range l.waiters {
		if n := l.waiters[class].head; n != nil {
			return n.value
		}
	}
	return nil
}

// remove takes a waiter out.
func (l *lane) remove(w *waiter) {
	l.waiters[w.class].remove(w.node)
	w.node = nil
	if l.waits != nil && l.next() == nil {
		l.budget.waiting.remove(l.waits)
		l.waits = nil
		l.leaveRing()
	}
}

// want joins the ring when the lane wants a dial and is not in it, in the
// class of its foremost waiter.
func (l *lane) want(now time.Time) {
	w := l.next()
	if l.wants != nil && w != nil && w.class != l.wantsClass {
		l.leaveRing() // a request came to background work, or has gone
	}
	if l.wants == nil && l.wantsDial(now) {
		l.wantsClass = w.class
		l.wants = l.budget.ring[w.class].push(l)
	}
}

func (l *lane) leaveRing() {
	if l.wants != nil {
		l.budget.ring[l.wantsClass].remove(l.wants)
		l.wants = nil
	}
}

// wantsDial reports whether another connection would serve the lane better
// than waiting for its own.
func (l *lane) wantsDial(now time.Time) bool {
	w := l.next()
	if w == nil || l.dialing || l.live >= l.conns.most || l.breaker.open(now) {
		return false
	}
	n := l.waiters[foreground].len() + l.waiters[background].len()
	return l.live == 0 || n > crowd*l.live || now.Sub(w.since) >= patience
}

// popIdle takes the connection that was used last, which is the likeliest to be
// warm, and leaves the others to grow cold.
func (l *lane) popIdle() *conn {
	if len(l.idle) == 0 {
		return nil
	}
	c := l.idle[len(l.idle)-1]
	l.budget.removeIdle(c)
	return c
}

func (l *lane) pushIdle(c *conn, now time.Time) {
	c.idleSince = now
	l.visits.Freed(now)
	c.turnBegan = time.Time{}
	c.inQueue = len(l.idle)
	l.idle = append(l.idle, c)
	c.at = len(l.budget.idle)
	l.budget.idle = append(l.budget.idle, c)
}

func (l *lane) unlinkIdle(c *conn) {
	copy(l.idle[c.inQueue:], l.idle[c.inQueue+1:])
	l.idle = l.idle[:len(l.idle)-1]
	for i := c.inQueue; i < len(l.idle); i++ {
		l.idle[i].inQueue = i
	}
}

// halfLife is the time in which a use comes to count half.
const halfLife = 10 * time.Second

// touch counts a use.
func (l *lane) touch(now time.Time) {
	l.heat = l.heatNow(now) + 1
	l.heatAt = now
}

func (l *lane) heatNow(now time.Time) float64 {
	return l.heat * math.Exp2(-now.Sub(l.heatAt).Seconds()/halfLife.Seconds())
}
