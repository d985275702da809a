package dbpool_test

import (
	"testing"

	"github.com/artflow-studio/tenancy/tenancytest"
)

// A record with another version of the schema renews the tenant's connections: what
// they have prepared may be of the old schema. One that changed otherwise keeps them.
func TestSchemaVersionRenews(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		tenant := s.Tenant(t, "acme").Clone()
		tenant.SchemaVersion = 11
		use := func(what string, dials int64) {
			t.Helper()
			db, err := pool.For(t.Context(), tenant)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Get(new(int), `SELECT 1`); err != nil {
				t.Fatal(err)
			}
			if got := pool.Stat(s.Name).Dials; got != dials {
				t.Errorf("%s: got %d dials, want %d", what, got, dials)
			}
		}
		use("first", 1)
		old := tenant
		tenant = old.Clone()
		tenant.Version++
		use("with another name", 1)
		tenant = tenant.Clone()
		tenant.Version++
		tenant.SchemaVersion = 12
		use("with another schema", 2)
		use("once more", 2)
		tenant = old
		use("with an old record that somebody still holds", 2)
	})
}
