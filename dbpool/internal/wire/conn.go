package wire

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
)

// Conn is a connection to a tenant's database. It is what database/sql gets
// as a sqldriver.Conn; its Close gives it back to the budget. What a driver can do
// is found once, here, because a type assertion sees no further than a wrapper.
type Conn struct {
	inner sqldriver.Conn
	db    *Database
	place *sched.Conn // in the budget

	begin   sqldriver.ConnBeginTx
	exec    sqldriver.ExecerContext
	query   sqldriver.QueryerContext
	prepare sqldriver.ConnPrepareContext
	ping    sqldriver.Pinger
	check   sqldriver.NamedValueChecker
	reset   sqldriver.SessionResetter
	valid   sqldriver.Validator

	// What follows belongs to the user of the connection.
	bad      bool      // the driver said so
	held     bool      // its user sees it: no other can take its place
	state    bool      // a statement may have left state in the session
	cleaned  bool      // one had, and it was cleaned
	writing  bool      // it has its database's writer
	open     int       // rows and transactions of its user that have not ended
	diedIdle bool      // it broke while it was idle
	taken    time.Time // when its user took it; zero without an observer

	file     os.FileInfo // of a database that is a file, and
	fileSeen time.Time   // when it was looked at last
}

var (
	_ sqldriver.Conn               = (*Conn)(nil)
	_ sqldriver.ConnBeginTx        = (*Conn)(nil)
	_ sqldriver.ConnPrepareContext = (*Conn)(nil)
	_ sqldriver.ExecerContext      = (*Conn)(nil)
	_ sqldriver.QueryerContext     = (*Conn)(nil)
	_ sqldriver.Pinger             = (*Conn)(nil)
	_ sqldriver.NamedValueChecker  = (*Conn)(nil)
	_ sqldriver.Validator          = (*Conn)(nil)
	_ sched.Wire                   = (*Conn)(nil)
)

// newConn returns a connection of the database in its place in the budget.
func (d *Database) newConn(inner sqldriver.Conn, at *sched.Conn) *Conn {
	c := &Conn{inner: inner, db: d, place: at}
	if d.files != nil {
		c.file, _ = d.file()
		c.fileSeen = time.Now()
	}
	c.begin, _ = inner.(sqldriver.ConnBeginTx)
	c.exec, _ = inner.(sqldriver.ExecerContext)
	c.query, _ = inner.(sqldriver.QueryerContext)
	c.prepare, _ = inner.(sqldriver.ConnPrepareContext)
	c.ping, _ = inner.(sqldriver.Pinger)
	c.check, _ = inner.(sqldriver.NamedValueChecker)
	c.reset, _ = inner.(sqldriver.SessionResetter)
	c.valid, _ = inner.(sqldriver.Validator)
	return c
}

// Close gives the connection back. database/sql calls it when a query's rows
// are closed, or a transaction has ended.
func (c *Conn) Close() error {
	reusable := false // if something panics
	defer func() {
		c.stopWriting()
		taken := c.taken
		c.taken, c.held = time.Time{}, false
		c.place.Release(reusable)
		if !taken.IsZero() {
			c.db.observer.ObserveRelease(c.db.Tenant, time.Since(taken))
		}
	}()
	if c.Works() && (!c.state || c.db.clean(c.inner) == nil) {
		c.cleaned = c.cleaned || c.state
		c.state = false
		reusable = true
	}
	return nil
}

// Works implements [sched.Wire].
func (c *Conn) Works() bool {
	c.bad = c.bad || !c.IsValid()
	return !c.bad
}

// IsValid implements [sqldriver.Validator].
func (c *Conn) IsValid() bool { return c.valid == nil || isValid(c.valid) }

// isValid asks a driver. A panic counts as no.
func isValid(v sqldriver.Validator) (valid bool) {
	defer func() { _ = recover() }()
	return v.IsValid()
}

// Ping implements [sqldriver.Pinger].
func (c *Conn) Ping(ctx context.Context) (err error) {
	defer c.caught(&err)
	if err := c.db.Allows(ctx); err != nil {
		return err
	}
	if c.ping == nil {
		return nil
	}
	in := c.harmless("dbpool.ping")
	return c.failed(ctx, in, c.ping.Ping(ctx))
}

// Prepare implements [sqldriver.Conn].
func (c *Conn) Prepare(query string) (sqldriver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext implements [sqldriver.ConnPrepareContext].
func (c *Conn) PrepareContext(ctx context.Context, query string) (s sqldriver.Stmt, err error) {
	defer c.caught(&err)
	if err := c.db.Allows(ctx); err != nil {
		return nil, err
	}
	e := c.note(query)
	in := c.harmless("dbpool.prepare")
	in.text = query
	if c.prepare == nil {
		s, err = c.inner.Prepare(query)
	} else {
		s, err = c.prepare.PrepareContext(ctx, query)
	}
	took := since(in.began)
	if err != nil {
		return nil, c.done(ctx, in, err)
	}
	return newStmt(s, c, query, e, took), nil
}

// Begin implements [sqldriver.Conn].
func (c *Conn) Begin() (sqldriver.Tx, error) {
	return c.BeginTx(context.Background(), sqldriver.TxOptions{})
}

// BeginTx implements [sqldriver.ConnBeginTx].
func (c *Conn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (t sqldriver.Tx, err error) {
	defer c.caught(&err)
	if c.begin == nil {
		return nil, errors.New("dbpool: the driver has no BeginTx")
	}
	if err := c.db.Allows(ctx); err != nil {
		return nil, err
	}
	if c.db.writer != nil && !opts.ReadOnly && !c.writing {
		if err := c.startWriting(ctx); err != nil {
			return nil, err
		}
	}
	in := c.harmless("dbpool.begin")
	inner, err := c.begin.BeginTx(ctx, opts)
	if err != nil {
		if !opts.ReadOnly {
			c.stopWriting()
		}
		return nil, c.done(ctx, in, err)
	}
	c.observe(ctx, "", since(in.began), nil)
	c.open++
	return &tx{inner, c, ctx, !opts.ReadOnly}, nil
}

// ExecContext implements [sqldriver.ExecerContext].
func (c *Conn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (res sqldriver.Result, err error) {
	if c.exec == nil {
		return nil, sqldriver.ErrSkip
	}
	defer c.caught(&err)
	if err := c.db.Allows(ctx); err != nil {
		return nil, err
	}
	ends, err := c.write(ctx, c.note(query))
	if err != nil {
		return nil, err
	}
	if ends {
		defer c.stopWriting()
	}
	in := c.call("dbpool.exec")
	in.text = query
	res, err = c.exec.ExecContext(ctx, query, args)
	return res, c.done(ctx, in, err)
}

// QueryContext implements [sqldriver.QueryerContext].
func (c *Conn) QueryContext(ctx context.Context, query string, args []sqldriver.NamedValue) (rows sqldriver.Rows, err error) {
	if c.query == nil {
		return nil, sqldriver.ErrSkip
	}
	if err := c.db.Allows(ctx); err != nil {
		return nil, err
	}
	defer c.caught(&err)
	ends, err := c.write(ctx, c.note(query))
	if err != nil {
		return nil, err
	}
	in := c.call("dbpool.query")
	in.text = query
	inner, err := c.query.QueryContext(ctx, query, args)
	return c.read(ctx, in, inner, ends, err)
}

// CheckNamedValue implements [sqldriver.NamedValueChecker], where the driver does
// not as database/sql does.
func (c *Conn) CheckNamedValue(v *sqldriver.NamedValue) (err error) {
	defer c.caught(&err)
	if c.check == nil {
		v.Value, err = sqldriver.DefaultParameterConverter.ConvertValue(v.Value)
		return err
	}
	return c.check.CheckNamedValue(v)
}

// caught makes a panic, such as of an argument, an error, and ends the connection:
// database/sql loses the connection of a ping, a query, a prepared statement or a
// transaction that panics, and would use that of another statement again.
func (c *Conn) caught(err *error) {
	if p := recover(); p != nil {
		c.bad = true
		*err = fmt.Errorf("dbpool: panic: %v\n%s", p, debug.Stack())
	}
}

// note returns what a statement may do, and remembers that it may leave state in
// the session.
func (c *Conn) note(query string) sqltext.Effect {
	e := c.db.statements.Effect(query)
	c.state = c.state || e&sqltext.LeavesState != 0
	return e
}

// Unwrap returns the engine's connection, for those who only ask it what it is.
func (c *Conn) Unwrap() sqldriver.Conn { return c.inner }

// Raw returns the driver's own connection, for what only the driver can do. What happens to the
// session there is not seen, so it is cleaned afterwards.
func (c *Conn) Raw() sqldriver.Conn {
	c.state = true
	return driversOwn(c.inner)
}

// Busy reports whether there are rows or a transaction that have not ended.
func (c *Conn) Busy() bool { return c.open > 0 }

// Hold notes that the user has the connection itself, until it is closed. database/sql
// repeats nothing on another one then, and only hides the error of a prepared statement.
func (c *Conn) Hold() { c.held = true }

// HeldSince notes when the connection's user got it, for the observer. The zero time is nobody's.
func (c *Conn) HeldSince(at time.Time) { c.taken = at }

// Position asks the server how far its data is.
func (c *Conn) Position(ctx context.Context) (pos driver.Position, err error) {
	defer c.caught(&err)
	e := c.db.replication
	if e == nil {
		return "", fmt.Errorf("%w: the server cannot tell how far its data is", tenancy.ErrInvalid)
	}
	pos, err = e.Position(ctx, c.inner)
	c.bad = c.bad || err != nil
	return pos, err
}

// driversOwn returns the driver's own connection.
func driversOwn(conn sqldriver.Conn) sqldriver.Conn {
	if w, ok := conn.(interface{ Unwrap() sqldriver.Conn }); ok {
		return w.Unwrap()
	}
	return conn
}
