package tenancy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func ExampleNewContext() {
	ctx := tenancy.NewContext(context.Background(), &tenancy.Tenant{ID: "acme", Slug: "acme"})
	t, err := tenancy.Require(ctx)
	fmt.Println(t.Slug, err)
	_, err = tenancy.Require(context.Background())
	fmt.Println(errors.Is(err, tenancy.ErrNoTenant))
	// Output:
	// acme <nil>
	// true
}

func ExampleNewLogHandler() {
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	log := slog.New(tenancy.NewLogHandler(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})))
	ctx := tenancy.NewContext(context.Background(), &tenancy.Tenant{ID: "acme"})
	log.InfoContext(ctx, "order placed", "items", 3)
	// Output: level=INFO msg="order placed" items=3 tenant=acme
}

func ExampleKeyspace() {
	const users tenancy.Keyspace = "shop.users"
	ctx := tenancy.NewContext(context.Background(), &tenancy.Tenant{ID: "acme"})

	fmt.Println(users.Key(ctx, "profile", "7"))
	fmt.Println(users.Key(ctx, "profile:7", "*")) // what a client sent does not lead elsewhere
	fmt.Println(users.Prefix(ctx))                // for SCAN 0 MATCH prefix*
	fmt.Println(users.Key(context.Background(), "profile", "7"))
	// Output:
	// shop.users:{acme}:profile:7 <nil>
	// shop.users:{acme}:profile%3A7:%2A <nil>
	// shop.users:{acme}: <nil>
	//  no tenant in the context
}

func ExampleKeyspace_Split() {
	const exports tenancy.Keyspace = "shop.exports"
	id, parts, err := exports.Split("shop.exports:{acme}:2026-01:orders%3Apaid")
	fmt.Printf("%s %q %v\n", id, parts, err)
	// Output: acme ["2026-01" "orders:paid"] <nil>
}

func ExampleOpenJob() {
	type receipt struct{ Order int }
	ctx := context.Background()
	cat, err := catalog.NewWithStore(tenancytest.NewStore(), nil) // a service has it in a database: catalog.New
	if err != nil {
		panic(err)
	}
	acme, err := cat.Create(ctx, &tenancy.Tenant{Slug: "acme", Status: tenancy.StatusActive})
	if err != nil {
		panic(err)
	}

	// In a request of the tenant's:
	job, err := tenancy.SealJob(tenancy.NewContext(ctx, acme), receipt{Order: 7})
	if err != nil {
		panic(err)
	}
	queued, err := json.Marshal(job) // goes into the application's queue
	if err != nil {
		panic(err)
	}

	// In a worker, maybe of another process:
	work := func(data []byte) {
		ctx, job, err := tenancy.OpenJob[receipt](ctx, cat, data)
		switch {
		case err == nil:
			t, _ := tenancy.FromContext(ctx)
			fmt.Printf("send receipt %d of %s\n", job.Payload.Order, t.Slug)
		case errors.Is(err, tenancy.ErrInvalid), errors.Is(err, tenancy.ErrNotFound):
			fmt.Println("put aside:", err)
		case errors.Is(err, tenancy.ErrNotActive):
			fmt.Println("keep until tomorrow")
		default:
			fmt.Println("keep and try again soon")
		}
	}
	work(queued)
	for _, next := range []tenancy.Status{tenancy.StatusSuspended, tenancy.StatusActive} {
		if _, err := cat.SetStatus(ctx, acme.ID, next); err != nil {
			panic(err)
		}
		work(queued)
	}
	work([]byte(`{"tenant":"nobody","sealed_at":"2026-01-02T15:04:05Z","payload":{"Order":8}}`))
	work([]byte(`{"job":9}`))
	// Output:
	// send receipt 7 of acme
	// keep until tomorrow
	// send receipt 7 of acme
	// put aside: tenancy.OpenJob: tenant nobody: catalog.Catalog.Find: not found: tenant id:nobody
	// put aside: tenancy.OpenJob: invalid: envelope without tenant
}

func ExampleDetach() {
	life, shutdown := context.WithCancel(context.Background()) // of the program
	request, answered := context.WithCancel(tenancy.NewContext(life, &tenancy.Tenant{ID: "acme"}))

	ctx := tenancy.Detach(request, life) // for a goroutine that the handler starts
	answered()
	t, err := tenancy.Require(ctx)
	fmt.Println(t.ID, err)
	fmt.Println("request:", request.Err(), "- work:", ctx.Err())
	shutdown()
	fmt.Println("work:", ctx.Err())
	// Output:
	// acme <nil>
	// request: context canceled - work: <nil>
	// work: context canceled
}
