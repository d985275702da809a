package main

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

const keyPrefix = "notes" // with which keys begin

// routes returns the handler of the whole service.
func routes(find tenancy.Finder, n *notes, o *ops, used func(tenancy.ID, string, time.Time)) http.Handler {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	resolve := tenancy.Must(resolver.Agree(find,
		tenancy.Must(resolver.NewSubdomain([]string{"localhost"}, nil)),
		tenancy.Must(resolver.NewPath("/t/", nil)),
		tenancy.Must(resolver.NewHeader("X-Tenant", loopback, nil))))
	keys := tenancy.Must(middleware.NewKeyAuthenticator(keyPrefix, &middleware.KeyAuthenticatorOptions{Used: used}))
	standard := tenancy.Must(middleware.Standard(find, resolve, &middleware.StandardOptions{
		Optional:     true, // the service has pages of its own
		Maintenance:  o.gate.Guard,
		Authenticate: middleware.FirstOf(keys, middleware.AuthenticatorFunc(stranger)),
		Authorize:    mayRead,
	}))
	tenantOnly, writers := middleware.Require(nil), tenancy.Must(middleware.RequireScope("write", nil))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", n.home)
	mux.Handle("GET /notes", tenantOnly(http.HandlerFunc(n.list)))
	mux.Handle("POST /notes", writers(http.HandlerFunc(n.create)))
	mux.Handle("POST /ops/maintenance/{slug}", o.handle(o.close))
	mux.Handle("DELETE /ops/maintenance/{slug}", o.handle(o.open))
	return standard(mux)
}
