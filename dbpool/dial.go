package dbpool

import (
	sqldriver "database/sql/driver"
	"errors"
	"time"

	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// run begins dials, each in a goroutine that ends with it.
func (b *budget) run(start []plan) {
	for _, d := range start {
		go b.perform(d)
	}
}

// connect makes the connection that a dial is for.
func (b *budget) connect(d plan) (inner sqldriver.Conn, took time.Duration, err error) {
	began := time.Now()
	var unswitched error
	if d.switches {
		if unswitched = d.lane.switchConn(d.victim); unswitched == nil {
			b.switched(d.lane.server)
			return d.victim.inner, time.Since(began), nil
		}
	}
	if d.victim != nil {
		d.victim.closeForGood()
	}
	began = time.Now()
	inner, err = d.lane.dial(max(b.limits.wait, dialTimeout))
	took = time.Since(began)
	if d.switches {
		b.notSwitched(d.lane.server, unswitched, err)
	}
	if err == nil {
		b.dialled(took)
	}
	return inner, took, err
}

// switched counts a connection that was switched.
func (b *budget) switched(s *server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stat.Switches++
	s.switching.succeeded()
}

// notSwitched counts a connection that was dialled because switching failed. Where
// dialing fails too, that says nothing about switching.
func (b *budget) notSwitched(s *server, err, dialing error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stat.Dials++
	if dialing == nil && !errors.Is(err, sqldriver.ErrSkip) {
		s.switching.failed(time.Now(), err)
	}
}

func (b *budget) perform(d plan) {
	inner, took, err := b.connect(d)
	var fault driver.Fault
	if err != nil {
		fault = b.faultOf(d, err)
	}
	now := time.Now()
	c := &conn{inner: inner, lane: d.lane, generation: d.generation, endsAt: b.limits.endOfLife(now)}
	if d.switches && err == nil && inner == d.victim.inner {
		c.endsAt = d.victim.endsAt
	}
	if err == nil {
		c.init()
	}
	b.mu.Lock()
	l := d.lane
	l.dialing = false
	l.server.dialing--
	b.dialing--
	if d.renews {
		b.renewing--
	}
	if err != nil {
		b.live--
		l.live--
		b.stat.Failures++
		if !l.moved { // it says nothing of where the tenant is now
			b.failed(l, err, fault, now)
		}
		b.done()
		start := b.schedule(now)
		b.mu.Unlock()
		b.run(start)
		return
	}
	if !l.moved {
		l.server.breaker.succeeded()
		l.breaker.succeeded()
	}
	b.cost, b.costAt = (7*b.cost+took)/8, now
	b.done()
	if c.generation != l.generation || b.closed {
		b.discard(c, nil)
		b.mu.Unlock()
		return
	}
	l.pushIdle(c, now)
	b.serve(l, now)
	l.want(now)
	start := b.schedule(now)
	b.mu.Unlock()
	b.run(start)
}

// faultOf says what the error of a dial is about. Where that is not clear it asks
// the server, in the place of the connection that failed, unless the answer would
// change nothing.
func (b *budget) faultOf(d plan, err error) driver.Fault {
	f := d.lane.fault(err)
	if f != driver.FaultUnclear {
		return f
	}
	b.mu.Lock()
	needless := d.lane.breaker.failing(time.Now()) && !d.lane.server.breaker.tripped()
	b.mu.Unlock()
	if needless {
		return f
	}
	return d.lane.ask()
}

// failed counts a dial that failed, and tells those who have nothing else to
// wait for: the tenant's own waiters and, when the server is down, all. A tenant
// that fails again takes only its like along.
func (b *budget) failed(l *lane, err error, f driver.Fault, now time.Time) {
	again := l.tenant != "" && l.breaker.failing(now)
	l.breaker.failed(now, err)
	server := &l.server.breaker
	switch {
	case f == driver.FaultDatabase: // the server answered
		server.succeeded()
	case again:
		server.failedAgain(now)
	default:
		server.failedFor(now, err)
	}
	if server.tripped() {
		for other := range b.waiting.all() {
			if other != l && other.server == l.server && other.live == 0 && (!again || other.breaker.failing(now)) {
				b.failAll(other, server.err)
			}
		}
	}
	if l.live == 0 {
		b.failAll(l, err)
	} else {
		l.want(now)
	}
}

// failAll tells a lane's waiters that dialling failed.
func (b *budget) failAll(l *lane, err error) {
	for w := l.next(); w != nil; w = l.next() {
		l.remove(w)
		b.stat.Waiting--
		b.stat.WaitTime += time.Since(w.since)
		w.got <- grant{err: err}
	}
}
