package catalog_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

// The application bills by what happens to tenants: each change reaches its function at
// least once and in order, also if the process was killed between the two.
func ExampleOutbox() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "catalog.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()

	told := make(chan string)
	box, err := catalog.NewOutbox(db, &catalog.OutboxOptions{
		Deliver: func(ctx context.Context, e catalog.Event) error {
			line := fmt.Sprintf("%d %s by %s:", e.Version, e.Kind, e.Actor)
			for _, c := range e.Changes {
				line += fmt.Sprintf(" %s is %s", c.Field, c.After)
			}
			told <- line
			return nil // an error: again later
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	cat, err := catalog.New(db, &catalog.Options{Events: box})
	if err != nil {
		log.Fatal(err)
	}
	if err := cat.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- box.Run(ctx) }()

	as := tenancy.WithActor(ctx, tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada"})
	acme, err := cat.Create(as, &tenancy.Tenant{Slug: "acme", Status: tenancy.StatusActive})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cat.SetStatus(as, acme.ID, tenancy.StatusSuspended); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-told)
	fmt.Println(<-told)
	stop()
	fmt.Println(<-ended)
	// Output:
	// 1 tenant.create by operator:ada: name is "acme" slug is "acme" status is "active"
	// 2 tenant.status by operator:ada: status is "suspended"
	// <nil>
}
