package dbpool_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// What only pgx can do is at hand, and what it leaves in the session does not
// stay.
func TestUnwrap(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	pool := s.Pool(t, &dbpool.Options{MaxConns: 1})
	ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
	err := pool.With(ctx, func(c *sqlx.Conn) error {
		if _, err := c.ExecContext(ctx, `CREATE TABLE notes (id INT)`); err != nil {
			return err
		}
		return c.Raw(func(raw any) error {
			conn := dbpool.Unwrap(raw).(*stdlib.Conn).Conn()
			if _, err := conn.Exec(ctx, `SET application_name = 'left'`); err != nil {
				return err
			}
			_, err := conn.CopyFrom(ctx, pgx.Identifier{"notes"}, []string{"id"}, pgx.CopyFromRows([][]any{{1}, {2}}))
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	db, err := pool.DB(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.Get(&n, `SELECT count(*) FROM notes`); err != nil || n != 2 {
		t.Errorf("got %d notes, %v, want 2", n, err)
	}
	var name string
	if err := db.Get(&name, `SHOW application_name`); err != nil || name == "left" {
		t.Errorf("got application_name %q, %v, want it clean", name, err)
	}
	if st := pool.Stat("postgres"); st.Dials != 1 {
		t.Errorf("got %d dials, want the session cleaned and kept", st.Dials)
	}
	if got := dbpool.Unwrap(context.Background()); got != context.Background() {
		t.Errorf("got %v, want it as it was", got)
	}
}

// What pgx has kept of a session for its user does not reach the next.
func TestNotificationsDoNotStay(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	pool := s.Pool(t, &dbpool.Options{MaxConns: 1})
	ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
	for i := range 2 {
		err := pool.With(ctx, func(c *sqlx.Conn) error {
			err := c.Raw(func(raw any) error {
				ended, cancel := context.WithCancel(ctx)
				cancel() // so that only what is there already comes
				if n, err := dbpool.Unwrap(raw).(*stdlib.Conn).Conn().WaitForNotification(ended); err == nil {
					t.Errorf("user %d: got %q of an earlier one", i, n.Payload)
				}
				return nil
			})
			for _, statement := range []string{`LISTEN notes`, `NOTIFY notes, 'secret'`, `NOTIFY notes, 'another'`} {
				if _, e := c.ExecContext(ctx, statement); err == nil {
					err = e
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if st := pool.Stat(s.Name); st.Dials != 1 {
		t.Errorf("got %d dials, want the one connection kept", st.Dials)
	}
}
