package sched

import (
	"errors"
	"time"
)

// dialTimeout bounds a dial, if requests do not wait for longer.
const dialTimeout = 10 * time.Second

// run begins dials, each in a goroutine that ends with it.
func (b *Budget) run(start []plan) {
	for _, d := range start {
		go b.perform(d)
	}
}

// connect makes the connection that a plan is for, and reports whether it was switched.
func (b *Budget) connect(d plan, c *Conn) (switched bool, took time.Duration, err error) {
	began := time.Now()
	var unswitched error
	if d.switches {
		if c.Wire, unswitched = d.lane.db.Switch(c, d.victim.Wire); unswitched == nil {
			b.switched(d.lane.server)
			return true, time.Since(began), nil
		}
	}
	if d.victim != nil {
		d.victim.Wire.HangUp()
	}
	began = time.Now()
	c.Wire, err = d.lane.db.Dial(c, max(b.opts.Wait, dialTimeout))
	took = time.Since(began)
	if d.switches {
		b.notSwitched(d.lane.server, unswitched, err)
	}
	if err == nil && b.opts.Timings.Dialed != nil {
		b.opts.Timings.Dialed(took)
	}
	return false, took, err
}

// switched counts a connection that was switched.
func (b *Budget) switched(s *Server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stat.Switches++
	s.switching.succeeded()
}

// notSwitched counts a connection that was dialled because switching failed. Where
// dialing fails too, that says nothing about switching.
func (b *Budget) notSwitched(s *Server, err, dialing error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stat.Dials++
	if dialing == nil && !errors.Is(err, ErrNotSwitchable) {
		s.switching.failed(time.Now(), err)
	}
}

// perform carries out a plan.
func (b *Budget) perform(d plan) {
	l := d.lane
	c := &Conn{lane: l, generation: d.generation}
	switched, took, err := b.connect(d, c)
	var fault Fault
	if err != nil {
		fault = l.db.Fault(err, b.faultMatters(l))
	}
	b.mu.Lock()
	now := time.Now()
	c.endsAt = b.opts.endOfLife(now)
	if switched {
		c.endsAt = d.victim.endsAt
	}
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

// faultMatters reports whether it would change anything to know if a failed dial of the lane
// is the server's fault. The server is asked in the place of the connection that failed.
func (b *Budget) faultMatters(l *Lane) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !l.breaker.failing(time.Now()) || l.server.breaker.tripped()
}

// failed counts a dial that failed, and tells those who have nothing else to
// wait for: the tenant's own waiters and, when the server is down, all. A repeated
// failure of one tenant fails only waiters of tenants that have failed too.
func (b *Budget) failed(l *Lane, err error, f Fault, now time.Time) {
	again := l.tenant != "" && l.breaker.failing(now)
	l.breaker.failed(now, err)
	server := &l.server.breaker
	switch {
	case f == FaultDatabase: // the server answered
		server.succeeded()
	case again:
		server.failedAgain(now)
	default:
		server.failedFor(now, err)
	}
	if server.tripped() {
		for other := range b.waiting.all() {
			if other != l && other.server == l.server && other.has() == 0 && (!again || other.breaker.failing(now)) {
				b.failAll(other, server.err)
			}
		}
	}
	if l.has() == 0 {
		b.failAll(l, err)
	} else {
		l.want(now)
	}
}

// failAll tells a lane's waiters that dialling failed.
func (b *Budget) failAll(l *Lane, err error) {
	for w := l.next(); w != nil; w = l.next() {
		l.remove(w)
		b.stat.Waiting--
		b.stat.WaitTime += time.Since(w.since)
		w.got <- grant{err: err}
	}
}
