package sched

import "time"

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
)

// Session is what a closed connection may have left on its server, which runs a statement to
// its end though nobody waits for it.
type Session interface {
	// Ended returns a channel that is closed when the server has hung up on the closed connection, or
	// nil if it has. It may still list the session.
	Ended() <-chan struct{}
	// Kill asks the server, over another connection, to kill the session, in one round trip. It reports
	// true once the server has no such session. It may be called again.
	Kill(over Wire) (gone bool, err error)
	// DialHelper connects to the server itself, to kill sessions over that.
	DialHelper() (Wire, error)
}

// SessionEnd says what became of a session.
type SessionEnd uint8

const (
	// SessionGone says that the server has no such session.
	SessionGone SessionEnd = iota
	// SessionHungUp says that the server has hung up. It may count the session a moment longer.
	SessionHungUp
	// SessionStays says that the session is still on the server, though its slot is given up.
	SessionStays
)

// orphans are those of a budget. The budget's lock guards them.
type orphans struct {
	wait    list[*orphan]
	helping int           // connections of tenants over which orphans are killed
	own     bool          // there is one of their own
	retry   time.Time     // none is dialled before, and
	pause   time.Duration // for how long, if the last one was of no use
	closed  chan struct{} // the budget is
}

// orphan is a connection that broke or was closed in the middle, whose session may
// still be on the server.
type orphan struct {
	lane    *Lane
	session Session
	ended   <-chan struct{} // nil if the server has hung up; it may still list the session
	limit   *time.Timer
	late    bool // the limit is over
	closing <-chan struct{}
	served  chan struct{} // of capacity 1

	// What follows is guarded by the budget's lock.
	node *node[*orphan] // in orphans.wait, nil when served
	via  helper
}

// KillSession returns when the server has no session of a connection that was closed, or when
// there is no way to know. The connection keeps its slot meanwhile. listed says that the
// server surely listed the session a moment ago.
func (c *Conn) KillSession(s Session, listed bool) SessionEnd {
	b := c.lane.budget
	o := &orphan{lane: c.lane, session: s, limit: time.NewTimer(orphanTime), closing: b.orphans.closed, served: make(chan struct{}, 1)}
	defer o.limit.Stop()
	if o.ended = s.Ended(); o.ended != nil {
		o.wait(orphanGrace)
	}
	var via helper
	have := false
	for pause := time.Millisecond; !o.late; pause = min(2*pause, orphanPause) {
		if !have {
			if via, have = b.findHelper(o, listed); !have {
				break
			}
		}
		gone, err := s.Kill(via.wire)
		if via.conn == nil {
			b.asked(err)
		}
		refused := false
		if gone || err != nil || via.conn != nil || pause >= helperWait {
			refused = b.returnHelper(via, c.lane) && err != nil
			have = false
		}
		if gone {
			return SessionGone
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
		return SessionStays
	}
	return SessionHungUp
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
