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
	// end, and orphanClosing after what time that of a group that is closed.
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

// orphans are those of a group. The group's lock guards them.
type orphans struct {
	wait   list[*orphan]
	lent   int           // connections of tenants that orphans go over
	own    bool          // there is one of their own
	retry  time.Time     // none is dialled before, and
	pause  time.Duration // for how long, if the last one was of no use
	closed chan struct{} // the group is
}

// orphan is a connection that broke or was closed in the middle, whose session may
// still be on the server.
type orphan struct {
	*physical
	ended   <-chan struct{} // nil if the server has hung up; it may still list the session
	limit   *time.Timer
	late    bool // the limit is over
	closing <-chan struct{}
	served  chan struct{} // of capacity 1

	// What follows is guarded by the group's lock.
	node *node[*orphan] // in orphans.wait, nil when served
	via  over
}

// over is a connection to go over: one of a tenant's, or one of the orphans' own,
// which may have a slot of the budget.
type over struct {
	conn *physical
	own  sqldriver.Conn
	slot bool
}

// endOrphan closes a connection that broke, and returns when the server has no
// session of it, or when there is no way to know.
func (g *group) endOrphan(c *physical) {
	_ = c.inner.Close()
	o := &orphan{physical: c, limit: time.NewTimer(orphanTime), closing: g.orphans.closed, served: make(chan struct{}, 1)}
	defer o.limit.Stop()
	if o.ended = c.target.orphans.Closed(c.inner); o.ended != nil {
		o.rest(orphanGrace)
	}
	var via over
	have, listed := false, !c.rested
	for pause := time.Millisecond; !o.late; pause = min(2*pause, orphanPause) {
		if !have {
			if via, have = g.over(o, listed); !have {
				break
			}
		}
		gone, err := c.target.endOver(via, c.inner)
		if via.own != nil {
			g.asked(err)
		}
		refused := false
		if gone || err != nil || via.own == nil || pause >= overWait {
			refused = g.takeBack(via, c.target) && err != nil
			have = false
		}
		if gone {
			return
		}
		if refused && o.hasEnded() {
			break
		}
		listed = listed || err == nil
		o.rest(pause)
	}
	if have {
		g.takeBack(via, c.target)
	}
	if !o.hasEnded() || o.late && listed {
		c.target.log.Error("a session that was to end is still on the server: its slot of the budget is free now",
			"server", c.queue.server.name, "tenant", c.target.tenant, "database", c.target.database)
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

// rest waits for a time, or until something happens.
func (o *orphan) rest(d time.Duration) {
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

// over returns a connection to the orphan's server: one that is idle, that comes
// back, or that is dialled. There is none when the orphan's time is over, nor,
// unless one is idle, when the server has hung up and is down, or need not list the
// session any more. That it has hung up says little: it does so with a session that
// somebody else ends, before it has.
func (g *group) over(o *orphan, listed bool) (via over, ok bool) {
	began := time.Now()
	wait := patience
	waited := false
	for {
		now := time.Now()
		g.mu.Lock()
		if waited && o.node == nil {
			g.mu.Unlock()
			return o.via, true
		}
		via, ok = g.idleOver(o)
		dial := false
		down := now.Before(g.orphans.retry) || o.queue.server.breaker.open(now)
		if !ok && !o.late && (listed && !down || !o.hasEnded()) {
			if o.node == nil {
				o.node = g.orphans.wait.push(o)
			}
			if via, dial = g.mayDialOver(o, began, now); !dial {
				g.mu.Unlock()
				o.rest(wait)
				wait, waited = min(2*wait, orphanPause), true
				continue
			}
		}
		if o.node != nil {
			g.orphans.wait.remove(o.node)
			o.node = nil
		}
		g.mu.Unlock()
		if !dial {
			return via, ok
		}
		if via, ok = g.dialOver(o, via); ok || o.hasEnded() {
			return via, ok
		}
		waited = false
	}
}

// idleOver takes the connection to the orphan's server that became idle last. The
// caller has the lock.
func (g *group) idleOver(o *orphan) (via over, ok bool) {
	for _, c := range slices.Backward(g.idle) {
		if c.target.orphans == o.target.orphans {
			g.removeIdle(c)
			g.stat.InUse++
			g.orphans.lent++
			return over{conn: c}, true
		}
	}
	return over{}, false
}

// lend gives a connection to an orphan that waits for one.
func (os *orphans) lend(via over, at driver.SessionKiller) bool {
	for o := range os.wait.all() {
		if o.target.orphans == at {
			os.wait.remove(o.node)
			o.node, o.via = nil, via
			if via.conn != nil {
				os.lent++
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

// mayDialOver decides whether to dial a connection for orphans, one at a time. It
// counts its slot at once: a free one or, when no connection comes back, none. The
// caller has the lock.
func (g *group) mayDialOver(o *orphan, began, now time.Time) (via over, ok bool) {
	os := &g.orphans
	if os.own || os.lent > 0 || now.Before(os.retry) || o.queue.server.breaker.open(now) {
		return over{}, false
	}
	via.slot = g.live < g.ceiling(now)
	enough := overWait
	if via.slot {
		enough = patience
	}
	if g.stat.InUse+g.dialing > 0 && now.Sub(began) < enough {
		return over{}, false
	}
	if via.slot {
		g.live++
	}
	os.own = true
	return via, true
}

// dialOver dials a connection for orphans.
func (g *group) dialOver(o *orphan, via over) (over, bool) {
	var err error
	if via.own, err = o.target.dialOver(); err != nil {
		g.asked(err)
		g.ownEnded(via)
		return over{}, false
	}
	return via, true
}

// asked counts whether a connection of the orphans' own was of use. If not there
// is none for a while, which doubles with each.
func (g *group) asked(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	os := &g.orphans
	if err == nil {
		os.pause = 0
		return
	}
	os.pause = min(max(2*os.pause, shortestPause), longestPause)
	os.retry = time.Now().Add(os.pause)
}

// takeBack takes a connection back that an orphan of a target went over, and
// reports whether it is good. One of their own goes to the next orphan, or ends.
func (g *group) takeBack(via over, t *target) (good bool) {
	if c := via.conn; c != nil {
		g.mu.Lock()
		g.orphans.lent--
		g.mu.Unlock()
		c.bad = c.bad || !c.IsValid()
		good = !c.bad
		g.release(c, good)
		return good
	}
	v, ok := via.own.(sqldriver.Validator)
	if good = !ok || v.IsValid(); good {
		g.mu.Lock()
		lent := g.orphans.lend(via, t.orphans)
		g.mu.Unlock()
		if lent {
			return true
		}
	}
	t.end(via.own, !good)
	g.ownEnded(via)
	return good
}

// ownEnded counts that there is no connection of the orphans' own any more.
func (g *group) ownEnded(via over) {
	g.mu.Lock()
	g.orphans.own = false
	if via.slot {
		g.live--
	}
	start := g.schedule(time.Now())
	g.mu.Unlock()
	g.run(start)
}

// dialOver dials a connection for orphans. A panic of an engine becomes an error,
// here and below.
func (t *target) dialOver() (conn sqldriver.Conn, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), overTimeout)
	defer cancel()
	defer caught(&err)
	c, err := t.orphans.Server()
	if err != nil {
		return nil, err
	}
	return c.Connect(ctx)
}

// endOver asks the server to end the session of a closed connection.
func (t *target) endOver(via over, closed sqldriver.Conn) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), overTimeout)
	defer cancel()
	defer caught(&err)
	conn := via.own
	if via.conn != nil {
		conn = via.conn.inner
	}
	return t.orphans.Kill(ctx, conn, closed)
}

func caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}
