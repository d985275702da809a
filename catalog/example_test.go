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
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "catalog.db")) // or the application's own *sqlx.DB
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
