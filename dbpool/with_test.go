package dbpool_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A function that leaves rows or a transaction open does not hold up With, nor its
// panic. The connection goes back when they end.
func TestWithLeavesSomethingOpen(t *testing.T) {
	t.Parallel()
	errLeft := errors.New("left")
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		for what, leave := range map[string]func(context.Context, *sqlx.Conn) error{
			"rows": func(ctx context.Context, c *sqlx.Conn) error {
				rows, err := c.QueryContext(ctx, `SELECT 1 UNION ALL SELECT 2`) //nolint:rowserrcheck,sqlclosecheck // left open on purpose
				if err != nil {
					return err
				}
				rows.Next()
				return errLeft
			},
			"rows of a prepared statement": func(ctx context.Context, c *sqlx.Conn) error {
				p, err := c.PreparexContext(ctx, `SELECT 1 UNION ALL SELECT 2`) //nolint:sqlclosecheck // left open on purpose
				if err != nil {
					return err
				}
				if _, err = p.QueryContext(ctx); err != nil { //nolint:rowserrcheck,sqlclosecheck // left open on purpose
					return err
				}
				return errLeft
			},
			"a transaction": func(ctx context.Context, c *sqlx.Conn) error {
				if _, err := c.BeginTxx(ctx, nil); err != nil {
					return err
				}
				return errLeft
			},
			"rows, and panics": func(ctx context.Context, c *sqlx.Conn) error {
				if _, err := c.QueryContext(ctx, `SELECT 1`); err != nil { //nolint:rowserrcheck,sqlclosecheck // left open on purpose
					return err
				}
				panic(errLeft)
			},
		} {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				pool := s.Pool(t, &dbpool.Options{MaxConns: 1, MaxWait: 2 * time.Minute})
				ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
				short, cancel := context.WithCancel(ctx)
				defer cancel()
				ended := make(chan error, 1)
				go func() {
					defer func() {
						if p := recover(); p != nil {
							ended <- p.(error)
						}
					}()
					ended <- pool.With(short, func(c *sqlx.Conn) error { return leave(short, c) })
				}()
				select {
				case err := <-ended:
					if !errors.Is(err, errLeft) {
						t.Errorf("got %v, want what the function says", err)
					}
				case <-time.After(2 * time.Minute):
					t.Error("With still waits")
				}
				cancel() // ends what is open
				err := pool.With(ctx, func(c *sqlx.Conn) error {
					_, err := c.ExecContext(ctx, `SELECT 1`)
					return err
				})
				if err != nil {
					t.Errorf("afterwards: got %v, want the connection back", err)
				}
				if st := pool.Stat(s.Name); st.InUse != 0 {
					t.Errorf("got %d connections in use, want none", st.InUse)
				}
			})
		}
	})
}
