package middleware

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/request"
	"github.com/artflow-studio/tenancy/resolver"
)

// RequestIDOptions are the options of [RequestID].
type RequestIDOptions struct {
	// Header is the header of requests and answers. Default: "X-Request-Id".
	Header string
	// Proxies are the reverse proxies whose word on the client's address is trusted, and whose requests may
	// bring an ID. Default: none; the address is that of the connected peer, and each request gets a new ID.
	Proxies *resolver.Proxies
}

// maxRequestID is the length of the longest ID that a request may bring.
const maxRequestID = 128

// RequestID gives each request an ID. The ID is in the answer's header, in the context ([tenancy.RequestFrom],
// with the client's address and user agent), in the attribute tenancy.request.id of the context's span, in
// problem documents, in the audit, and in logs through [tenancy.NewLogHandler]. Put RequestID outermost;
// [Standard] contains it.
//
// A request from a trusted proxy keeps the ID that it brings: 1 to 128 ASCII letters, digits and "-_.:+/=". Any
// other request gets a random ID. RequestID changes nothing if the context has a request with an ID already.
func RequestID(opts *RequestIDOptions) func(http.Handler) http.Handler {
	ids := newRequestIDs(opts)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			request.Serve(ids.context(w, r), next, w, r, nil)
		})
	}
}

type requestIDs struct {
	header  string // canonical
	proxies *resolver.Proxies
}

func newRequestIDs(opts *RequestIDOptions) *requestIDs {
	ids := &requestIDs{header: "X-Request-Id"}
	if opts == nil {
		return ids
	}
	ids.proxies = opts.Proxies
	if opts.Header != "" {
		ids.header = http.CanonicalHeaderKey(opts.Header)
	}
	return ids
}

// context returns the context of the request with its ID, and sets the answer's
// header.
func (ids *requestIDs) context(w http.ResponseWriter, r *http.Request) context.Context {
	ctx := r.Context()
	if known, ok := tenancy.RequestFrom(ctx); ok && known.ID != "" {
		return ctx
	}
	info := tenancy.RequestInfo{ID: ids.brought(r), Address: ids.proxies.Client(r), UserAgent: r.UserAgent()}
	if info.ID == "" {
		info.ID = rand.Text()
	}
	w.Header()[ids.header] = []string{info.ID}
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attribute.String("tenancy.request.id", info.ID))
	}
	return tenancy.WithRequest(ctx, info)
}

// brought returns the ID that a trusted proxy sent, or "".
func (ids *requestIDs) brought(r *http.Request) string {
	values := r.Header[ids.header]
	if len(values) != 1 || !ids.proxies.Trusts(r) {
		return ""
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:+/="
	if id := values[0]; len(id) <= maxRequestID && strings.Trim(id, letters) == "" {
		return id
	}
	return ""
}
