package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"

	"github.com/artflow-studio/tenancy"
)

// timeFormat is how times are bound: in UTC and without a zone, as SQLite itself
// writes CURRENT_TIMESTAMP. Texts of this form sort as their times do, and SQLite's
// functions of date and time read them.
// Source: https://www.sqlite.org/lang_datefunc.html
const timeFormat = "2006-01-02 15:04:05.999999999"

// conn is a connection of the driver that binds times in timeFormat, and whose read-only transactions do not write.
type conn struct {
	driversConn
	reads bool // it never writes
}

// BeginTx implements [sqldriver.ConnBeginTx]. For the driver a read-only transaction is one that takes no lock at its beginning.
func (c conn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	if !opts.ReadOnly || c.reads {
		return c.driversConn.BeginTx(ctx, opts)
	}
	if err := c.queryOnly(true); err != nil {
		return nil, err
	}
	tx, err := c.driversConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, c.after(err)
	}
	return readTx{tx, c}, nil
}

// queryOnly says whether SQLite refuses to write on the connection.
// Source: https://www.sqlite.org/pragma.html#pragma_query_only
func (c conn) queryOnly(on bool) error {
	_, err := c.ExecContext(context.Background(), fmt.Sprintf(`PRAGMA query_only = %t`, on), nil)
	return err
}

// after lets the connection write again behind a read-only transaction that ended with err. One that cannot is of no use.
func (c conn) after(err error) error {
	if e := c.queryOnly(false); e != nil {
		return errors.Join(err, e, c.Close())
	}
	return err
}

// readTx is a transaction that does not write.
type readTx struct {
	sqldriver.Tx
	c conn
}

func (tx readTx) Commit() error   { return tx.c.after(tx.Tx.Commit()) }
func (tx readTx) Rollback() error { return tx.c.after(tx.Tx.Rollback()) }

// driversConn is what a connection of the driver can do.
type driversConn interface {
	sqldriver.Conn
	sqldriver.ConnBeginTx
	sqldriver.ConnPrepareContext
	sqldriver.ExecerContext
	sqldriver.QueryerContext
	sqldriver.Pinger
	sqldriver.SessionResetter
	sqldriver.Validator

	sqlite.FileControl
	sqlite.HookRegisterer
	NewBackup(dstURI string) (*sqlite.Backup, error)
	NewRestore(srcURI string) (*sqlite.Backup, error)
	Serialize() ([]byte, error)
	Deserialize(buf []byte) error
}

// CheckNamedValue implements [sqldriver.NamedValueChecker].
func (conn) CheckNamedValue(v *sqldriver.NamedValue) (err error) {
	if v.Value, err = sqldriver.DefaultParameterConverter.ConvertValue(v.Value); err != nil {
		return err
	}
	t, ok := v.Value.(time.Time)
	if !ok {
		return nil
	}
	t = t.UTC()
	if year := t.Year(); year < 0 || year > 9999 {
		return fmt.Errorf("%w: time in the year %d, SQLite knows 0 to 9999", tenancy.ErrInvalid, year)
	}
	v.Value = t.Format(timeFormat)
	return nil
}
