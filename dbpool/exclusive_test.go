package dbpool_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestExclusive(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		acme, other := s.Tenant(t, "acme"), s.Tenant(t, "other")
		pools := []*dbpool.Pool{s.Pool(t, nil), s.Pool(t, nil), s.Pool(t, nil)}
		var inside atomic.Int32
		var wg sync.WaitGroup
		for _, p := range pools {
			for range 3 {
				wg.Go(func() {
					err := p.Exclusive(t.Context(), acme, func(ctx context.Context) error {
						if n := inside.Add(1); n != 1 {
							t.Errorf("got %d at once, want 1", n)
						}
						defer inside.Add(-1)
						return p.Exclusive(ctx, other, func(context.Context) error { return nil })
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()

		failed := errors.New("failed")
		if err := pools[0].Exclusive(t.Context(), acme, func(context.Context) error { return failed }); !errors.Is(err, failed) || errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("got %v, want the function's own error", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		err := pools[0].Exclusive(t.Context(), acme, func(context.Context) error {
			cancel()
			return pools[1].Exclusive(ctx, acme, func(context.Context) error { t.Error("two at once"); return nil })
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a wait whose context ends: got %v, want context.Canceled", err)
		}
		if err := pools[0].Exclusive(t.Context(), acme, doNothing); err != nil {
			t.Errorf("after all that: %v", err)
		}
	})
}

func doNothing(context.Context) error { return nil }

// The database goes while one process has the lock and others wait, and comes
// again: nobody has the lock beside another.
func TestExclusiveWhileTheDatabaseGoes(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		acme := s.Tenant(t, "acme")
		acme.Status = tenancy.StatusProvisioning
		var inside atomic.Int32
		var wg sync.WaitGroup
		for range 4 {
			p := s.Pool(t, nil)
			wg.Go(func() {
				for range 5 {
					err := p.Create(t.Context(), acme)
					if err != nil && !errors.Is(err, tenancy.ErrExists) {
						t.Errorf("Create: %v", err)
					}
					ran := false
					err = p.Exclusive(t.Context(), acme, func(ctx context.Context) error {
						ran = true
						if n := inside.Add(1); n != 1 {
							t.Errorf("got %d at once, want 1", n)
						}
						inside.Add(-1) // PostgreSQL's lock goes with the database
						return p.Drop(ctx, acme)
					})
					if ran && err != nil && !errors.Is(err, tenancy.ErrNotFound) && !errors.Is(err, tenancy.ErrForbidden) {
						t.Errorf("Drop: %v", err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// Whoever has the lock hears of its loss, and so does the caller, whatever the function
// makes of it.
func TestExclusiveIsLost(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for engine, kill := range map[string]string{
		"postgres": `SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory' AND datname = current_database()`,
		"mysql":    ``,
	} {
		for _, returns := range []error{nil, failed} {
			t.Run(fmt.Sprint(engine, " ", returns), func(t *testing.T) {
				t.Parallel()
				s := tenancytest.NewServer(t, engine)
				acme := s.Tenant(t, "acme")
				p := s.Pool(t, nil)
				db, err := p.For(t.Context(), acme)
				if err != nil {
					t.Fatal(err)
				}
				err = p.Exclusive(t.Context(), acme, func(ctx context.Context) error {
					statement := kill
					if engine == "mysql" {
						var id string
						if err := db.Get(&id, `SELECT IS_USED_LOCK(CONCAT('tenancy:', SHA1(CONCAT(DATABASE(), '.tenancy_exclusive'))))`); err != nil {
							t.Error(err)
						}
						statement = `KILL ` + id
					}
					if _, err := db.Exec(statement); err != nil {
						t.Error(err)
					}
					select {
					case <-ctx.Done():
					case <-time.After(2 * time.Minute):
						t.Error("the context of the function did not end")
					}
					return returns
				})
				if !errors.Is(err, tenancy.ErrUnavailable) || returns != nil && !errors.Is(err, returns) {
					t.Errorf("got %v, want ErrUnavailable, and the function's error", err)
				}
			})
		}
	}
}

// Work that is done alone hears of a server that has stopped answering, and does not wait
// for it in the end.
func TestExclusiveOnASilentServer(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *tenancytest.Server) {
		for name, tt := range map[string]struct {
			work func(context.Context) error
			want error
		}{
			"ends":  {func(context.Context) error { return nil }, nil},
			"waits": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, tenancy.ErrUnavailable},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if testing.Short() && tt.want != nil {
					t.Skip("waits for half a minute")
				}
				tenant := s.Tenant(t, "acme")
				engine, proxy := proxied(t, s, "")
				ended := make(chan error, 1)
				go func() {
					ended <- engine.(driver.Databases).Exclusive(t.Context(), tenant.Placement.Database, func(ctx context.Context) error {
						proxy.InjectOpen(testserver.Fault{Silent: true})
						return tt.work(ctx)
					})
				}()
				select {
				case err := <-ended:
					if !errors.Is(err, tt.want) {
						t.Errorf("got %v, want %v", err, tt.want)
					}
				case <-time.After(3 * time.Minute):
					t.Error("still waits")
				}
				proxy.CutAll()
			})
		}
	})
}
