package dbpool

import (
	"database/sql"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
)

// NewFakeServer returns an engine whose connections only count. It fails the
// test when more than budget are open at a time.
func NewFakeServer(t testing.TB, budget int, dial time.Duration) (engine Engine, open func() int64) {
	s := &fakeServer{t: t, budget: int64(budget), delay: func() time.Duration { return dial }}
	return s, s.open.Load
}

// OpenReadOnly opens a database for reading, without a pool.
func OpenReadOnly(e Engine, database string) (*sqlx.DB, error) {
	c, err := e.(ReadOnly).ReadOnlyConnector(database)
	if err != nil {
		return nil, err
	}
	return sqlx.NewDb(sql.OpenDB(c), e.DriverName()), nil
}
