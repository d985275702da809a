package middleware

import (
	"net/http"

	"github.com/artflow-studio/tenancy"
)

// Require serves requests with a tenant in their context. Behind [Optional] it refuses a request that names no
// tenant with [tenancy.ErrUnresolved]. Without [Tenant] or [Optional] in front it answers every request with an
// internal error, because the application is assembled wrongly.
func Require(opts *Options) func(http.Handler) http.Handler {
	return guard(opts, func(r *http.Request) error {
		_, err := tenantOf(r, "middleware.Require")
		return err
	})
}

// tenantOf returns the tenant in the request's context, or why there is none.
func tenantOf(r *http.Request, op string) (*tenancy.Tenant, error) {
	if t, ok := tenancy.FromContext(r.Context()); ok {
		return t, nil
	}
	if isCentral(r) {
		return nil, tenancy.ErrUnresolved
	}
	return nil, tenancy.Wrap(op, "", tenancy.ErrNoTenant)
}

// CentralOnly serves requests that name no tenant. Put it behind [Optional]. It refuses a request that names a
// tenant with [tenancy.ErrNotFound]. Without [Optional] in front it answers every request with an internal
// error, because the application is assembled wrongly.
func CentralOnly(opts *Options) func(http.Handler) http.Handler {
	return guard(opts, func(r *http.Request) error {
		if t, ok := tenancy.FromContext(r.Context()); ok {
			return tenancy.Wrap("middleware.CentralOnly", t.ID, tenancy.ErrNotFound)
		}
		if isCentral(r) {
			return nil
		}
		return tenancy.Wrap("middleware.CentralOnly", "", tenancy.ErrNoTenant)
	})
}

func guard(opts *Options, check func(*http.Request) error) func(http.Handler) http.Handler {
	o := opts.complete()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := check(r); err != nil {
				o.refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// isCentral reports whether Optional found that the request names no tenant.
func isCentral(r *http.Request) bool {
	central, _ := r.Context().Value(centralKey{}).(bool)
	return central
}
