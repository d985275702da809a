package lifecycle_test

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
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
)

func ExampleLifecycle_Create() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := provision(context.Background(), dir); err != nil {
		log.Fatal(err)
	}
	// Output:
	// acme is active
	// acme again: true
	// greeting: hello
}

func provision(ctx context.Context, dir string) error {
	engine, err := sqlite.New(filepath.Join(dir, "tenants"))
	if err != nil {
		return err
	}
	pool, err := dbpool.New(map[string]dbpool.Engine{"main": engine}, nil)
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
	schema := fstest.MapFS{"00001_greetings.sql": {Data: []byte("-- +goose Up\nCREATE TABLE greetings (text TEXT);")}}
	migrator, err := migrate.New(pool, schema, nil)
	if err != nil {
		return err
	}
	tenants, err := lifecycle.New(cat, pool, migrator, &lifecycle.Options{
		Server: "main",
		Seed: func(ctx context.Context, t *tenancy.Tenant) error {
			db, err := pool.For(ctx, t)
			if err != nil {
				return err
			}
			_, err = db.ExecContext(ctx, `INSERT INTO greetings (text) VALUES ('hello')`)
			return err
		},
	})
	if err != nil {
		return err
	}

	acme, err := tenants.Create(ctx, &tenancy.Tenant{Slug: "acme"})
	if err != nil {
		return err
	}
	fmt.Println(acme.Slug, "is", acme.Status)
	_, err = tenants.Create(ctx, &tenancy.Tenant{Slug: "acme"})
	fmt.Println("acme again:", errors.Is(err, tenancy.ErrExists))

	tdb, err := pool.DB(tenancy.NewContext(ctx, acme))
	if err != nil {
		return err
	}
	var text string
	if err := tdb.GetContext(ctx, &text, `SELECT text FROM greetings`); err != nil {
		return err
	}
	fmt.Println("greeting:", text)
	return nil
}
