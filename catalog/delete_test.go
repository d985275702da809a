package catalog_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/artflow-studio/tenancy"
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
