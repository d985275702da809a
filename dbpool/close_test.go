package dbpool_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
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

// Those who wait at one server hear at once that the pool is closed, however long another server's network takes.
func TestCloseOfAServerThatHangs(t *testing.T) {
	t.Parallel()
	for _, hangs := range []string{"a", "b", "c"} { // in whatever order they are closed
		synctest.Test(t, func(t *testing.T) {
			defer time.Sleep(time.Second) // when the connections below have been closed
			servers := map[string]driver.Engine{}
			for _, name := range []string{"a", "b", "c"} {
				delay := time.Duration(0)
				if name == hangs {
					delay = 8 * time.Second
				}
				servers[name], _ = dbpool.NewFakeServer(t, 1, delay)
			}
			p, err := dbpool.New(servers, &dbpool.Options{Budget: 1, MaxWait: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			began := make(chan time.Time, 1)
			refused := make(chan time.Duration, len(servers))
			for name := range servers {
				db, err := p.For(t.Context(), tenantOn(name, "acme-"+name))
				if err != nil {
					t.Fatal(err)
				}
				if name != hangs {
					conn, err := db.Connx(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = conn.Close() }()
				}
				go func() {
					if err := db.PingContext(context.WithoutCancel(t.Context())); !errors.Is(err, tenancy.ErrClosed) {
						t.Errorf("%s: got %v, want ErrClosed", name, err)
					}
					at := <-began
					began <- at
					refused <- time.Since(at)
				}()
			}
			synctest.Wait()
			began <- time.Now()
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			for range servers {
				if d := <-refused; d != 0 {
					t.Errorf("%s hangs: somebody who waits heard of the end after %v, want at once", hangs, d)
				}
			}
		})
	}
}
