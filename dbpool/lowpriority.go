package dbpool

import (
	"context"

	"github.com/artflow-studio/tenancy/internal/urgency"
)

// LowPriority returns a context whose work gets connections when no request
// waits for one: migrations, backups, reports.
func LowPriority(ctx context.Context) context.Context {
	return urgency.LowPriority(ctx)
}

// IsLowPriority reports whether a context is of [LowPriority].
func IsLowPriority(ctx context.Context) bool { return urgency.IsLowPriority(ctx) }
