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
	"github.com/artflow-studio/tenancy/dbpool/driver"
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
	if err := create(context.Background(), dir); err != nil {
		log.Fatal(err)
	}
	// Output:
	// acme is active
	// acme again: true
	// greeting: hello
}

func create(ctx context.Context, dir string) error {
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

// An archived tenant comes back with all it had. One whose last backup fails is not
// purged.
func ExampleLifecycle_Purge() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := end(context.Background(), dir); err != nil {
		log.Fatal(err)
	}
	// Output:
	// archived
	// restored: inactive, greeting: hello
	// invalid: the tenant is archived; restore it first
	// not purged: the hook before a purge failed, and the tenant stays archived: the backup's disk is full
	// archived, greeting: hello
	// purged; its record is there: false, its database: false
}

func end(ctx context.Context, dir string) error {
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
	schema := fstest.MapFS{"00001_greetings.sql": {Data: []byte("-- +goose Up\nCREATE TABLE greetings (text TEXT);\nINSERT INTO greetings VALUES ('hello');")}}
	migrator, err := migrate.New(pool, schema, nil)
	if err != nil {
		return err
	}
	full := true
	life, err := lifecycle.New(cat, pool, migrator, &lifecycle.Options{
		Server: "main",
		BeforePurge: func(context.Context, *tenancy.Tenant) error { // makes a last backup
			if full {
				return errors.New("the backup's disk is full")
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	acme, err := life.Create(ctx, &tenancy.Tenant{Slug: "acme"})
	if err != nil {
		return err
	}
	status := func() string {
		now, err := cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(acme.ID)})
		if err != nil {
			return err.Error()
		}
		return string(now.Status)
	}
	greeting := func() (text string) {
		tdb, err := pool.For(ctx, acme)
		if err == nil {
			err = tdb.GetContext(ctx, &text, `SELECT text FROM greetings`)
		}
		if err != nil {
			return err.Error()
		}
		return text
	}
	because := func(err error) error { // without the names of methods and tenants
		var of *tenancy.Error
		if errors.As(err, &of) {
			return of.Err
		}
		return err
	}

	ctx = tenancy.WithActor(ctx, tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada", Reason: "they left us"})
	if err := life.Archive(ctx, acme.ID); err != nil {
		return err
	}
	fmt.Println(status())
	if err := life.Restore(ctx, acme.ID); err != nil {
		return err
	}
	fmt.Printf("restored: %s, greeting: %s\n", status(), greeting())

	if err := life.Archive(ctx, acme.ID); err != nil {
		return err
	}
	fmt.Println(because(life.Activate(ctx, acme.ID)))
	fmt.Println("not purged:", because(life.PurgeNow(ctx, acme.ID)))
	fmt.Printf("%s, greeting: %s\n", status(), greeting())

	full = false
	if err := life.PurgeNow(ctx, acme.ID); err != nil {
		return err
	}
	_, err = cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
	there, err2 := pool.Exists(ctx, acme)
	fmt.Printf("purged; its record is there: %v, its database: %v\n", !errors.Is(err, tenancy.ErrNotFound), there)
	return err2
}
