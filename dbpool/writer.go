package dbpool

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"reflect"
	"time"
)

// SingleWriter is the optional ability of an [Engine] whose databases take one
// writer at a time. Its connections then wait for each other in the order in
// which they came, until their context ends or for [Options.MaxWait], and not in
// the driver, which tries again and again and fails in the end.
//
// A transaction writes from its beginning to its end, unless it is read-only;
// other statements that may write do while they run, or while their rows are
// read.
type SingleWriter interface {
	// SingleWriter reports whether it is so.
	SingleWriter() bool
}

// writer holds a token while somebody writes to a database. It is nil where
// many may, or nobody does.
type writer chan struct{}

// lock waits until nobody else writes.
func (w writer) lock(ctx context.Context, within time.Duration) error {
	select {
	case w <- struct{}{}:
		return nil
	default:
	}
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	select {
	case w <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		return &BusyError{Reason: fmt.Sprintf("others have been writing to the database for %v", within), After: within}
	}
}

func (w writer) unlock() { <-w }

// write waits for the connection's turn to write, if the statement does that. It
// reports whether the turn began with it, and may end with it: one that leaves
// state, such as an open transaction, keeps the turn until the connection is
// given back.
func (c *physical) write(ctx context.Context, e effect) (ends bool, err error) {
	if c.queue.writer == nil || c.writing || e&writes == 0 {
		return false, nil
	}
	return e&leaves == 0, c.startWriting(ctx)
}

func (c *physical) startWriting(ctx context.Context) error {
	if err := c.queue.writer.lock(ctx, c.queue.group.limits.wait); err != nil {
		return err
	}
	c.writing = true
	return nil
}

func (c *physical) stopWriting() {
	if c.writing {
		c.writing = false
		c.queue.writer.unlock()
	}
}

// writeRows returns what a query returned; the turn that began with it ends with
// the rows, or at once if there are none.
func (c *physical) writeRows(rows driver.Rows, ends bool, err error) (driver.Rows, error) {
	switch {
	case !ends:
		return rows, err
	case err != nil:
		c.stopWriting()
		return nil, err
	}
	return &writerRows{rows, c}, nil
}

// writerRows end their connection's turn with themselves.
type writerRows struct {
	driver.Rows
	conn *physical
}

var (
	_ driver.RowsNextResultSet              = (*writerRows)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*writerRows)(nil)
	_ driver.RowsColumnTypeLength           = (*writerRows)(nil)
	_ driver.RowsColumnTypeNullable         = (*writerRows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*writerRows)(nil)
	_ driver.RowsColumnTypeScanType         = (*writerRows)(nil)
)

// Close implements [driver.Rows].
func (r *writerRows) Close() error {
	defer r.conn.stopWriting()
	return r.Rows.Close()
}

// HasNextResultSet implements [driver.RowsNextResultSet].
func (r *writerRows) HasNextResultSet() bool {
	rows, ok := r.Rows.(driver.RowsNextResultSet)
	return ok && rows.HasNextResultSet()
}

// NextResultSet implements [driver.RowsNextResultSet].
func (r *writerRows) NextResultSet() error {
	if rows, ok := r.Rows.(driver.RowsNextResultSet); ok {
		return rows.NextResultSet()
	}
	return io.EOF
}

// ColumnTypeDatabaseTypeName implements [driver.RowsColumnTypeDatabaseTypeName].
func (r *writerRows) ColumnTypeDatabaseTypeName(i int) string {
	if rows, ok := r.Rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return rows.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

// ColumnTypeLength implements [driver.RowsColumnTypeLength].
func (r *writerRows) ColumnTypeLength(i int) (int64, bool) {
	if rows, ok := r.Rows.(driver.RowsColumnTypeLength); ok {
		return rows.ColumnTypeLength(i)
	}
	return 0, false
}

// ColumnTypeNullable implements [driver.RowsColumnTypeNullable].
func (r *writerRows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if rows, ok := r.Rows.(driver.RowsColumnTypeNullable); ok {
		return rows.ColumnTypeNullable(i)
	}
	return false, false
}

// ColumnTypePrecisionScale implements [driver.RowsColumnTypePrecisionScale].
func (r *writerRows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if rows, ok := r.Rows.(driver.RowsColumnTypePrecisionScale); ok {
		return rows.ColumnTypePrecisionScale(i)
	}
	return 0, 0, false
}

// ColumnTypeScanType implements [driver.RowsColumnTypeScanType].
func (r *writerRows) ColumnTypeScanType(i int) reflect.Type {
	if rows, ok := r.Rows.(driver.RowsColumnTypeScanType); ok {
		return rows.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}

// writerTx ends its connection's turn with itself.
type writerTx struct {
	driver.Tx
	conn *physical
}

// Commit implements [driver.Tx].
func (t *writerTx) Commit() error {
	defer t.conn.stopWriting()
	return t.Tx.Commit()
}

// Rollback implements [driver.Tx].
func (t *writerTx) Rollback() error {
	defer t.conn.stopWriting()
	return t.Tx.Rollback()
}

// writerStmt waits for its connection's turn before each use.
type writerStmt struct {
	driver.Stmt
	conn   *physical
	effect effect
}

var (
	_ driver.StmtExecContext   = (*writerStmt)(nil)
	_ driver.StmtQueryContext  = (*writerStmt)(nil)
	_ driver.NamedValueChecker = (*writerStmt)(nil)
)

// ExecContext implements [driver.StmtExecContext].
func (s *writerStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	ends, err := s.conn.write(ctx, s.effect)
	if err != nil {
		return nil, err
	}
	if ends {
		defer s.conn.stopWriting()
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

// QueryContext implements [driver.StmtQueryContext].
func (s *writerStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	ends, err := s.conn.write(ctx, s.effect)
	if err != nil {
		return nil, err
	}
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	return s.conn.writeRows(rows, ends, err)
}

// CheckNamedValue implements [driver.NamedValueChecker].
func (s *writerStmt) CheckNamedValue(v *driver.NamedValue) error {
	if c, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return c.CheckNamedValue(v)
	}
	return s.conn.CheckNamedValue(v)
}
