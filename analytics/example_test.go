package analytics_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
)

// A recorder around the application's handler, and what reports say of it.
func ExampleRecorder() {
	store, err := analytics.NewMemory(nil) // or NewSQL
	if err != nil {
		log.Fatal(err)
	}
	rec, err := analytics.NewRecorder(store, &analytics.Options{Counts: []string{"emails"}}) // go rec.Run(ctx)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /invoices/{id}/send", func(_ http.ResponseWriter, r *http.Request) {
		_ = rec.Count(r.Context(), "emails", 2) // the name is one of the options
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	h := rec.Handler(mux) // package middleware finds the tenant in between

	acme := &tenancy.Tenant{ID: "acme", Slug: "acme", Name: "Acme", Status: tenancy.StatusActive}
	ctx := tenancy.NewContext(context.Background(), acme)
	for _, path := range []string{"POST /invoices/1/send", "POST /invoices/2/send", "GET /broken"} {
		var method, target string
		_, _ = fmt.Sscan(path, &method, &target)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, method, target, nil))
	}
	if err := rec.Flush(ctx); err != nil { // Run does it
		log.Fatal(err)
	}

	reports, err := analytics.NewReports(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	t, err := reports.Tenant(ctx, tenancy.AllTenants(), "acme", analytics.Period{})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"requests", analytics.FigureErrors} {
		f := t.Usage[name]
		fmt.Println(name, f.Value, f.Unit, f.Method)
	}
	fmt.Println("emails", t.Own["emails"].Value)
	fmt.Println("waits are absent:", t.Usage["waits"] == nil)
	routes, err := reports.Patterns(ctx, tenancy.ByIDs("acme"), &analytics.PatternsRequest{})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range routes.Patterns {
		fmt.Println(p.Pattern, p.Usage["requests"].Value)
	}
	// Output:
	// requests 3 count measured
	// errors 1 count measured
	// emails 4
	// waits are absent: true
	// POST /invoices/{id}/send 2
	// GET / 1
}

// What tenants used in this month, for their bills.
func ExampleReports_Months() {
	ctx := context.Background()
	store, err := analytics.NewMemory(nil)
	if err != nil {
		log.Fatal(err)
	}
	acme := &tenancy.Tenant{ID: "acme", Slug: "acme", Name: "Acme", Plan: "gold", Status: tenancy.StatusActive}
	part := analytics.Part{Tenant: acme.ID, Start: time.Now().UTC().Truncate(time.Minute), Source: 1, Revision: 1} // as a recorder writes it
	part.Counts.Values[analytics.Requests] = 1200
	_, err = store.Write(ctx, &analytics.Batch{
		Instance: analytics.Instance{ID: 1, Recorded: []analytics.Column{analytics.Requests}}, Tenants: []*tenancy.Tenant{acme}, Parts: []analytics.Part{part},
	})
	if err != nil {
		log.Fatal(err)
	}
	reports, err := analytics.NewReports(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	page, err := reports.Months(ctx, tenancy.AllTenants(), nil) // this month
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range page.Months {
		for _, t := range page.Tenants {
			fmt.Println(t.Name, t.Plan, t.Usage[m.Name]["requests"].Value, "complete:", m.Complete)
		}
	}
	// Output:
	// Acme gold 1200 complete: false
}
