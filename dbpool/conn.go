package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
)

// conn is a connection to a tenant's database. It is what database/sql gets
// as a sqldriver.Conn; its Close gives it back to the budget. What a driver can do
// is found once, here, because a type assertion sees no further than a wrapper.
type conn struct {
	inner      sqldriver.Conn
	lane       *lane
	generation uint64
	endsAt     time.Time // when it has lived long enough; zero: never

	begin   sqldriver.ConnBeginTx
	exec    sqldriver.ExecerContext
	query   sqldriver.QueryerContext
	prepare sqldriver.ConnPrepareContext
	ping    sqldriver.Pinger
	check   sqldriver.NamedValueChecker
	reset   sqldriver.SessionResetter
	valid   sqldriver.Validator

	// What follows belongs to the user of the connection.
	uses     int64
	bad      bool      // the driver said so
	state    bool      // a statement may have left state in the session
	cleaned  bool      // one had, and it was cleaned
	writing  bool      // it has its database's writer
	diedIdle bool      // it broke while it was idle
	waited   bool      // it was not there at once
	taken    time.Time // when its user took it; zero without an observer

	file     os.FileInfo // of a database that is a file, and
	fileSeen time.Time   // when it was looked at last

	// What follows is guarded by the budget's lock.
	idleSince time.Time
	turnBegan time.Time // when its tenant began to hand it on while others wait
	at        int       // in budget.idle
	inQueue   int       // in lane.idle
}

var (
	_ sqldriver.Conn               = (*conn)(nil)
	_ sqldriver.ConnBeginTx        = (*conn)(nil)
	_ sqldriver.ConnPrepareContext = (*conn)(nil)
	_ sqldriver.ExecerContext      = (*conn)(nil)
	_ sqldriver.QueryerContext     = (*conn)(nil)
	_ sqldriver.Pinger             = (*conn)(nil)
	_ sqldriver.NamedValueChecker  = (*conn)(nil)
	_ sqldriver.Validator          = (*conn)(nil)
)

// init finds what the driver can do.
func (c *conn) init() {
	if t := c.lane; t.files != nil {
		c.file, _ = t.files.File(t.database)
		c.fileSeen = time.Now()
	}
	c.begin, _ = c.inner.(sqldriver.ConnBeginTx)
	c.exec, _ = c.inner.(sqldriver.ExecerContext)
	c.query, _ = c.inner.(sqldriver.QueryerContext)
	c.prepare, _ = c.inner.(sqldriver.ConnPrepareContext)
	c.ping, _ = c.inner.(sqldriver.Pinger)
	c.check, _ = c.inner.(sqldriver.NamedValueChecker)
	c.reset, _ = c.inner.(sqldriver.SessionResetter)
	c.valid, _ = c.inner.(sqldriver.Validator)
}

// closeForGood closes the connection.
func (c *conn) closeForGood() {
	if c.bad && c.lane.killer != nil && c.lane.tenant != "" {
		c.lane.budget.killSession(c)
		return
	}
	c.lane.hangUp(c.inner, c.bad)
}

// Close gives the connection back. database/sql calls it when a query's rows
// are closed, or a transaction has ended.
func (c *conn) Close() error {
	reusable := false // if something panics
	defer func() {
		c.stopWriting()
		taken := c.taken
		c.taken = time.Time{}
		c.lane.budget.release(c, reusable)
		if !taken.IsZero() {
			c.lane.observer.ObserveRelease(c.lane.tenant, time.Since(taken))
		}
	}()
	c.bad = c.bad || !c.IsValid()
	if !c.bad && (!c.state || c.lane.clean(c.inner) == nil) {
		c.cleaned = c.cleaned || c.state
		c.state = false
		reusable = true
	}
	return nil
}

// IsValid implements [sqldriver.Validator].
func (c *conn) IsValid() bool { return c.valid == nil || c.valid.IsValid() }

// Ping implements [sqldriver.Pinger].
func (c *conn) Ping(ctx context.Context) error {
	if err := c.lane.allows(ctx); err != nil {
		return err
	}
	if c.ping == nil {
		return nil
	}
	in := c.harmless("dbpool.ping")
	return c.failed(ctx, in, c.ping.Ping(ctx))
}

// Prepare implements [sqldriver.Conn].
func (c *conn) Prepare(query string) (sqldriver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext implements [sqldriver.ConnPrepareContext].
func (c *conn) PrepareContext(ctx context.Context, query string) (sqldriver.Stmt, error) {
	if err := c.lane.allows(ctx); err != nil {
		return nil, err
	}
	e := c.note(query)
	in := c.harmless("dbpool.prepare")
	in.text = query
	var s sqldriver.Stmt
	var err error
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
func (c *conn) Begin() (sqldriver.Tx, error) {
	return c.BeginTx(context.Background(), sqldriver.TxOptions{})
}

// BeginTx implements [sqldriver.ConnBeginTx].
func (c *conn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (t sqldriver.Tx, err error) {
	defer c.caught(&err)
	if c.begin == nil {
		return nil, errors.New("dbpool: the driver has no BeginTx")
	}
	if err := c.lane.allows(ctx); err != nil {
		return nil, err
	}
	if c.lane.writer != nil && !opts.ReadOnly && !c.writing {
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
	return &tx{inner, c, ctx, !opts.ReadOnly}, nil
}

// ExecContext implements [sqldriver.ExecerContext].
func (c *conn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (res sqldriver.Result, err error) {
	if c.exec == nil {
		return nil, sqldriver.ErrSkip
	}
	defer c.caught(&err)
	if err := c.lane.allows(ctx); err != nil {
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
func (c *conn) QueryContext(ctx context.Context, query string, args []sqldriver.NamedValue) (rows sqldriver.Rows, err error) {
	if c.query == nil {
		return nil, sqldriver.ErrSkip
	}
	if err := c.lane.allows(ctx); err != nil {
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
func (c *conn) CheckNamedValue(v *sqldriver.NamedValue) (err error) {
	defer c.caught(&err)
	if c.check == nil {
		v.Value, err = sqldriver.DefaultParameterConverter.ConvertValue(v.Value)
		return err
	}
	return c.check.CheckNamedValue(v)
}

// caught makes a panic, such as of an argument, an error, and ends the connection:
// database/sql loses the connection of a query, a prepared statement or a transaction
// that panics, and would use that of another statement again.
func (c *conn) caught(err *error) {
	if p := recover(); p != nil {
		c.bad = true
		*err = fmt.Errorf("dbpool: panic: %v\n%s", p, debug.Stack())
	}
}

// note returns what a statement may do, and remembers that it may leave state in
// the session.
func (c *conn) note(query string) sqltext.Effect {
	e := c.lane.statements.Effect(query)
	c.state = c.state || e&sqltext.LeavesState != 0
	return e
}

// Unwrap returns the engine's connection, for those who only ask it what it is.
func (c *conn) Unwrap() sqldriver.Conn { return c.inner }

// Unwrap returns the driver's own connection out of what [sql.Conn.Raw] gives,
// for what only the driver can do, such as pgx's CopyFrom. It is for use within
// Raw. What happens to the session there is not seen, so it is cleaned afterwards
// as after a statement that leaves something, unless [Options.KeepSessions] says
// otherwise. Any other value is returned as it is.
func Unwrap(raw any) any {
	c, ok := raw.(*conn)
	if !ok {
		return raw
	}
	c.state = true
	return driversOwn(c.inner)
}

// driversOwn returns the driver's own connection.
func driversOwn(conn sqldriver.Conn) sqldriver.Conn {
	if w, ok := conn.(interface{ Unwrap() sqldriver.Conn }); ok {
		return w.Unwrap()
	}
	return conn
}
