// Package urgency tells requests from work that nobody waits for, by their contexts. Package
// dbpool gives connections to requests first, and package analytics counts the waits of
// other work apart.
package urgency

import "context"

type key struct{}

// Background returns a context of work that nobody waits for.
func Background(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// IsBackground reports whether nobody waits for the context's work.
func IsBackground(ctx context.Context) bool { return ctx.Value(key{}) != nil }
