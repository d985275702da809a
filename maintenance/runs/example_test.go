package runs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// A plan shows which tenants a task is for. The run works on exactly these, and any process
// follows it.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "catalog.db"))
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()
	cat, err := catalog.New(db, nil)
	if err != nil {
		panic(err)
	}
	welcome := tenancy.Task{Do: func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
		if t.Slug == "globex" {
			return tenancy.Skip("they know us")
		}
		return nil
	}}
	runner, err := runs.New(db, cat, &runs.Options{Tasks: runs.Tasks{"welcome": welcome}})
	if err != nil {
		panic(err)
	}
	if err := cat.Migrate(ctx); err != nil {
		panic(err)
	}
	if err := runner.Migrate(ctx); err != nil {
		panic(err)
	}
	for _, slug := range []string{"acme", "globex", "initech"} {
		if _, err := cat.Create(ctx, &tenancy.Tenant{Slug: slug, Status: tenancy.StatusActive, Plan: "pro"}); err != nil {
			panic(err)
		}
	}
	done := make(chan error)
	go func() { done <- runner.Run(ctx) }()

	plan, err := runner.Plan(ctx, "welcome", runs.Spec{Filter: "status:active plan:pro", Waves: runs.Waves{Canary: 1}})
	if err != nil {
		panic(err)
	}
	fmt.Println("tenants:", plan.Eligible, "waves:", len(plan.Waves))
	if _, err := runner.Start(ctx, plan.ID); err != nil {
		panic(err)
	}
	var last runs.Progress
	for p, err := range runner.Follow(ctx, plan.ID) {
		if err != nil {
			panic(err)
		}
		last = p
	}
	fmt.Println(last.State, "done:", last.Done, "skipped:", last.Skipped)

	cancel()
	if err := <-done; err != nil {
		panic(err)
	}
	// Output:
	// tenants: 3 waves: 2
	// done done: 2 skipped: 1
}
