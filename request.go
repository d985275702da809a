package tenancy

import (
	"context"
	"net/netip"
)

// RequestInfo is what the audit and the logs say of a request.
type RequestInfo struct {
	// ID is the request's own, in logs, spans and answers.
	ID string
	// Address is the client's, as far as trusted proxies tell.
	Address netip.Addr
	// UserAgent is what the client's program says of itself.
	UserAgent string
}

type requestKey struct{}

// WithRequest returns a context that knows of the request.
func WithRequest(ctx context.Context, r RequestInfo) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestFrom returns what the context knows of its request, if anything.
func RequestFrom(ctx context.Context) (RequestInfo, bool) {
	r, ok := ctx.Value(requestKey{}).(RequestInfo)
	return r, ok
}
