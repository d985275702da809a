package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A process died while the server dropped its tenant's database, whose marker is gone
// already: the next Drop waits until the server is done.
func TestDropDuringADrop(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	acme := s.Tenant(t, "acme")
	name := acme.Placement.Database
	c, err := s.Engine.Connector(name)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer func() { _ = db.Close() }()
	again := func(ctx context.Context) error { return s.Engine.(dbpool.Databases).Drop(ctx, name, acme.ID) }
	err = sqlkit.Alone(t.Context(), db, name, func(conn *sql.Conn) error {
		if _, err := conn.ExecContext(t.Context(), `DROP TABLE tenancy_marker`); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := again(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("in the middle: got %v, want it to wait", err)
		}
		_, err := conn.ExecContext(t.Context(), `DROP DATABASE `+sqlkit.MySQL.Quote(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := again(t.Context()); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("afterwards: got %v, want ErrNotFound", err)
	}
}
