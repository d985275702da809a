package admin_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A long answer to GET is compressed for a client that takes it so. One to POST never is: it may be kept for an Idempotency-Key.
func TestAnswersAreCompressed(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	for i := range 20 { // so that the plan is long
		c.tenant(t, fmt.Sprintf("more-%02d", i), "eu")
	}
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	for _, tt := range []struct{ method, path, body, coding string }{
		{"GET", "roles", "", "gzip"}, {"GET", "tenants/t-aaa/settings", "", ""},
		{"POST", "actions/bulk-suspend", `{"dry_run":true,"filter":"status:active"}`, ""},
	} {
		r := cl.request(t, tt.method, tt.path, tt.body)
		r.Header.Set("Accept-Encoding", "gzip")
		w := httptest.NewRecorder()
		c.Handler().ServeHTTP(w, r)
		if got := w.Header().Get("Content-Encoding"); w.Code >= 300 || got != tt.coding {
			t.Errorf("%s %s: got %d %q, %d bytes, want %q", tt.method, tt.path, w.Code, got, w.Body.Len(), tt.coding)
			continue
		}
		in := json.NewDecoder(w.Body)
		if tt.coding != "" {
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			in = json.NewDecoder(z)
		}
		var v any
		if err := in.Decode(&v); err != nil || v == nil {
			t.Errorf("%s %s: got %v, want JSON", tt.method, tt.path, err)
		}
	}
}
