package tenancy

import (
	"context"
)

type readOnlyKey struct{}

// WithReadOnly returns a context in which the tenant's data must not be changed.
// In such a context dbpool returns handles that cannot change it.
func WithReadOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, readOnlyKey{}, true)
}

// IsReadOnly reports whether the context is one of [WithReadOnly].
func IsReadOnly(ctx context.Context) bool {
	is, _ := ctx.Value(readOnlyKey{}).(bool)
	return is
}
