package migrate_test

import (
	"context"
	"errors"
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
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// On every deployment, all tenants that there are get the migrations that came with
// it. One that fails keeps no other from them, and loses nothing: run it again.
func ExampleMigrator_Up() {
	ctx := context.Background()
	dir := tenancy.Must(os.MkdirTemp("", ""))
	defer func() { _ = os.RemoveAll(dir) }()
	engine := tenancy.Must(sqlite.New(filepath.Join(dir, "tenants")))
	pool := tenancy.Must(dbpool.New(map[string]driver.Engine{"main": engine}, nil))
	defer func() { _ = pool.Close() }()
	cat := tenancy.Must(catalog.NewWithStore(tenancytest.NewStore(), nil))
	for _, slug := range []string{"acme", "globex"} {
		t := tenancy.Must(cat.Create(ctx, &tenancy.Tenant{Slug: slug, Placement: tenancy.Placement{Server: "main", Database: slug}}))
		if err := pool.Create(ctx, t); err != nil {
			log.Fatal(err)
		}
	}

	schema := fstest.MapFS{"00001_notes.sql": {Data: []byte("-- +goose Up\nCREATE TABLE notes (text TEXT);")}}
	fmt.Println(upAll(ctx, cat, tenancy.Must(migrate.New(pool, schema, nil))))
	schema["00002_author.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nALTER TABLE notes ADD COLUMN author TEXT;")}
	fmt.Println(upAll(ctx, cat, tenancy.Must(migrate.New(pool, schema, nil))))
	// Output:
	// 2 <nil>
	// 2 <nil>
}

// upAll brings the schemas of all tenants up to date that have a database, and
// returns how many are.
func upAll(ctx context.Context, cat *catalog.Catalog, migrator *migrate.Migrator) (done int, err error) {
	for f := (tenancy.Filter{Limit: 100}); ; {
		page, e := cat.List(ctx, f)
		if e != nil {
			return done, errors.Join(err, e)
		}
		for _, t := range page {
			if t.Status == tenancy.StatusArchived {
				continue
			}
			if e := migrator.Up(ctx, t); e != nil {
				err = errors.Join(err, e)
				continue
			}
			done++
		}
		if len(page) < f.Limit {
			return done, err
		}
		f.After = f.Next(page[len(page)-1])
	}
}
