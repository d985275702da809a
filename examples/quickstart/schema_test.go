package main

import (
	"path/filepath"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

// The record of a tenant that was just made has the version of its schema.
func TestSchemaVersion(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	start(t, build(t), "-data", data).stop(t)
	db, err := sqlite.Open(filepath.Join(data, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	cat, err := catalog.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := cat.List(t.Context(), tenancy.Filter{})
	if err != nil || len(all) != 2 {
		t.Fatalf("got %d tenants, %v, want 2", len(all), err)
	}
	for _, tenant := range all {
		if tenant.SchemaVersion != 1 {
			t.Errorf("%s: got version %d, want 1", tenant.Slug, tenant.SchemaVersion)
		}
	}
}
