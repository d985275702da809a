package middleware

import (
	"context"

	"go.opentelemetry.io/otel/attribute"

	"github.com/artflow-studio/tenancy"
)

// SpanProcessor gives each span that is started in a tenant's context the attributes that [Tenant] gives the
// request's own span. That includes spans of database calls, outgoing requests and background jobs, whichever
// library starts them. It is a processor of OpenTelemetry's SDK. This package does not import the SDK, so the
// application names its types:
//
//	trace.NewTracerProvider(
//		trace.WithSpanProcessor(middleware.SpanProcessor[trace.ReadWriteSpan, trace.ReadOnlySpan]{}),
//		trace.WithBatcher(exporter))
//
// The tenant of the context replaces attributes of the same names that the span was started with. Samplers
// decide before the attributes are set.
type SpanProcessor[W interface {
	SetAttributes(...attribute.KeyValue)
}, R any] struct{}

// OnStart gives the span its attributes, if the context carries a tenant.
func (SpanProcessor[W, R]) OnStart(parent context.Context, span W) {
	if t, ok := tenancy.FromContext(parent); ok {
		span.SetAttributes(spanAttributes(t)...)
	}
}

// OnEnd does nothing.
func (SpanProcessor[W, R]) OnEnd(R) {}

// Shutdown does nothing.
func (SpanProcessor[W, R]) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing.
func (SpanProcessor[W, R]) ForceFlush(context.Context) error { return nil }

// spanAttributes returns the attributes of a tenant's spans.
func spanAttributes(t *tenancy.Tenant) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("tenancy.tenant.id", string(t.ID)),
		attribute.String("tenancy.tenant.slug", t.Slug),
	}
}
