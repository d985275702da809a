package tenancy

import "context"

type contextKey struct{}

// NewContext returns a context that carries the tenant. It panics if t is nil:
// a context that claims a tenant and has none is a mistake no caller survives.
func NewContext(ctx context.Context, t *Tenant) context.Context {
	if t == nil {
		panic("tenancy: NewContext with a nil tenant")
	}
	return context.WithValue(ctx, contextKey{}, t)
}

// FromContext returns the tenant that the context carries, if any. The tenant
// is shared and must not be modified.
func FromContext(ctx context.Context) (*Tenant, bool) {
	t, ok := ctx.Value(contextKey{}).(*Tenant)
	return t, ok
}

// Require returns the tenant that the context carries, or [ErrNoTenant].
func Require(ctx context.Context) (*Tenant, error) {
	if t, ok := FromContext(ctx); ok {
		return t, nil
	}
	return nil, ErrNoTenant
}
