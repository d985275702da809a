package maintenance_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func ExampleGate() {
	ctx := context.Background()
	cat, err := catalog.NewWithStore(tenancytest.NewStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	acme, err := cat.Create(ctx, &tenancy.Tenant{Slug: "acme", Status: tenancy.StatusActive})
	if err != nil {
		log.Fatal(err)
	}
	gate, err := maintenance.NewGate(cat, &maintenance.GateOptions{Settle: time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	bySubdomain := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })
	service := tenancy.Must(middleware.Tenant(cat, bySubdomain, nil))(gate.Guard(hello))
	get := func(path string, cookies ...*http.Cookie) []*http.Cookie {
		r := httptest.NewRequest(http.MethodGet, "https://acme.example.com"+path, nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		service.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Retry-After"), w.Header().Get("Location")+w.Body.String())
		return w.Result().Cookies()
	}

	get("/")
	err = gate.Tenant(acme.ID).Begin(ctx, tenancy.Maintenance{
		Message: "We are moving to larger machines.",
		Contact: "support@example.com",
		Windows: []tenancy.Window{{Rule: "* * * * *", Length: time.Hour, Zone: "Europe/Berlin"}}, // always, that is
		Paths:   []string{"/health"},
	})
	if err != nil {
		log.Fatal(err)
	}
	get("/")
	get("/health")
	secret, err := gate.Tenant(acme.ID).NewBypass(ctx)
	if err != nil {
		log.Fatal(err)
	}
	get("/", get("/.maintenance/bypass/"+secret.Reveal())...)
	if err := gate.Tenant(acme.ID).Drain(ctx); err != nil {
		log.Fatal(err)
	}
	if err := gate.Tenant(acme.ID).End(ctx); err != nil {
		log.Fatal(err)
	}
	get("/")
	// Output:
	// 200  hello
	// 503 300 {"type":"https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#maintenance","title":"Under maintenance","status":503,"detail":"We are moving to larger machines.","contact":"support@example.com"}
	//
	// 200  hello
	// 303  ./../../
	// 200  hello
	// 200  hello
}
