package dbpool_test

import (
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// Servers and publications may want a primary key of each table: the library's own have
// one.
func TestPrimaryKeysAreRequired(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		engine  testserver.Engine
		dialect sqlkit.Dialect
		require string
	}{
		"postgres": {testserver.Postgres, sqlkit.Postgres, `CREATE PUBLICATION everything FOR ALL TABLES`},
		"mysql":    {testserver.MariaDB, sqlkit.MySQL, `SET GLOBAL innodb_force_primary_key = 1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const acme, database = tenancy.ID("acme"), "acme"
			s := newSide(t, testserver.ForTest(t, tt.engine, nil).URL)
			s.must(t, "", `CREATE DATABASE `+database)
			s.must(t, database, tt.require)
			if err := s.engine.(driver.Adopter).Adopt(t.Context(), database, acme, false); err != nil {
				t.Fatalf("Adopt: %v", err)
			}
			c, err := s.engine.Connector(database)
			if err != nil {
				t.Fatal(err)
			}
			db := open(t, c, s.engine.DriverName())
			if err := sqlkit.EndProvisioning(t.Context(), db.DB, tt.dialect); err != nil {
				t.Fatal(err)
			}
			created := time.Now()
			for _, want := range []sqlkit.Found{sqlkit.FoundNew, sqlkit.FoundBroken} {
				if got, err := sqlkit.BeginProvisioning(t.Context(), db.DB, tt.dialect, created, true); got != want || err != nil {
					t.Errorf("BeginProvisioning: got %v, %v, want %v", got, err, want)
				}
			}
		})
	}
}
