package sqlite

import (
	sqldriver "database/sql/driver"
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

// conn is a connection of the driver that binds times in timeFormat.
type conn struct{ driversConn }

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
