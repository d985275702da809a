package sched

import (
	"slices"
	"time"
)

// helperWait is how long an orphan waits for a connection that others use,
// until one is dialled beyond the budget.
const helperWait = 250 * time.Millisecond

// helper is a connection over which sessions are killed: one of a tenant's, or one of the orphans' own,
// which may have a slot of the budget.
type helper struct {
	wire Wire
	conn *Conn // nil: it is the orphans' own
	slot bool
}

// findHelper returns a connection to the orphan's server: one that is idle, that comes
// back, or that is dialled. It returns false when the orphan's time is over. It also
// returns false, unless a connection is idle, if the server hung up and either is down or
// no longer has to list the session. That it hung up says little: it also hangs up on a
// session that somebody else ends, before that session has ended.
func (b *Budget) findHelper(o *orphan, listed bool) (via helper, ok bool) {
	began := time.Now()
	wait := patience
	waited := false
	for {
		now := time.Now()
		b.mu.Lock()
		if waited && o.node == nil {
			b.mu.Unlock()
			return o.via, true
		}
		via, ok = b.idleHelper(o)
		dial := false
		down := now.Before(b.orphans.retry) || o.lane.server.breaker.open(now)
		if !ok && !o.late && (listed && !down || !o.hasEnded()) {
			if o.node == nil {
				o.node = b.orphans.wait.push(o)
			}
			if via, dial = b.mayDialHelper(o, began, now); !dial {
				b.mu.Unlock()
				o.wait(wait)
				wait, waited = min(2*wait, orphanPause), true
				continue
			}
		}
		if o.node != nil {
			b.orphans.wait.remove(o.node)
			o.node = nil
		}
		b.mu.Unlock()
		if !dial {
			return via, ok
		}
		if via, ok = b.dialHelper(o, via); ok || o.hasEnded() {
			return via, ok
		}
		waited = false
	}
}

// idleHelper takes an idle connection to the orphan's server, any of them. The caller has the
// lock.
func (b *Budget) idleHelper(o *orphan) (via helper, ok bool) {
	for _, c := range slices.Backward(b.idle) { // most of those at the end came lately
		if c.lane.killer == o.lane.killer {
			b.removeIdle(c)
			b.take(c)
			b.orphans.helping++
			return helper{wire: c.Wire, conn: c}, true
		}
	}
	return helper{}, false
}

// hand gives a connection to an orphan that waits for one.
func (os *orphans) hand(via helper, killer any) bool {
	for o := range os.wait.all() {
		if o.lane.killer == killer {
			os.wait.remove(o.node)
			o.node, o.via = nil, via
			if via.conn != nil {
				os.helping++
			}
			select {
			case o.served <- struct{}{}:
			default: // it has not seen an earlier one
			}
			return true
		}
	}
	return false
}

// mayDialHelper decides whether to dial a connection for orphans, one at a time. It
// counts its slot at once: a free one or, when no connection comes back, none. The
// caller has the lock.
func (b *Budget) mayDialHelper(o *orphan, began, now time.Time) (via helper, ok bool) {
	os := &b.orphans
	if os.own || os.helping > 0 || now.Before(os.retry) || o.lane.server.breaker.open(now) {
		return helper{}, false
	}
	via.slot = b.live < b.ceiling(now)
	enough := helperWait
	if via.slot {
		enough = patience
	}
	if b.stat.InUse+b.dialing > 0 && now.Sub(began) < enough {
		return helper{}, false
	}
	if via.slot {
		b.live++
	}
	os.own = true
	return via, true
}

// dialHelper dials a connection for orphans.
func (b *Budget) dialHelper(o *orphan, via helper) (helper, bool) {
	var err error
	if via.wire, err = o.session.DialHelper(); err != nil {
		b.asked(err)
		b.ownEnded(via)
		return helper{}, false
	}
	return via, true
}

// asked counts whether a connection of the orphans' own was of use. If not there
// is none for a while, which doubles with each.
func (b *Budget) asked(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	os := &b.orphans
	if err == nil {
		os.pause = 0
		return
	}
	os.pause = min(max(2*os.pause, shortestPause), longestPause)
	os.retry = time.Now().Add(os.pause)
}

// returnHelper takes a connection back over which an orphan of a lane was killed, and
// reports whether it is good. One of their own goes to the next orphan, or ends.
func (b *Budget) returnHelper(via helper, l *Lane) (good bool) {
	good = via.wire.Works()
	if via.conn != nil {
		b.mu.Lock()
		b.orphans.helping--
		b.mu.Unlock()
		b.release(via.conn, good)
		return good
	}
	if good {
		b.mu.Lock()
		handed := b.orphans.hand(via, l.killer)
		b.mu.Unlock()
		if handed {
			return true
		}
	}
	via.wire.HangUp()
	b.ownEnded(via)
	return good
}

// ownEnded counts that there is no connection of the orphans' own any more.
func (b *Budget) ownEnded(via helper) {
	b.mu.Lock()
	b.orphans.own = false
	if via.slot {
		b.live--
	}
	start := b.schedule(time.Now())
	b.mu.Unlock()
	b.run(start)
}
