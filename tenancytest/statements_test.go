package tenancytest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/tenancytest"
)

var _ dbpool.Observer = tenancytest.StatementObserver{}

func TestCountRequest(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		acme, globex := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		pool := s.Pool(t, &dbpool.Options{Observer: tenancytest.StatementObserver{}})
		ask := func(r *http.Request, tenant *tenancy.Tenant, query string) error {
			db, err := pool.For(r.Context(), tenant)
			if err == nil {
				_, err = db.ExecContext(tenancy.NewContext(r.Context(), tenant), query)
			}
			return err
		}
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 3 {
				if err := ask(r, acme, `SELECT 1`); err != nil {
					t.Error(err)
				}
			}
			if err := ask(r, globex, `SELECT nothing FROM nowhere`); err == nil {
				t.Error("got no error of a table that is not there")
			}
			w.WriteHeader(http.StatusTeapot)
		})
		for range 2 {
			w, n := tenancytest.CountRequest(h, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
			if w.Code != http.StatusTeapot || n.Total() != 4 || n.Of(acme.ID) != 3 || n.Of(globex.ID) != 1 || n.Failures() != 1 {
				t.Errorf("got %d, %d statements, %d and %d, %d failed, want 3 of acme and one of globex, which failed", w.Code, n.Total(), n.Of(acme.ID), n.Of(globex.ID), n.Failures())
			}
		}
		if err := ask(httptest.NewRequestWithContext(t.Context(), "GET", "/", nil), acme, `SELECT 1`); err != nil {
			t.Error(err)
		}
	})
}
