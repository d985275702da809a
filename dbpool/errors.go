package dbpool

import (
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/wire"
)

// IdentityError says that a connection reached another database than the tenant's.
// The connection was closed before anybody could use it. It wraps
// [tenancy.ErrUnavailable].
type IdentityError struct {
	Tenant   tenancy.ID
	Database string
	Got      driver.Identity
}

// Error returns the text for logs.
func (e *IdentityError) Error() string {
	if e.Got.Tenant == "" {
		return fmt.Sprintf("wrong database: want %q of tenant %q, the server says %q, which has no owner", e.Database, string(e.Tenant), e.Got.Database)
	}
	return fmt.Sprintf("wrong database: want %q of tenant %q, the server says %q of tenant %q",
		e.Database, string(e.Tenant), e.Got.Database, string(e.Got.Tenant))
}

// Unwrap returns [tenancy.ErrUnavailable].
func (e *IdentityError) Unwrap() error { return tenancy.ErrUnavailable }

// BusyError says that a request got no connection, because too many want one.
// It wraps [tenancy.ErrLimited] and [tenancy.ErrUnavailable].
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

// DownError says that a connection was not tried, because the last attempts
// failed. It wraps the error of the last attempt, and through it
// [tenancy.ErrUnavailable].
type DownError struct {
	// Failures is how many attempts failed in a row.
	Failures int
	// After is how long it takes until the next attempt.
	After time.Duration
	Err   error
}

// Error returns the text for logs.
func (e *DownError) Error() string {
	return fmt.Sprintf("not tried again for %v after %d failures: %v", e.After.Round(time.Millisecond), e.Failures, e.Err)
}

// RetryAfter returns when to try again, for the header of that name.
func (e *DownError) RetryAfter() time.Duration { return e.After }

// Unwrap returns the error of the last attempt.
func (e *DownError) Unwrap() error { return e.Err }

// busy, down and wrongDatabase make these errors for the packages inside, which do not know the types.

func busy(reason string, after time.Duration) error { return &BusyError{Reason: reason, After: after} }

func down(failures int, after time.Duration, err error) error {
	return &DownError{failures, after, err}
}

func wrongDatabase(want *wire.Database, got driver.Identity) error {
	return &IdentityError{Tenant: want.Tenant, Database: want.Name, Got: got}
}
