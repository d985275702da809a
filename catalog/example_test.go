package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "catalog.db")) // or the host's own *sqlx.DB
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()

	cat, err := catalog.New(db, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := cat.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	acme, err := cat.Create(ctx, &tenancy.Tenant{Slug: "acme", Name: "Acme", Status: tenancy.StatusActive})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cat.AddDomain(ctx, acme.ID, "Notes.Acme.example"); err != nil {
		log.Fatal(err)
	}
	found, err := cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefDomain, Value: "notes.acme.example"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(found.Slug, found.Domains, found.Status, "version", found.Version)

	// Two people edit the same record: the second one is told.
	mine, theirs := found.Clone(), found.Clone()
	mine.Plan, theirs.Plan = "gold", "silver"
	_, err = cat.Update(ctx, mine)
	fmt.Println(err)
	_, err = cat.Update(ctx, theirs)
	fmt.Println(errors.Is(err, tenancy.ErrConflict))
	// Output:
	// acme [notes.acme.example] active version 2
	// <nil>
	// true
}

func ExampleCache() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cat, err := catalog.NewWithStore(tenancytest.NewStore(), nil) // or New, with a database
	if err != nil {
		log.Fatal(err)
	}
	cache, err := catalog.NewCache(cat, nil) // or with CacheOptions.Redis, for several replicas
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = cache.Close() }()
	go func() { _ = cache.Run(ctx) }()

	acme := tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"}
	_, err = cache.Find(ctx, acme)
	fmt.Println(errors.Is(err, tenancy.ErrNotFound)) // and this is remembered
	made, err := cat.Create(ctx, &tenancy.Tenant{Slug: "acme", Status: tenancy.StatusActive})
	if err != nil {
		log.Fatal(err)
	}
	for range 1000 {
		if _, err := cache.Find(ctx, acme); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := cat.SetStatus(ctx, made.ID, tenancy.StatusSuspended); err != nil {
		log.Fatal(err)
	}
	found, err := cache.Find(ctx, acme)
	fmt.Println(found.Status, err, cache.Stat().Loads, "loads")
	// Output:
	// true
	// suspended <nil> 3 loads
}
