package sched

import "time"

const (
	// patience is how long a tenant with connections waits for one of them
	// before it wants another.
	patience = 5 * time.Millisecond
	// crowd is how many waiters for each of its connections make a tenant want
	// another at once.
	crowd = 4
	// patientTurns is for how many rounds of the ring a tenant is passed by
	// others with more waiters.
	patientTurns = 2
)

// want puts the lane into the ring, in the class of its foremost waiter, when it wants a dial, and takes it out
// when it does not any more.
func (l *Lane) want(now time.Time) {
	w := l.next()
	wants := l.wantsDial(now)
	if !wants || w.class != l.wantsClass { // a request came to background work, or has gone
		l.leaveRing()
	}
	if wants && l.wants == nil {
		l.wantsClass, l.wantsSince = w.class, now
		l.wants = l.budget.ring[w.class].push(l)
	}
}

// wantsDial reports whether another connection would serve the lane better
// than waiting for its own. Those that are being closed count towards what it may have: or a tenant that
// breaks off one long statement after another would take the whole budget.
func (l *Lane) wantsDial(now time.Time) bool {
	w := l.next()
	if w == nil || l.dialing || l.live >= l.conns.Most || l.breaker.open(now) {
		return false
	}
	return l.has() == 0 || l.waiting() > crowd*l.has() || now.Sub(w.since) >= patience
}

func (l *Lane) leaveRing() {
	if l.wants != nil {
		l.budget.ring[l.wantsClass].remove(l.wants)
		l.wants = nil
	}
}

// plan is what schedule decided: a connection to make in the place of another,
// or of none.
type plan struct {
	lane       *Lane
	generation uint64
	victim     *Conn
	switches   bool // the victim may become the tenant's
	renews     bool // the victim is the tenant's own, and old
}

// schedule decides which dials begin, those for requests before those for work of low
// priority. It counts their slots at once; the caller runs the plans when it has given up the lock.
func (b *Budget) schedule(now time.Time) []plan {
	var start []plan
	for class := foreground; class < classes; class++ {
		for b.dialing < b.opts.Dials {
			l := b.nextInRing(class, now)
			if l == nil || b.live > b.ceiling(now) { // nobody waits, or connections come down to a ceiling that fell
				break
			}
			d := b.slotFor(l, now)
			b.begin(d)
			start = append(start, d)
		}
	}
	b.watch()
	return start
}

// slotFor returns the plan of a dial for a lane: in a free slot or, without one, in that of
// the idle connection that is least worth keeping.
func (b *Budget) slotFor(l *Lane, now time.Time) plan {
	d := plan{lane: l, generation: l.generation}
	if b.live < b.ceiling(now) {
		b.live++
		return d
	}
	c := b.victim(l, now)
	b.loan.missed++
	b.removeIdle(c)
	c.lane.live--
	b.stat.Evictions++
	d.victim = c
	d.switches = l.server == c.lane.server && !l.server.switching.open(now) && l.db.MaySwitch(c.Wire)
	return d
}

// nextInRing returns the lane to dial for, or nil. It is the one with most
// waiters, since a dial serves them all; but of those that can be served the one that
// has stood in the ring longest goes first when that is twice as long as taking turns
// would have made it wait. A tenant that has a connection counts as one with one waiter.
func (b *Budget) nextInRing(class class, now time.Time) *Lane {
	ring := &b.ring[class]
	overdue := patientTurns * b.cost * time.Duration(1+ring.len()/b.opts.Dials)
	full := b.live >= b.ceiling(now)
	if full && len(b.idle) == 0 {
		return nil // nothing is idle, so nothing can be evicted
	}
	var best *Lane
	most := 0
	for l := range ring.all() {
		if !l.wantsDial(now) { // it was served meanwhile
			l.leaveRing()
			continue
		}
		if !l.server.mayDial(l, now) || full && len(l.idle) == len(b.idle) { // it could only evict its own connection
			continue
		}
		if best == nil && now.Sub(l.wantsSince) > overdue { // those behind it came later
			return l
		}
		n := 1
		if l.has() == 0 {
			n = l.waiting()
		}
		if n > most {
			best, most = l, n
		}
	}
	return best
}

// begin counts a dial, whose slot is counted already.
func (b *Budget) begin(d plan) {
	l := d.lane
	l.leaveRing()
	l.dialing = true
	l.live++
	l.server.dialing++
	b.dialing++
	b.tasks++
	if !d.switches {
		b.stat.Dials++
	}
}

// watch sets the timer by which lanes that wait in vain for their own
// connections come to want another.
func (b *Budget) watch() {
	if b.timed || b.waiting.len() == 0 || b.closed {
		return
	}
	b.timed = true
	if b.timer == nil {
		b.timer = time.AfterFunc(patience, b.tick)
	} else {
		b.timer.Reset(patience)
	}
}

func (b *Budget) tick() {
	b.mu.Lock()
	b.timed = false
	now := time.Now()
	for l := range b.waiting.all() {
		l.want(now)
	}
	start := b.schedule(now)
	b.mu.Unlock()
	b.run(start)
}
