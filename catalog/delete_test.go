package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Of several that delete one tenant at once, one does, and the others learn that it is gone: also those
// whose transaction began to read while it was there.
func TestDeletedAtOnce(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := open(t, s)
		for i := range 10 {
			acme, err := c.Create(t.Context(), &tenancy.Tenant{Slug: fmt.Sprint("acme", i), Status: tenancy.StatusProvisioning})
			if err != nil {
				t.Fatal(err)
			}
			var deleted atomic.Int32
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					switch err := c.Delete(t.Context(), acme.ID); {
					case err == nil:
						deleted.Add(1)
					case !errors.Is(err, tenancy.ErrNotFound):
						t.Errorf("got %v, want nil or ErrNotFound", err)
					}
				})
			}
			wg.Wait()
			if n := deleted.Load(); n != 1 {
				t.Errorf("got %d that deleted it, want 1", n)
			}
		}
	})
}

// A tenant is made again under its ID while somebody deletes it: the new one stays.
func TestDeleteOfATenantMadeAgain(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		plain, err := catalog.New(db, nil)
		if err == nil {
			err = plain.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		var made *tenancy.Tenant
		slow, err := catalog.New(db, &catalog.Options{Before: []func(context.Context, catalog.Change) error{
			func(_ context.Context, c catalog.Change) (err error) {
				if made != nil {
					return nil
				}
				for made == nil || made.CreatedAt.Equal(c.Before.CreatedAt) {
					if err := plain.Delete(t.Context(), "acme"); err != nil {
						return err
					}
					if made, err = plain.Create(t.Context(), &tenancy.Tenant{ID: "acme", Slug: "acme"}); err != nil {
						return err
					}
				}
				return nil
			},
		}})
		if err == nil {
			_, err = plain.Create(t.Context(), &tenancy.Tenant{ID: "acme", Slug: "acme"})
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := slow.Delete(t.Context(), "acme"); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
		got, err := plain.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: "acme"})
		if err != nil || !got.CreatedAt.Equal(made.CreatedAt) {
			t.Errorf("got %+v, %v, want the new tenant", got, err)
		}
	})
}
