package admin_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A long answer to GET is compressed for a client that takes it so. One to POST never is: it may be kept for an Idempotency-Key.
func TestAnswersAreCompressed(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	var tags []string // so many that the answer is long
	for i := range 30 {
		tags = append(tags, fmt.Sprintf("%02d%s", i, strings.Repeat("x", 50)))
	}
	made, err := json.Marshal(map[string]any{"slug": "tagged", "name": "Tagged", "tags": tags})
	if err != nil {
		t.Fatal(err)
	}
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	for _, tt := range []struct{ method, path, body, coding string }{
		{"GET", "roles", "", "gzip"}, {"GET", "tenants/t-aaa/settings", "", ""},
		{"POST", "tenants", string(made), ""},
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
