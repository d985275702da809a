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

// Background returns a context whose work gets connections when no request
// waits for one: migrations, backups, reports.
func Background(ctx context.Context) context.Context {
	return urgency.Background(ctx)
}

// IsBackground reports whether a context is of [Background].
func IsBackground(ctx context.Context) bool { return urgency.IsBackground(ctx) }

func classOf(ctx context.Context) class {
	if IsBackground(ctx) {
		return background
	}
	return foreground
}
