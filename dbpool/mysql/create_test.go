package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// One process has made a database and loses its session before it marks it. Another has
// claimed the database meanwhile: it stays.
func TestCreateFailsBesideAClaim(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	databases, inventory := s.Engine.(driver.Databases), s.Engine.(driver.Inventory)
	home := s.Tenant(t, "home")
	for name, claims := range map[string]bool{"nobody": false, "the tenant": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := fmt.Sprintf("%.40s_%v", home.Placement.Database, claims)
			t.Cleanup(func() { _ = databases.Drop(context.WithoutCancel(t.Context()), database, "acme") })
			c, err := s.Engine.Connector(home.Placement.Database)
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(c)
			db.SetMaxOpenConns(1) // whose session has the lock on the marker
			defer func() { _ = db.Close() }()
			if _, err := db.Exec(`SELECT GET_LOCK(CONCAT('tenancy:', SHA1(CONCAT(?, '.tenancy_marker'))), 0)`, database); err != nil {
				t.Fatal(err)
			}
			created := make(chan error, 1)
			go func() { created <- databases.Create(t.Context(), database, "acme") }()
			var marking int64 // the session that waits for the lock
			testserver.Await(t, "a session marks the database", func() bool {
				err := db.QueryRow(`SELECT id FROM information_schema.processlist WHERE db = ?`, database).Scan(&marking)
				if err != nil && !errors.Is(err, sql.ErrNoRows) {
					t.Fatal(err)
				}
				return marking != 0
			})
			if claims {
				if _, err := db.Exec(`USE ` + sqlkit.MySQL.Quote(database)); err != nil {
					t.Fatal(err)
				}
				if err := sqlkit.Claim(t.Context(), db, sqlkit.MySQL, "acme"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := db.Exec(fmt.Sprintf(`KILL %d`, marking)); err != nil {
				t.Fatal(err)
			}
			err = <-created
			var left interface{ Left() bool }
			if err == nil || errors.Is(err, tenancy.ErrExists) != claims || errors.As(err, &left) != claims {
				t.Errorf("Create: got %v, want an error, and that the database is left: %v", err, claims)
			}
			owner, err := inventory.Owner(t.Context(), database)
			if claims && (owner != "acme" || err != nil) || !claims && !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("got owner %q, %v, want it there: %v", owner, err, claims)
			}
		})
	}
}
