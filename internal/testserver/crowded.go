package testserver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// Crowded returns a SQLite database whose pool never has a free connection: each use fails with
// an error that wraps [tenancy.ErrLimited].
func Crowded(t testing.TB) *sqlx.DB {
	db := sqlx.NewDb(sql.OpenDB(crowded{}), "sqlite")
	t.Cleanup(func() { _ = db.Close() })
	return db
}

type crowded struct{}

func (crowded) Connect(context.Context) (driver.Conn, error) {
	return nil, fmt.Errorf("%w: no connection is free", tenancy.ErrLimited)
}

func (crowded) Driver() driver.Driver { return nil }

// LastLine is a log that cancels a context when it gets a line.
type LastLine struct {
	strings.Builder
	Cancel context.CancelFunc
}

// Write implements [io.Writer].
func (l *LastLine) Write(line []byte) (int, error) {
	defer l.Cancel()
	return l.Builder.Write(line)
}
