// Package sched decides who gets the next connection to a server. It knows no database and
// no driver: a [Database] dials and switches for it, and a [Wire] hangs up.
//
// # Who gets the next slot, and why
//
// A [Budget] has a number of slots. A connection takes one from before it is dialled until
// after its server no longer counts it. A [Lane] is one tenant's way to a server: its idle
// connections, and the requests that wait for one. No request dials. It takes an idle
// connection of its lane, or waits there, and is served by whichever comes first:
//
//   - A connection that comes back (release.go) goes to the first waiter of its own lane,
//     requests before work of low priority. There are four exceptions. A session that must be
//     killed over another connection gets it before (orphan.go, helper.go). A connection that is
//     too old, of an old generation, or one too many is closed. And when the tenant has handed it
//     on for the time of a few dials while others want its slot, its turn is over: the
//     connection becomes idle, and has to give up its slot if a dial wants that. Work of low priority
//     has no turn while requests of others want the slot, and takes turns with work like it.
//   - A dial goes to a lane in the ring (ring.go). There stand the lanes that want one more
//     connection: those that have waiters and no connection, and those whose waiters are many
//     or wait for some milliseconds already. Next is the lane with most waiters, because one
//     dial serves them all (a lane that has a connection counts as one with a single waiter); but
//     the lane that has stood there longest goes first when that is twice as long as
//     taking turns would have cost it, however young its first waiter is. Work of low priority has
//     a ring of its own, whose turn comes when nobody in the other can be served. A lane does not stand there while it dials, has
//     all the connections it may have, or has a database that failed just now (breaker.go). It is
//     passed by while its server is taken to be down, or while only its own connections could
//     make room.
//     Not everything that makes a lane want a dial puts it there at once: not a connection that is closed, a
//     larger maximum, or time that passes. A timer looks at all lanes with waiters every five milliseconds
//     while there are any (Budget.tick).
//   - The dial takes a free slot. Without one it takes the slot of the idle connection that
//     is least worth keeping (evict.go): never one that is in use, and last those that a tenant
//     keeps in reserve. Where the database can, that connection is switched to the other tenant
//     instead of being closed.
//
// # Rules
//
// One lock guards a budget and all its lanes, and is never held while a Database or a Wire does
// its work. A decision ([Budget.schedule]) counts its slots at once, under the lock; the work begins
// after that, in a goroutine. A connection has one owner at a time: a request, the budget while
// it is idle, or such a goroutine.
package sched

import (
	"errors"
	"time"
)

// Database is where a lane's connections lead. Its methods are called by many goroutines at
// once; those that return a Wire take their time, and bound it themselves.
type Database interface {
	// Dial makes a connection that is ready for use, for a place in the budget, within a
	// time. Nobody in particular waits for it: it may serve any request of the lane.
	Dial(at *Conn, within time.Duration) (Wire, error)
	// MaySwitch reports whether Switch may be tried with an idle connection of another lane of
	// the same server. It does no I/O: the budget's lock is held.
	MaySwitch(from Wire) bool
	// Switch makes of a connection of another lane one of this lane, faster than Dial. After
	// an error the budget hangs the connection up and dials. [ErrNotSwitchable] says that
	// this connection cannot be switched, which is no sign that others cannot.
	Switch(at *Conn, from Wire) (Wire, error)
	// Fault says what an error of Dial is about. If that is unclear it asks the server, if ask
	// is set.
	Fault(err error, ask bool) Fault
}

// Wire is the physical connection that has a place in the budget.
type Wire interface {
	// Works reports, without I/O, whether the connection is good as far as is known.
	Works() bool
	// HangUp closes the connection, and returns when its server no longer counts it. It may
	// take minutes.
	HangUp()
}

// Fault says what a failed dial is about.
type Fault uint8

// The faults. FaultUnclear may be about one database or about the server; it counts against both.
const (
	FaultUnclear Fault = iota
	FaultDatabase
	FaultServer
)

var (
	// ErrMoved says that nobody comes to a lane any more: its tenant has another.
	ErrMoved = errors.New("the tenant has moved")
	// ErrNotSwitchable says that one connection cannot be switched, and is as it was.
	ErrNotSwitchable = errors.New("not switchable")
)

// Options are those of a budget.
type Options struct {
	Slots int           // physical connections
	Lent  int           // how many more all instances of the application share; 0: none
	Dials int           // in flight at a time
	Queue int           // waiters of one tenant
	Wait  time.Duration // of one waiter
	Life  time.Duration // of a connection; 0: forever
	Idle  time.Duration // how long a connection may be idle; 0: forever

	Errors  Errors
	Timings Timings
}

// Errors make the errors of requests that get no connection, which applications know. They are
// called under the budget's lock.
type Errors struct {
	// Busy says that too many want one, and after what time to try again.
	Busy func(reason string, after time.Duration) error
	// Down says that none is tried, after how many failures, for how long, and the last error.
	Down func(failures int, after time.Duration, err error) error
}

// Timings learn how long things took. They are called without a lock, and may be nil.
type Timings struct {
	Waited func(time.Duration) // a request that got a connection in the end
	Dialed func(time.Duration) // a dial that succeeded
}

// Scope is the name of the pool's spans and metrics.
const Scope = "github.com/artflow-studio/tenancy/dbpool"

// Conns is how many connections a tenant may have, and how many idle ones no other tenant
// takes from it while there are any else to take.
type Conns struct {
	Most, Reserve int
}
