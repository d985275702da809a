// Package probe marks, by their context, statements that may fail because they find out whether
// something exists. Package dbpool does not report their failures: they are none of the tenant's.
package probe

import "context"

type key struct{}

// Context returns a context of statements that may fail.
func Context(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is reports whether the context's statements may fail.
func Is(ctx context.Context) bool { return ctx.Value(key{}) != nil }
