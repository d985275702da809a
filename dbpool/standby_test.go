package dbpool_test

import (
	"database/sql"
	"errors"
	"net/url"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A connection of PostgreSQL that leads to a standby, since a name or a
// proxy led there or before the other became the primary, ends at the first write.
func TestWriteOnAStandby(t *testing.T) {
	t.Parallel()
	const n = 4
	primary := testserver.ForTest(t, testserver.Postgres, &testserver.Options{Primary: true})
	side := newSide(t, primary.URL)
	acme := tenancytest.NewTenant("acme")
	acme.Placement = tenancy.Placement{Server: "postgres", Database: "acme"}
	if err := side.engine.(driver.Databases).Create(t.Context(), "acme", acme.ID); err != nil {
		t.Fatal(err)
	}
	side.must(t, "acme", `CREATE TABLE notes (text VARCHAR(63))`)
	standby, err := testserver.StartReplica(t.Context(), primary, testserver.Dir(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Kill)
	ctx := tenancy.NewContext(t.Context(), acme)
	engine, proxy := proxied(t, &tenancytest.Server{Name: "postgres", DSN: standby.URL}, "")
	pool, err := dbpool.New(map[string]driver.Engine{"postgres": engine}, &dbpool.Options{MaxConns: n})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	read := func(c *sqlx.Conn) error { return c.GetContext(ctx, new(int), `SELECT COUNT(*) FROM notes`) }
	fill(ctx, t, pool, n, read)
	write := func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO notes (text) VALUES ('x')`)
		return err
	}
	if err := pool.Tx(ctx, nil, write); !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("in a transaction on a standby: got %v, want %v", err, tenancy.ErrUnavailable)
	}
	reading := tenancy.WithReadOnly(ctx)
	err = pool.Tx(reading, nil, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(reading, `INSERT INTO notes (text) VALUES ('x')`)
		return err
	})
	if err == nil || errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("for reading: got %v, want the server's error", err)
	}
	fill(ctx, t, pool, n, read)
	address, err := url.Parse(primary.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Lead(address.Host)
	db, err := pool.DB(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO notes (text) VALUES ('x')`); err != nil {
		t.Errorf("got %v, want the write on a new connection", err)
	}
	// An operator lets the server take no writes, and sessions that are there hear of it.
	side.must(t, "", `ALTER SYSTEM SET default_transaction_read_only = on`, `SELECT pg_reload_conf()`)
	for err = nil; err == nil; {
		err = pool.Tx(ctx, nil, write)
	}
	if !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("a server that takes no writes: got %v, want %v", err, tenancy.ErrUnavailable)
	}
	if err := pool.Tx(ctx, &sql.TxOptions{ReadOnly: true}, write); err == nil {
		t.Error("a transaction that reads only: got no error")
	}
}
