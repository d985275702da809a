package analytics_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// The memory of a pool's connections, a cache's records, bodies in flight and of what the application adds counts for its
// tenants, and by kind for the instance.
func TestKindsOfMemory(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		acme := s.Tenant(t, "acme")
		pool, err := dbpool.New(map[string]driver.Engine{s.Name: s.Engine}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pool.Close() })
		db, err := pool.For(t.Context(), acme)
		if err == nil {
			err = db.PingContext(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		records, err := cache.New(tenancytest.NewCatalog(t, acme), nil)
		if err == nil {
			_, err = records.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(acme.ID)})
		}
		if err != nil {
			t.Fatal(err)
		}
		store := migrated(t, s)
		rec := newRecorder(t, store, nil)
		rec.Attach(pool, records, held{acme.ID: 7})
		h := rec.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if n, err := io.Copy(io.Discard, r.Body); err != nil || n != 5000 {
				t.Errorf("got %d bytes, %v", n, err)
			}
			if err := rec.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(tenancy.NewContext(t.Context(), acme), "POST", "/", strings.NewReader(strings.Repeat("x", 5000))))
		reports := newReports(t, store)
		got, err := reports.Memory(t.Context(), tenancy.AllTenants())
		if err != nil || len(got.Instances) != 1 || len(got.Tenants.Tenants) != 1 {
			t.Fatalf("got %+v, %v, want one instance and one tenant", got, err)
		}
		kinds, sum := got.Instances[0].Kinds, 0.0
		for _, kind := range []string{analytics.MemoryRecords, analytics.MemoryConnections, analytics.MemoryBodies, analytics.MemoryApplication} {
			if kinds[kind] == nil || kinds[kind].Value <= 0 {
				t.Fatalf("%s: got %+v, want some", kind, kinds[kind])
			}
			sum += kinds[kind].Value
		}
		if kinds[analytics.MemoryBodies].Value != 5000 || kinds[analytics.MemoryApplication].Value != 7 || got.Tenants.Total.Value != sum {
			t.Errorf("got %+v, %+v in all, want 5,000 bytes of bodies, and all kinds for acme", kinds, got.Tenants.Total)
		}
		if err := rec.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err = reports.Memory(t.Context(), tenancy.AllTenants()); err != nil || got.Instances[0].Kinds[analytics.MemoryBodies].Value != 0 {
			t.Errorf("after the request: got %+v, %v, want no body", got.Instances, err)
		}
	})
}
