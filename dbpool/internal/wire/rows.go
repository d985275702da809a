package wire

import (
	"context"
	sqldriver "database/sql/driver"
	"io"
	"reflect"
	"time"
)

// rows are a driver's, whose errors are classified. They end their connection's
// turn to write, if it began with them.
type rows struct {
	sqldriver.Rows
	conn *Conn
	text string
	ctx  context.Context // that of the query, as in database/sql
	ends bool
	done bool // all have been read, of all results

	// What the driver took so far, and its first error, until Close reports them.
	took time.Duration
	err  error
	told bool
}

var (
	_ sqldriver.RowsNextResultSet              = (*rows)(nil)
	_ sqldriver.RowsColumnTypeDatabaseTypeName = (*rows)(nil)
	_ sqldriver.RowsColumnTypeLength           = (*rows)(nil)
	_ sqldriver.RowsColumnTypeNullable         = (*rows)(nil)
	_ sqldriver.RowsColumnTypePrecisionScale   = (*rows)(nil)
	_ sqldriver.RowsColumnTypeScanType         = (*rows)(nil)
)

// read returns the rows that a query returned. The turn to write that began with
// the query ends with them, or at once if there are none.
func (c *Conn) read(ctx context.Context, in call, inner sqldriver.Rows, ends bool, err error) (sqldriver.Rows, error) {
	if err != nil {
		if ends {
			c.stopWriting()
		}
		return nil, c.done(ctx, in, err)
	}
	c.open++
	return &rows{Rows: inner, conn: c, text: in.text, ctx: ctx, ends: ends, took: since(in.began)}, nil
}

func (r *rows) failed(err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // the end of the rows, and not of the connection
		return err
	}
	err = r.conn.failed(r.ctx, call{op: "dbpool.rows", sent: unknownSent, final: true}, err)
	if r.err == nil {
		r.err = err
	}
	return err
}

// Next implements [sqldriver.Rows].
func (r *rows) Next(dest []sqldriver.Value) error {
	began := r.conn.clock()
	err := r.next(dest)
	r.took += since(began)
	r.done = err != nil && (err != io.EOF || !r.HasNextResultSet()) //nolint:errorlint // as database/sql looks at it
	return r.failed(err)
}

func (r *rows) next(dest []sqldriver.Value) (err error) {
	defer r.conn.caught(&err)
	return r.Rows.Next(dest)
}

// Close implements [sqldriver.Rows].
func (r *rows) Close() (err error) {
	if r.ends {
		defer r.conn.stopWriting()
	}
	r.conn.open--
	defer r.conn.caught(&err) // of the interrupting
	if i := r.conn.db.interrupts; i != nil && !r.done && r.ctx.Done() != nil {
		defer i.Interrupt(r.ctx, r.conn.inner)()
	}
	began := r.conn.clock()
	err = r.failed(r.close())
	if r.took += since(began); !r.told {
		r.told = true
		r.conn.observe(r.ctx, r.text, r.took, r.err)
	}
	return err
}

func (r *rows) close() (err error) {
	defer r.conn.caught(&err)
	return r.Rows.Close()
}

// HasNextResultSet implements [sqldriver.RowsNextResultSet].
func (r *rows) HasNextResultSet() bool {
	next, ok := r.Rows.(sqldriver.RowsNextResultSet)
	return ok && next.HasNextResultSet()
}

// NextResultSet implements [sqldriver.RowsNextResultSet].
func (r *rows) NextResultSet() error {
	if can, ok := r.Rows.(sqldriver.RowsNextResultSet); ok {
		began := r.conn.clock()
		err := r.nextResultSet(can)
		r.took += since(began)
		r.done = err != nil
		return r.failed(err)
	}
	return io.EOF
}

func (r *rows) nextResultSet(of sqldriver.RowsNextResultSet) (err error) {
	defer r.conn.caught(&err)
	return of.NextResultSet()
}

// ColumnTypeDatabaseTypeName implements [sqldriver.RowsColumnTypeDatabaseTypeName].
func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	if can, ok := r.Rows.(sqldriver.RowsColumnTypeDatabaseTypeName); ok {
		return can.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

// ColumnTypeLength implements [sqldriver.RowsColumnTypeLength].
func (r *rows) ColumnTypeLength(i int) (int64, bool) {
	if can, ok := r.Rows.(sqldriver.RowsColumnTypeLength); ok {
		return can.ColumnTypeLength(i)
	}
	return 0, false
}

// ColumnTypeNullable implements [sqldriver.RowsColumnTypeNullable].
func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if can, ok := r.Rows.(sqldriver.RowsColumnTypeNullable); ok {
		return can.ColumnTypeNullable(i)
	}
	return false, false
}

// ColumnTypePrecisionScale implements [sqldriver.RowsColumnTypePrecisionScale].
func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if can, ok := r.Rows.(sqldriver.RowsColumnTypePrecisionScale); ok {
		return can.ColumnTypePrecisionScale(i)
	}
	return 0, 0, false
}

// ColumnTypeScanType implements [sqldriver.RowsColumnTypeScanType].
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	if can, ok := r.Rows.(sqldriver.RowsColumnTypeScanType); ok {
		return can.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}
