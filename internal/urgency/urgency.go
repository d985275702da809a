// Package urgency tells requests from work that nobody waits for, by their contexts. Package
// dbpool gives connections to requests first, and package analytics counts the waits of
// other work apart.
package urgency

import "context"

type key struct{}

// LowPriority returns a context of work that nobody waits for.
func LowPriority(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// IsLowPriority reports whether nobody waits for the context's work.
func IsLowPriority(ctx context.Context) bool { return ctx.Value(key{}) != nil }
