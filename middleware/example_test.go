package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// openCatalog returns a catalog with one tenant. A service has it in a database:
// see [catalog.New].
func openCatalog() *catalog.Catalog {
	cat, err := catalog.NewWithStore(tenancytest.NewStore(), nil)
	if err != nil {
		panic(err)
	}
	acme := &tenancy.Tenant{Slug: "acme", Name: "Acme Ltd", Status: tenancy.StatusActive}
	if _, err := cat.Create(context.Background(), acme); err != nil {
		panic(err)
	}
	return cat
}

// show prints what a handler answers.
func show(h http.Handler, url string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
	fmt.Println(w.Code, w.Body)
}

func ExampleTenant() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /notes/{id}", func(w http.ResponseWriter, r *http.Request) {
		t, err := tenancy.Require(r.Context())
		if err != nil {
			middleware.Problem(w, r, err)
			return
		}
		fmt.Fprintf(w, "note %s of %s, below %s", r.PathValue("id"), t.Name, middleware.PathPrefix(r.Context()))
	})
	byPath := resolver.Must(resolver.NewPath("/t/", nil))
	h := middleware.Tenant(openCatalog(), byPath, nil)(mux)

	show(h, "/t/acme/notes/7")
	show(h, "/t/ghost/notes/7")
	// Output:
	// 200 note 7 of Acme Ltd, below /t/acme
	// 404 {"type":"https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#unknown","title":"Not found","status":404,"detail":"There is nothing at this address."}
}

func ExampleOptional() {
	say := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if t, ok := tenancy.FromContext(r.Context()); ok {
				fmt.Fprintf(w, "%s of %s", text, t.Name)
				return
			}
			fmt.Fprint(w, text)
		})
	}
	tenantOnly, centralOnly := middleware.Require(nil), middleware.CentralOnly(nil)
	mux := http.NewServeMux()
	mux.Handle("/notes", tenantOnly(say("the notes")))
	mux.Handle("/signup", centralOnly(say("the sign-up page")))
	mux.Handle("/health", say("the health"))
	bySubdomain := resolver.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
	h := middleware.Optional(openCatalog(), bySubdomain, nil)(mux)

	for _, url := range []string{
		"http://acme.example.com/notes", "http://example.com/signup", "http://example.com/health", "http://acme.example.com/health",
	} {
		show(h, url)
	}
	for _, url := range []string{"http://example.com/notes", "http://acme.example.com/signup", "http://ghost.example.com/health"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
		fmt.Println(w.Code, url)
	}
	// Output:
	// 200 the notes of Acme Ltd
	// 200 the sign-up page
	// 200 the health
	// 200 the health of Acme Ltd
	// 404 http://example.com/notes
	// 404 http://acme.example.com/signup
	// 404 http://ghost.example.com/health
}

func ExampleSpanProcessor() {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(middleware.SpanProcessor[sdktrace.ReadWriteSpan, sdktrace.ReadOnlySpan]{}),
		sdktrace.WithSyncer(exporter))

	ctx := tenancy.NewContext(context.Background(), &tenancy.Tenant{ID: "7", Slug: "acme"})
	_, span := provider.Tracer("shop").Start(ctx, "SELECT orders")
	span.End()

	for _, s := range exporter.GetSpans() {
		fmt.Println(s.Name)
		for _, a := range s.Attributes {
			fmt.Printf("  %s=%s\n", a.Key, a.Value.AsString())
		}
	}
	// Output:
	// SELECT orders
	//   tenancy.tenant.id=7
	//   tenancy.tenant.slug=acme
}
