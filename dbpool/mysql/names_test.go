package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Beside a tenant's database there is one whose name differs in case alone, and
// tables in it.
func TestNamesDifferInCase(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	acme := s.Tenant(t, "acme")
	d := s.Engine.(driver.Databases)
	name, other := acme.Placement.Database, strings.ToUpper(acme.Placement.Database)
	c, err := s.Engine.Connector(name)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer func() { _ = db.Close() }()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"CREATE DATABASE `" + other + "`", "USE `" + other + "`",
		"CREATE TABLE data (text LONGTEXT)", "INSERT INTO data VALUES (REPEAT('x', 1000000))", "CREATE TABLE tenancy_provisioning (record BIGINT)",
	} {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		_, _ = conn.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE `"+other+"`")
		_ = conn.Close()
	}()
	if size, err := d.Size(t.Context(), name); err != nil || size > 500_000 {
		t.Errorf("Size: got %d, %v, want that of %s alone", size, err, name)
	}
	if err := d.Claim(t.Context(), name, acme.ID); err != nil {
		t.Errorf("Claim: %v", err)
	}
	if err := d.Drop(t.Context(), name, acme.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), `SELECT 1`); err != nil {
		t.Errorf("the session in %s after %s was dropped: %v", other, name, err)
	}
	if exists, err := d.Exists(t.Context(), name); exists || err != nil {
		t.Errorf("Exists: got %v, %v, want false", exists, err)
	}
	if _, err := d.Size(t.Context(), name); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("Size: got %v, want ErrNotFound", err)
	}
}

// A table of the application's own whose name is that of ours in another case is the
// application's, so a database that has it is not claimed.
func TestClaimBesideATableOfAnotherCase(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	acme := s.Tenant(t, "acme")
	c, err := s.Engine.Connector(acme.Placement.Database)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer func() { _ = db.Close() }()
	for _, statement := range []string{`DROP TABLE tenancy_marker`, `CREATE TABLE TENANCY_MARKER (id INT)`} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	d := s.Engine.(driver.Databases)
	if err := d.Claim(t.Context(), acme.Placement.Database, acme.ID); !errors.Is(err, tenancy.ErrExists) {
		t.Errorf("got %v, want %v", err, tenancy.ErrExists)
	}
	if _, err := db.ExecContext(t.Context(), `DROP TABLE TENANCY_MARKER`); err != nil {
		t.Fatal(err)
	}
	if err := d.Claim(t.Context(), acme.Placement.Database, acme.ID); err != nil { // for the clean-up
		t.Error(err)
	}
}
