package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"

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
	stranger := middleware.AuthenticatorFunc(func(_ *http.Request, t *tenancy.Tenant) (*middleware.Principal, error) {
		return &middleware.Principal{Tenant: t.ID}, nil // of users, see the example of Authorize
	})
	mayUse := tenancy.Must(middleware.Authorize(func(_ context.Context, _ *middleware.Principal, t *tenancy.Tenant) error {
		if t.Slug != "acme" { // whose notes are public
			return tenancy.ErrForbidden
		}
		return nil
	}, nil))
	byPath := tenancy.Must(resolver.NewPath("/t/", nil))
	h := tenancy.Must(middleware.Tenant(openCatalog(), byPath, nil))(tenancy.Must(middleware.Authenticate(stranger, nil))(mayUse(mux)))

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
	bySubdomain := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
	h := tenancy.Must(middleware.Optional(openCatalog(), bySubdomain, nil))(mux)

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

// A service whose clients have API keys: the key says which tenant it is for, and
// what it may be used for.
func ExampleAuthenticate() {
	ctx := context.Background()
	cat := openCatalog()
	keys, err := catalog.NewKeyIssuer(cat, "shop_live", nil)
	if err != nil {
		panic(err)
	}
	authenticate, err := middleware.NewKeyAuthenticator("shop_live", &middleware.KeyAuthenticatorOptions{Used: keys.Used}) // go keys.Run(ctx) writes it down
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /notes", func(w http.ResponseWriter, r *http.Request) {
		t, _ := tenancy.FromContext(r.Context())
		p, _ := middleware.PrincipalOf(r.Context())
		fmt.Fprintf(w, "the notes of %s, for a key with %v", t.Name, p.Scopes)
	})
	mayWrite := tenancy.Must(middleware.RequireScope("notes:write", nil))
	mux.Handle("POST /notes", mayWrite(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "written") })))
	byKey := tenancy.Must(resolver.NewAPIKey("shop_live")) // or by host, path, …: the key is verified for that tenant alone
	h := tenancy.Must(middleware.Tenant(cat, byKey, nil))(tenancy.Must(middleware.Authenticate(authenticate, nil))(mux))

	acme, err := cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
	if err != nil {
		panic(err)
	}
	secret, info, err := keys.Issue(ctx, acme.ID, catalog.APIKeySpec{Name: "Shop", Scopes: []string{"notes:read"}})
	if err != nil {
		panic(err)
	}
	fmt.Println(secret, info.Name) // secret.Reveal() is shown to the customer, once

	send := func(method, key string) {
		r := httptest.NewRequest(method, "/notes", nil)
		r.Header.Set("X-API-Key", key) // or Authorization: Bearer KEY
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
			return
		}
		fmt.Println(w.Code, w.Body)
	}
	send("GET", secret.Reveal())
	send("POST", secret.Reveal())
	if err := keys.Revoke(ctx, acme.ID, info.ID); err != nil {
		panic(err)
	}
	send("GET", secret.Reveal())
	// Output:
	// [redacted] Shop
	// 200 the notes of Acme Ltd, for a key with [notes:read]
	// 403 Bearer error="insufficient_scope", scope="notes:write"
	// 401 Bearer error="invalid_token"
}

// Users of the service belong to some tenants, and a path names one of them.
func ExampleAuthorize() {
	logins := map[string]string{"t0ken": "ann"}
	members := map[string][]string{"ann": {"acme"}}
	byLogin := middleware.AuthenticatorFunc(func(r *http.Request, t *tenancy.Tenant) (*middleware.Principal, error) {
		cookie, err := r.Cookie("login")
		if err != nil {
			return nil, nil // no credentials of this kind
		}
		user, ok := logins[cookie.Value]
		if !ok {
			return nil, tenancy.ErrUnauthenticated
		}
		return &middleware.Principal{Tenant: t.ID, Subject: user}, nil // a login is for all tenants: Authorize says for which
	})
	mayUse := tenancy.Must(middleware.Authorize(func(_ context.Context, p *middleware.Principal, t *tenancy.Tenant) error {
		if !slices.Contains(members[p.Subject], t.Slug) {
			return tenancy.ErrForbidden
		}
		return nil
	}, nil))
	cat := openCatalog()
	if _, err := cat.Create(context.Background(), &tenancy.Tenant{Slug: "globex", Status: tenancy.StatusActive}); err != nil {
		panic(err)
	}
	byPath := tenancy.Must(resolver.NewPath("/t/", nil))
	h := tenancy.Must(middleware.Tenant(cat, byPath, nil))(tenancy.Must(middleware.Authenticate(byLogin, nil))(mayUse(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p, _ := middleware.PrincipalOf(r.Context())
			fmt.Fprint(w, "hello ", p.Subject)
		}))))

	for _, path := range []string{"/t/acme/", "/t/globex/"} {
		r := httptest.NewRequest("GET", path, nil)
		r.AddCookie(&http.Cookie{Name: "login", Value: "t0ken"})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(path, w.Code)
	}
	// Output:
	// /t/acme/ 200
	// /t/globex/ 403
}

// A gateway names the tenant in a header, and the user in another.
func ExampleAuthorize_header() {
	gateway := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	byHeader := tenancy.Must(resolver.NewHeader("X-Tenant", gateway, nil)) // from nobody else
	byGateway := middleware.AuthenticatorFunc(func(r *http.Request, t *tenancy.Tenant) (*middleware.Principal, error) {
		users := r.Header.Values("X-User") // the header X-Tenant came from the gateway, and so did this
		switch {
		case len(users) > 1: // one of them may be the client's
			return nil, tenancy.ErrInvalid
		case len(users) == 0 || users[0] == "":
			return nil, nil
		}
		return &middleware.Principal{Tenant: t.ID, Subject: users[0]}, nil
	})
	mayUse := tenancy.Must(middleware.Authorize(func(_ context.Context, p *middleware.Principal, t *tenancy.Tenant) error {
		if p.Subject != "ann" || t.Slug != "acme" {
			return tenancy.ErrNotFound // nobody learns which tenants there are
		}
		return nil
	}, nil))
	h := tenancy.Must(middleware.Tenant(openCatalog(), byHeader, nil))(tenancy.Must(middleware.Authenticate(byGateway, nil))(mayUse(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))))

	for _, users := range [][]string{{"ann"}, {"bob"}, {}, {"ann", "bob"}} {
		r := httptest.NewRequest("GET", "/", nil) // from 192.0.2.1
		r.Header.Set("X-Tenant", "acme")
		r.Header["X-User"] = users
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(users, w.Code)
	}
	// Output:
	// [ann] 200
	// [bob] 404
	// [] 401
	// [ann bob] 400
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
