package main

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// dropAll removes the databases that a quickstart with that -data made.
func dropAll(t *testing.T, s *tenancytest.Server, data string) {
	t.Helper()
	if s.Name == "sqlite" {
		return // they are in the folder
	}
	ctx := context.WithoutCancel(t.Context())
	db, err := sqlite.Open(filepath.Join(data, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	cat, err := catalog.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := cat.List(ctx, tenancy.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	pool := s.Pool(t, nil)
	for _, tenant := range all {
		tenant.Status = tenancy.StatusArchived
		if err := pool.Drop(ctx, tenant); err != nil {
			t.Errorf("dropping: %v", err)
		}
	}
}
