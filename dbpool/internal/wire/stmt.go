package wire

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"time"

	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
)

// stmt is a driver's prepared statement, whose errors are classified. It waits
// for its connection's turn to write before each use.
type stmt struct {
	sqldriver.Stmt
	conn   *Conn
	text   string
	effect sqltext.Effect
	exec   sqldriver.StmtExecContext  // nil if the driver has no such ability
	query  sqldriver.StmtQueryContext // likewise
	check  sqldriver.NamedValueChecker
	took   time.Duration // to prepare, until the first use reports that
}

var (
	_ sqldriver.StmtExecContext   = (*stmt)(nil)
	_ sqldriver.StmtQueryContext  = (*stmt)(nil)
	_ sqldriver.NamedValueChecker = (*stmt)(nil)
)

func newStmt(inner sqldriver.Stmt, c *Conn, text string, e sqltext.Effect, took time.Duration) *stmt {
	s := &stmt{Stmt: inner, conn: c, text: text, effect: e, took: took}
	s.exec, _ = inner.(sqldriver.StmtExecContext)
	s.query, _ = inner.(sqldriver.StmtQueryContext)
	s.check, _ = inner.(sqldriver.NamedValueChecker)
	return s
}

// Close implements [sqldriver.Stmt].
func (s *stmt) Close() (err error) {
	defer s.conn.caught(&err)
	return s.Stmt.Close()
}

// NumInput implements [sqldriver.Stmt]. After a panic the number is not known.
func (s *stmt) NumInput() (n int) {
	defer func() {
		if recover() != nil {
			s.conn.bad = true
			n = -1
		}
	}()
	return s.Stmt.NumInput()
}

// ExecContext implements [sqldriver.StmtExecContext].
func (s *stmt) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (res sqldriver.Result, err error) {
	defer s.conn.caught(&err)
	if err := s.conn.db.Allows(ctx); err != nil {
		return nil, err
	}
	ends, err := s.conn.write(ctx, s.effect)
	if err != nil {
		return nil, err
	}
	if ends {
		defer s.conn.stopWriting()
	}
	in := s.call("dbpool.exec")
	if s.exec != nil {
		res, err = s.exec.ExecContext(ctx, args)
	} else if values, e := positional(args); e != nil {
		return nil, e
	} else {
		res, err = s.Stmt.Exec(values) //nolint:staticcheck // all that the driver has
	}
	return res, s.conn.done(ctx, in, err)
}

// QueryContext implements [sqldriver.StmtQueryContext].
func (s *stmt) QueryContext(ctx context.Context, args []sqldriver.NamedValue) (rows sqldriver.Rows, err error) {
	defer s.conn.caught(&err)
	if err := s.conn.db.Allows(ctx); err != nil {
		return nil, err
	}
	ends, err := s.conn.write(ctx, s.effect)
	if err != nil {
		return nil, err
	}
	in := s.call("dbpool.query")
	var inner sqldriver.Rows
	if s.query != nil {
		inner, err = s.query.QueryContext(ctx, args)
	} else {
		var values []sqldriver.Value
		if values, err = positional(args); err == nil {
			inner, err = s.Stmt.Query(values) //nolint:staticcheck // all that the driver has
		}
	}
	return s.conn.read(ctx, in, inner, ends, err)
}

// call begins a call, which counts as having begun when the statement was prepared.
func (s *stmt) call(op string) call {
	in := s.conn.call(op)
	in.began = in.began.Add(-s.took) // both are zero if nobody observes
	in.text, s.took = s.text, 0
	return in
}

// positional returns arguments for a driver that knows no names.
func positional(args []sqldriver.NamedValue) ([]sqldriver.Value, error) {
	values := make([]sqldriver.Value, len(args))
	for i, arg := range args {
		if arg.Name != "" {
			return nil, errors.New("dbpool: the driver has no named arguments")
		}
		values[i] = arg.Value
	}
	return values, nil
}

// CheckNamedValue implements [sqldriver.NamedValueChecker].
func (s *stmt) CheckNamedValue(v *sqldriver.NamedValue) (err error) {
	defer s.conn.caught(&err)
	if s.check != nil {
		return s.check.CheckNamedValue(v)
	}
	return s.conn.CheckNamedValue(v)
}
