package dbpool_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// slow takes longer than any test waits.
var slow = map[string]string{
	"pgx": `SELECT pg_sleep(30)`, "mysql": `SELECT SLEEP(30)`,
	"sqlite": `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n`,
}

// What a query is told when its context ends is the context's error, whatever the
// server says of it: a client that went away is no failure of the service.
func TestCancelledQueries(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		pool := s.Pool(t, nil)
		db, err := pool.For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		query := slow[db.DriverName()]
		for what, run := range map[string]func(context.Context) error{
			"Exec":  func(ctx context.Context) error { _, err := db.ExecContext(ctx, query); return err },
			"Get":   func(ctx context.Context) error { return db.GetContext(ctx, new(any), query) },
			"Query": func(ctx context.Context) error { return scanAll(db.QueryContext(ctx, query)) }, //nolint:sqlclosecheck // scanAll does
			"Tx": func(ctx context.Context) error {
				return pool.Tx(tenancy.NewContext(ctx, tenant), nil, func(tx *sqlx.Tx) error { return tx.GetContext(ctx, new(any), query) })
			},
			"Tx before its commit": func(ctx context.Context) error {
				return pool.Tx(tenancy.NewContext(ctx, tenant), nil, func(tx *sqlx.Tx) error {
					<-ctx.Done()
					for { // until database/sql has noticed
						if _, err := tx.Exec(`SELECT 1`); errors.Is(err, sql.ErrTxDone) {
							return nil
						}
					}
				})
			},
		} {
			cancelled, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			if err := run(cancelled); !errors.Is(err, context.Canceled) {
				t.Errorf("%s, cancelled: got %v, want context.Canceled", what, err)
			}
			short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if err := run(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, too late: got %v, want context.DeadlineExceeded", what, err)
			}
			cancel()
		}
		if err := db.GetContext(t.Context(), new(int), `SELECT 1`); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func scanAll(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	for rows.Next() {
		continue
	}
	return errors.Join(rows.Err(), rows.Close())
}
