// Package witness tells a handler outside of all middlewares what they find out
// about a request: its tenant, and why it was refused. A witness is a response
// writer, which the middlewares pass on as it is.
package witness

import (
	"context"
	"net/http"

	"github.com/artflow-studio/tenancy"
)

// Witness is a response writer that learns about its request.
type Witness interface {
	http.ResponseWriter
	// Tenant says which tenant the request is for, whether or not that tenant is
	// served, and returns the context to continue with.
	Tenant(ctx context.Context, t *tenancy.Tenant) context.Context
	// Refused says why the request goes no further.
	Refused(err error)
}

// Of returns the witness that the response writer is, or wraps. It follows
// Unwrap, as [http.ResponseController] does.
func Of(w http.ResponseWriter) (Witness, bool) {
	for {
		if found, ok := w.(Witness); ok {
			return found, true
		}
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil, false
		}
		w = outer.Unwrap()
	}
}

// Tenant tells the witness, if there is one, and returns the context to
// continue with.
func Tenant(w http.ResponseWriter, ctx context.Context, t *tenancy.Tenant) context.Context { //nolint:revive // as in net/http, the writer comes first
	if found, ok := Of(w); ok {
		return found.Tenant(ctx, t)
	}
	return ctx
}

// Refused tells the witness, if there is one.
func Refused(w http.ResponseWriter, err error) {
	if found, ok := Of(w); ok {
		found.Refused(err)
	}
}
