package tenancy

import (
	"context"
)

type readOnlyKey struct{}

// WithReadOnly returns a context in which the tenant's data must not be changed.
// A pool of connections returns handles that cannot.
func WithReadOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, readOnlyKey{}, true)
}

// IsReadOnly reports whether the context is one of [WithReadOnly].
func IsReadOnly(ctx context.Context) bool {
	is, _ := ctx.Value(readOnlyKey{}).(bool)
	return is
}
