package lifecycle_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
)

// The doctor finds a creation that a crash cut off, and goes on with it when asked.
func ExampleLifecycle_Doctor() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := doctor(context.Background(), dir); err != nil {
		log.Fatal(err)
	}
	// Output:
	// half-made: acme
	// mended 1, healthy: true
	// acme is active, its schema is at version 1
}

func doctor(ctx context.Context, dir string) error {
	engine, err := sqlite.New(filepath.Join(dir, "tenants"))
	if err != nil {
		return err
	}
	pool, err := dbpool.New(map[string]driver.Engine{"main": engine}, nil)
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	db, err := sqlite.Open(filepath.Join(dir, "catalog.db"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	cat, err := catalog.New(db, nil)
	if err != nil {
		return err
	}
	if err := cat.Migrate(ctx); err != nil {
		return err
	}
	schema := fstest.MapFS{"00001_notes.sql": {Data: []byte("-- +goose Up\nCREATE TABLE notes (text TEXT);")}}
	migrator, err := migrate.New(pool, schema, &migrate.Options{Records: cat})
	if err != nil {
		return err
	}
	life, err := lifecycle.New(cat, pool, migrator, &lifecycle.Options{Server: "main"})
	if err != nil {
		return err
	}
	// What a process leaves that dies when it has made the record.
	if _, err := cat.Create(ctx, &tenancy.Tenant{Slug: "acme", Placement: tenancy.Placement{Server: "main", Database: "tenant_acme"}}); err != nil {
		return err
	}

	opts := &lifecycle.DoctorOptions{Age: -1, Context: dbpool.LowPriority} // Age is 10 minutes otherwise
	found, err := life.Doctor(ctx, opts)
	if err != nil {
		return err
	}
	for _, f := range found.Findings {
		fmt.Printf("%s: %s\n", f.Kind, f.Slug)
	}
	opts.Mend = lifecycle.FindHalfMade
	mended, err := life.Doctor(ctx, opts)
	if err != nil {
		return err
	}
	fmt.Printf("mended %d, healthy: %v\n", mended.Mended, mended.Healthy())
	acme, err := cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
	if err == nil {
		fmt.Printf("%s is %s, its schema is at version %d\n", acme.Slug, acme.Status, acme.SchemaVersion)
	}
	return err
}
