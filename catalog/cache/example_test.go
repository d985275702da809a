package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cat, err := catalog.NewWithStore(tenancytest.NewStore(), nil) // or New, with a database
	if err != nil {
		log.Fatal(err)
	}
	records, err := cache.New(cat, nil) // or NewRedis, for several instances
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = records.Close() }()
	go func() { _ = records.Run(ctx) }()

	acme := tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"}
	_, err = records.Find(ctx, acme)
	fmt.Println(errors.Is(err, tenancy.ErrNotFound)) // and this is remembered
	made, err := cat.Create(ctx, &tenancy.Tenant{Slug: "acme", Status: tenancy.StatusActive})
	if err != nil {
		log.Fatal(err)
	}
	for range 1000 {
		if _, err := records.Find(ctx, acme); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := cat.SetStatus(ctx, made.ID, tenancy.StatusSuspended); err != nil {
		log.Fatal(err)
	}
	found, err := records.Find(ctx, acme)
	fmt.Println(found.Status, err, records.Stat().Loads, "loads")
	// Output:
	// true
	// suspended <nil> 3 loads
}
