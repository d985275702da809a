package dbpool

import (
	"context"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/urgency"
)

// BusyError says that a request got no connection, because too many want one.
// It unwraps to [tenancy.ErrLimited] and to [tenancy.ErrUnavailable].
type BusyError struct {
	Reason string
	// After is how long it may take until it is worth trying again.
	After time.Duration
}

// Error returns the text for logs.
func (e *BusyError) Error() string { return "no connection: " + e.Reason }

// RetryAfter returns when to try again, for the header of that name.
func (e *BusyError) RetryAfter() time.Duration { return e.After }

// Unwrap returns the sentinels.
func (e *BusyError) Unwrap() []error { return []error{tenancy.ErrLimited, tenancy.ErrUnavailable} }

// LowPriority returns a context whose work gets connections when no request
// waits for one: migrations, backups, reports.
func LowPriority(ctx context.Context) context.Context {
	return urgency.LowPriority(ctx)
}

// IsLowPriority reports whether a context is of [LowPriority].
func IsLowPriority(ctx context.Context) bool { return urgency.IsLowPriority(ctx) }

func classOf(ctx context.Context) class {
	if IsLowPriority(ctx) {
		return background
	}
	return foreground
}
