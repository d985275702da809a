package wire

import (
	"context"
	sqldriver "database/sql/driver"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
)

// endTimeout bounds the wait for a connection to end, unknownTime for one whose
// session cannot be killed, and brokenTime is how long a server may count one that
// broke. helperTimeout bounds what is asked over a connection to kill a session.
const (
	endTimeout    = 20 * time.Second
	unknownTime   = time.Second
	brokenTime    = 20 * time.Millisecond
	helperTimeout = 5 * time.Second
)

// HangUp implements [sched.Wire]. A session that may run on after its connection broke is killed.
func (c *Conn) HangUp() {
	if c.bad && c.db.killer != nil && c.db.Tenant != "" {
		c.killSession()
		return
	}
	c.db.hangUp(c.inner, c.bad)
}

// hangUp closes a connection and returns when the server no longer counts it.
func (d *Database) hangUp(conn sqldriver.Conn, broken bool) {
	_ = closeConn(conn)
	timeout := endTimeout
	if broken && d.killer != nil {
		timeout = unknownTime
	}
	if d.closes != nil {
		if ended := closed(d.closes.Closed, conn); ended != nil {
			select {
			case <-ended:
			case <-time.After(timeout):
			}
		}
	}
	if broken {
		time.Sleep(brokenTime)
	}
}

// closeConn closes a driver's connection. A panic becomes an error: nobody could catch it in the goroutine of
// a task, and the process would end.
func closeConn(conn sqldriver.Conn) (err error) {
	defer caught(&err)
	return conn.Close()
}

// closed asks an engine for the channel that is closed when the server has hung up on a closed
// connection. A panic counts as none.
func closed(ask func(sqldriver.Conn) <-chan struct{}, conn sqldriver.Conn) (ended <-chan struct{}) {
	defer func() { _ = recover() }()
	return ask(conn)
}

// killSession closes a connection that broke, and returns when the server has no
// session of it, or when there is no way to know.
func (c *Conn) killSession() {
	d := c.db
	_ = closeConn(c.inner)
	switch c.place.KillSession(session{d, c.inner}, !c.diedIdle) {
	case sched.SessionGone:
	case sched.SessionHungUp:
		time.Sleep(brokenTime)
	case sched.SessionStays:
		d.opts.Log.Error("dbpool: a session could not be killed and is still on the server; its slot of the budget is free now",
			"server", d.Lane.Server().Name(), "tenant", d.Tenant, "database", d.Name)
	}
}

// session is that of a closed connection. It implements [sched.Session]. A panic of an engine
// becomes an error.
type session struct {
	db     *Database
	closed sqldriver.Conn
}

func (s session) Ended() <-chan struct{} { return closed(s.db.killer.Closed, s.closed) }

func (s session) Kill(over sched.Wire) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), helperTimeout)
	defer cancel()
	defer caught(&err)
	var inner sqldriver.Conn
	switch w := over.(type) {
	case *Conn:
		inner = w.inner
	case *helper:
		inner = w.inner
	}
	return s.db.killer.Kill(ctx, inner, s.closed)
}

func (s session) DialHelper() (_ sched.Wire, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), helperTimeout)
	defer cancel()
	defer caught(&err)
	c, err := s.db.killer.Server()
	if err != nil {
		return nil, err
	}
	inner, err := c.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &helper{db: s.db, inner: inner}, nil
}

// helper is a connection to the server itself, over which sessions are killed.
type helper struct {
	db    *Database // any of the server's
	inner sqldriver.Conn
	bad   bool
}

// Works implements [sched.Wire].
func (h *helper) Works() bool {
	v, ok := h.inner.(sqldriver.Validator)
	h.bad = ok && !isValid(v)
	return !h.bad
}

// HangUp implements [sched.Wire].
func (h *helper) HangUp() { h.db.hangUp(h.inner, h.bad) }

func caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}
