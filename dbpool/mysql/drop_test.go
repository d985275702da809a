package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A process died while the server dropped its tenant's database, whose marker is gone
// already: who drops, claims or adopts the database next waits until the server is done.
func TestDuringADrop(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	databases, adopter := s.Engine.(driver.Databases), s.Engine.(driver.Adopter)
	for what, do := range map[string]func(ctx context.Context, name string, id tenancy.ID) error{
		"Drop":  databases.Drop,
		"Claim": databases.Claim,
		"Adopt": func(ctx context.Context, name string, id tenancy.ID) error {
			return adopter.Adopt(ctx, name, id, false)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			acme := s.Tenant(t, "acme")
			name := acme.Placement.Database
			c, err := s.Engine.Connector(name)
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(c)
			defer func() { _ = db.Close() }()
			err = sqlkit.Alone(t.Context(), db, name, func(conn *sql.Conn) error {
				if _, err := conn.ExecContext(t.Context(), `DROP TABLE tenancy_marker`); err != nil {
					return err
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				if err := do(ctx, name, acme.ID); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("in the middle: got %v, want it to wait", err)
				}
				_, err := conn.ExecContext(t.Context(), `DROP DATABASE `+sqlkit.MySQL.Quote(name))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := do(t.Context(), name, acme.ID); !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("afterwards: got %v, want ErrNotFound", err)
			}
		})
	}
}
