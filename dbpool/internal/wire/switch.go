package wire

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
)

// MaySwitch implements [sched.Database]: the connection was made by the same engine for another
// tenant, and no statement is known to have left anything in its session.
func (d *Database) MaySwitch(from sched.Wire) bool {
	c := from.(*Conn)
	return d.switcher != nil && d.Engine == c.db.Engine && d.Tenant != "" && c.db.Tenant != "" &&
		!c.db.opts.Keep && !c.state && !c.cleaned
}

// Switch implements [sched.Database]. A panic of an engine becomes an error.
func (d *Database) Switch(at *sched.Conn, from sched.Wire) (sched.Wire, error) {
	c := from.(*Conn)
	if err := d.switchConn(c); err != nil {
		if errors.Is(err, sqldriver.ErrSkip) {
			err = sched.ErrNotSwitchable
		}
		return nil, err
	}
	return d.newConn(c.inner, at), nil
}

// switchConn repoints a connection of another database to this one. If that fails the
// connection must be closed.
func (d *Database) switchConn(c *Conn) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout) // it may have died while it was idle
	defer cancel()
	c.bad, c.diedIdle = true, true // until it is known again
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	err = d.switcher.Switch(ctx, c.inner, d.Connector)
	if err == nil {
		err = d.identify(ctx, c.inner)
	}
	c.bad = err != nil && !errors.Is(err, sqldriver.ErrSkip)
	if err != nil {
		if c.bad && ctx.Err() != nil {
			c.suspectOthers()
		}
		return err
	}
	long, stop := context.WithTimeout(context.Background(), cleanTimeout)
	defer stop()
	err = d.begun(long, c.inner)
	c.bad = err != nil
	return err
}
