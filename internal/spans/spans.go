// Package spans starts the library's own spans, for what a request waits for.
package spans

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
)

// Start begins a child of the context's span, by the provider that span is of,
// and returns what ends it. Where the context has no span that is recorded, there
// is nothing to be a child of, and neither does anything. A span that failed has the attribute error.type, the text of the error's sentinel or
// "_OTHER", and never the error's own text, which may name hosts and statements. A tenant that was not found is no failure.
// Source: https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/
func Start(ctx context.Context, scope, name string, attributes ...attribute.KeyValue) (context.Context, func(error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, func(error) {}
	}
	ctx, span := parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithAttributes(attributes...))
	return ctx, func(err error) {
		if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
			span.SetAttributes(attribute.String("error.type", failure.Type(err)))
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}
