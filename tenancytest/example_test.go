package tenancytest_test

import (
	"context"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A catalog in memory, and what it tells the audit and those who follow changes.
func ExampleStore() {
	trail, events := &tenancytest.Audit{}, &tenancytest.Events{}
	cat := tenancy.Must(catalog.NewWithStore(tenancytest.NewStore(), &catalog.Options{Audit: trail, Events: events}))
	ctx := tenancy.WithActor(context.Background(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada"})

	acme := tenancy.Must(cat.Create(ctx, &tenancy.Tenant{Slug: "acme", Status: tenancy.StatusActive}))
	tenancy.Must(cat.SetStatus(ctx, acme.ID, tenancy.StatusSuspended))

	for _, e := range trail.All() {
		fmt.Println(e.Actor, e.Action, e.Result)
	}
	for _, e := range events.Of(acme.ID) {
		fmt.Println(e.Version, e.Kind)
	}
	// Output:
	// operator:ada tenant.create done
	// operator:ada tenant.status done
	// 1 tenant.create
	// 2 tenant.status
}

// A test notices that a page asks its database once for each row.
func ExampleCountRequest() {
	dir := tenancy.Must(os.MkdirTemp("", ""))
	defer func() { _ = os.RemoveAll(dir) }()
	engines := map[string]driver.Engine{"main": tenancy.Must(sqlite.New(dir))}
	pool := tenancy.Must(dbpool.New(engines, &dbpool.Options{Observer: tenancytest.StatementObserver{}}))
	defer func() { _ = pool.Close() }()
	acme := tenancytest.NewTenant("acme")
	acme.Placement.Server = "main"
	if err := pool.Create(context.Background(), acme); err != nil {
		log.Fatal(err)
	}

	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		db := tenancy.Must(pool.DB(r.Context()))
		for range 10 { // rows of a table
			var one int
			if err := db.GetContext(r.Context(), &one, `SELECT 1`); err != nil {
				http.Error(w, "no", http.StatusInternalServerError)
			}
		}
	})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	answer, n := tenancytest.CountRequest(page, r.WithContext(tenancy.NewContext(r.Context(), acme)))
	fmt.Println(answer.Code, n.Total(), n.Of(acme.ID), n.Failures())
	// Output: 200 10 10 0
}

// What a service of sessions is asked. TestSessions runs them.
func ExampleSessionHabits() {
	for _, habit := range slices.Sorted(maps.Keys(tenancytest.SessionHabits())) {
		fmt.Println(habit)
	}
	// Output:
	// a new token does not prolong a session
	// a planted token is worth nothing
	// a request under way does not revive a session
	// a session that is not used ends
	// an old token is worth nothing
	// requests do not write
}

// Two tenants store notes and read them back, thousands of times and with all kinds of trouble.
func ExampleTestIsolation() {
	var (
		t       *testing.T   // of a test
		service http.Handler // of the application, with the middleware
		tenants []*tenancy.Tenant
	)
	request := func(method string, of *tenancy.Tenant, note string) *http.Request {
		return httptest.NewRequest(method, "http://"+of.Slug+".example.com/notes?note="+note, nil)
	}
	test := func() {
		tenancytest.TestIsolation(t, service, tenancytest.Isolation{
			Tenants: tenants,
			Write:   func(of *tenancy.Tenant, secret string) *http.Request { return request(http.MethodPost, of, secret) },
			Read:    func(of *tenancy.Tenant) *http.Request { return request(http.MethodGet, of, "") },
		})
	}
	_ = test
}

// A task of the application, as a run does it.
func ExampleRunTask() {
	var t *testing.T // of a test
	greet := tenancy.Task{Do: func(ctx context.Context, of *tenancy.Tenant, _ tenancy.Attempt) error { return ctx.Err() }}
	test := func() {
		results := tenancytest.RunTask(t, greet, nil, tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex"))
		if got := results["acme"]; got.Text != "" {
			t.Errorf("acme: got %+v", got)
		}
	}
	_ = test
}
