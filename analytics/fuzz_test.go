package analytics_test

import (
	"errors"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
)

// FuzzTenants asks a real database for tenants by what a client may send: nothing but
// tenancy.ErrInvalid comes of it, and nobody outside of the scope.
func FuzzTenants(f *testing.F) {
	store := openSQLite(f, f.TempDir()+"/usage.db")
	hidden := &tenancy.Tenant{ID: "hidden", Slug: "hidden", Name: "hidden", Version: 1, Status: tenancy.StatusActive}
	seen := &tenancy.Tenant{ID: "seen", Slug: "seen", Name: "seen", Version: 1, Status: tenancy.StatusActive, Tags: []string{"eu"}}
	if _, err := store.Write(f.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{hidden, seen}, Parts: []analytics.Part{usageOf("seen", time.Now().Truncate(time.Minute), 5, 1, 1)}}); err != nil {
		f.Fatal(err)
	}
	reports, err := analytics.NewReports(store, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][3]string{
		{"status:active requests_7d:>1000", "-requests", ""}, {"errors:1..9 storage:<5 tag:eu", "errors_1h", "x"}, {`"a' OR 1=1 --" requests:1,2`, "name; DROP", "WyJhIl0"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, text, sort, cursor string) {
		filter, err := tenancy.ParseFilter(text, analytics.Fields()...)
		if err != nil {
			if !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("got %v, want %v", err, tenancy.ErrInvalid)
			}
			return
		}
		for _, after := range []tenancy.Cursor{"", tenancy.Cursor(cursor)} {
			page, err := reports.Tenants(t.Context(), tenancy.ByTags("eu"), &analytics.TenantsRequest{Filter: filter, Sort: sort, After: after})
			if err != nil {
				if !errors.Is(err, tenancy.ErrInvalid) {
					t.Errorf("%q by %q after %q: got %v, want %v", text, sort, after, err, tenancy.ErrInvalid)
				}
				continue
			}
			for _, tenant := range page.Tenants {
				if tenant.ID != "seen" {
					t.Errorf("got %s, which is not in the scope", tenant.ID)
				}
			}
		}
		_, err = reports.Activities(t.Context(), tenancy.ByTags("eu"), &analytics.ActivitiesRequest{Subject: text, Types: []string{sort}, After: tenancy.Cursor(cursor)})
		if err != nil && !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("activities: got %v, want %v", err, tenancy.ErrInvalid)
		}
	})
}
