package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"fmt"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy/dbpool/driver"
)

const (
	// orphanGrace is how long an orphan may take to end by itself, as that of a
	// short statement does.
	orphanGrace = 5 * time.Millisecond
	// orphanTime is after what time the slot of an orphan is free that does not
	// end, and orphanClosing after what time that of a budget that is closed.
	orphanTime    = 10 * time.Minute
	orphanClosing = 5 * time.Second
	// orphanPause is the longest time between two looks whether it has ended.
	orphanPause = 250 * time.Millisecond
	// overWait is how long an orphan waits for a connection that others use,
	// until one is dialled beyond the budget, and overTimeout bounds what is
	// asked over one.
	overWait    = 250 * time.Millisecond
	overTimeout = 5 * time.Second
)

// orphans are those of a budget. The budget's lock guards them.
type orphans struct {
	wait    list[*orphan]
	helping int           // connections of tenants that orphans go over
	own     bool          // there is one of their own
	retry   time.Time     // none is dialled before, and
	pause   time.Duration // for how long, if the last one was of no use
	closed  chan struct{} // the budget is
}

// orphan is a connection that broke or was closed in the middle, whose session may
// still be on the server.
type orphan struct {
	*conn
	ended   <-chan struct{} // nil if the server has hung up; it may still list the session
	limit   *time.Timer
	late    bool // the limit is over
	closing <-chan struct{}
	served  chan struct{} // of capacity 1

	// What follows is guarded by the budget's lock.
	node *node[*orphan] // in orphans.wait, nil when served
	via  helper
}

// helper is a connection over which sessions are killed: one of a tenant's, or one of the orphans' own,
// which may have a slot of the budget.
type helper struct {
	conn *conn
	own  sqldriver.Conn
	slot bool
}

// killSession closes a connection that broke, and returns when the server has no
// session of it, or when there is no way to know.
func (b *budget) killSession(c *conn) {
	_ = c.inner.Close()
	o := &orphan{conn: c, limit: time.NewTimer(orphanTime), closing: b.orphans.closed, served: make(chan struct{}, 1)}
	defer o.limit.Stop()
	if o.ended = c.lane.killer.Closed(c.inner); o.ended != nil {
		o.wait(orphanGrace)
	}
	var via helper
	have, listed := false, !c.diedIdle
	for pause := time.Millisecond; !o.late; pause = min(2*pause, orphanPause) {
		if !have {
			if via, have = b.findHelper(o, listed); !have {
				break
			}
		}
		gone, err := c.lane.kill(via, c.inner)
		if via.own != nil {
			b.asked(err)
		}
		refused := false
		if gone || err != nil || via.own == nil || pause >= overWait {
			refused = b.returnHelper(via, c.lane) && err != nil
			have = false
		}
		if gone {
			return
		}
		if refused && o.hasEnded() {
			break
		}
		listed = listed || err == nil
		o.wait(pause)
	}
	if have {
		b.returnHelper(via, c.lane)
	}
	if !o.hasEnded() || o.late && listed {
		c.lane.log.Error("dbpool: a session could not be killed and is still on the server; its slot of the budget is free now",
			"server", c.lane.server.name, "tenant", c.lane.tenant, "database", c.lane.database)
		return
	}
	time.Sleep(brokenTime)
}

// hasEnded reports whether the server has hung up.
func (o *orphan) hasEnded() bool {
	select {
	case <-o.ended:
		o.ended = nil
	default:
	}
	return o.ended == nil
}

// wait waits for a time, or until something happens.
func (o *orphan) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-o.served:
	case <-o.ended:
		o.ended = nil
	case <-o.closing:
		o.closing = nil
		o.limit.Reset(orphanClosing)
	case <-o.limit.C:
		o.late = true
	}
}

// findHelper returns a connection to the orphan's server: one that is idle, that comes
// back, or that is dialled. There is none when the orphan's time is over, nor,
// unless one is idle, when the server has hung up and is down, or need not list the
// session any more. That it has hung up says little: it does so with a session that
// somebody else ends, before it has.
func (b *budget) findHelper(o *orphan, listed bool) (via helper, ok bool) {
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

// idleHelper takes the connection to the orphan's server that became idle last. The
// caller has the lock.
func (b *budget) idleHelper(o *orphan) (via helper, ok bool) {
	for _, c := range slices.Backward(b.idle) {
		if c.lane.killer == o.lane.killer {
			b.removeIdle(c)
			b.stat.InUse++
			b.orphans.helping++
			return helper{conn: c}, true
		}
	}
	return helper{}, false
}

// hand gives a connection to an orphan that waits for one.
func (os *orphans) hand(via helper, at driver.SessionKiller) bool {
	for o := range os.wait.all() {
		if o.lane.killer == at {
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
func (b *budget) mayDialHelper(o *orphan, began, now time.Time) (via helper, ok bool) {
	os := &b.orphans
	if os.own || os.helping > 0 || now.Before(os.retry) || o.lane.server.breaker.open(now) {
		return helper{}, false
	}
	via.slot = b.live < b.ceiling(now)
	enough := overWait
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
func (b *budget) dialHelper(o *orphan, via helper) (helper, bool) {
	var err error
	if via.own, err = o.lane.dialHelper(); err != nil {
		b.asked(err)
		b.ownEnded(via)
		return helper{}, false
	}
	return via, true
}

// asked counts whether a connection of the orphans' own was of use. If not there
// is none for a while, which doubles with each.
func (b *budget) asked(err error) {
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
func (b *budget) returnHelper(via helper, t *lane) (good bool) {
	if c := via.conn; c != nil {
		b.mu.Lock()
		b.orphans.helping--
		b.mu.Unlock()
		c.bad = c.bad || !c.IsValid()
		good = !c.bad
		b.release(c, good)
		return good
	}
	v, ok := via.own.(sqldriver.Validator)
	if good = !ok || v.IsValid(); good {
		b.mu.Lock()
		handed := b.orphans.hand(via, t.killer)
		b.mu.Unlock()
		if handed {
			return true
		}
	}
	t.hangUp(via.own, !good)
	b.ownEnded(via)
	return good
}

// ownEnded counts that there is no connection of the orphans' own any more.
func (b *budget) ownEnded(via helper) {
	b.mu.Lock()
	b.orphans.own = false
	if via.slot {
		b.live--
	}
	start := b.schedule(time.Now())
	b.mu.Unlock()
	b.run(start)
}

// dialHelper dials a connection for orphans. A panic of an engine becomes an error,
// here and below.
func (l *lane) dialHelper() (conn sqldriver.Conn, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), overTimeout)
	defer cancel()
	defer caught(&err)
	c, err := l.killer.Server()
	if err != nil {
		return nil, err
	}
	return c.Connect(ctx)
}

// kill asks the server to end the session of a closed connection.
func (l *lane) kill(via helper, closed sqldriver.Conn) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), overTimeout)
	defer cancel()
	defer caught(&err)
	conn := via.own
	if via.conn != nil {
		conn = via.conn.inner
	}
	return l.killer.Kill(ctx, conn, closed)
}

func caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}
