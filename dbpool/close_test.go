package dbpool_test

import (
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A handle that somebody closes, out of habit, is not given out again; the tenant
// is served on.
func TestClosedHandle(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		for range 3 {
			for what, use := range map[string]func() error{
				"DB": func() error {
					db, err := pool.DB(ctx)
					if err != nil {
						return err
					}
					if err := db.GetContext(ctx, new(int), `SELECT 1`); err != nil {
						return err
					}
					return db.Close()
				},
				"DB in a read-only context": func() error {
					db, err := pool.DB(tenancy.WithReadOnly(ctx))
					if err != nil {
						return err
					}
					if err := db.GetContext(ctx, new(int), `SELECT 1`); err != nil {
						return err
					}
					return db.Close()
				},
			} {
				if err := use(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		}
		testserver.Await(t, "without the connections of closed handles", func() bool { return pool.Stat(s.Name).Conns <= 2 })
	})
}
