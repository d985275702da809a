package dbpool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/artflow-studio/tenancy"
)

// DownError says that a connection was not tried, because the last attempts
// failed. It unwraps to the error of the last one, and so to
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

// breaker keeps from dialling what does not answer. After trip failures in a row
// it is open, and requests fail at once; after a pause, which doubles with each
// failure, one dial is let through, and if that succeeds the breaker closes.
type breaker struct {
	trip     int
	from     map[*queue]bool // of a server's: whose dials failed, until trip
	failures int
	retryAt  time.Time
	err      error
}

const (
	shortestPause = 100 * time.Millisecond
	longestPause  = 10 * time.Second
	serverTrip    = 3 // tenants
)

// tripped reports whether the breaker lets one dial through at most.
func (b *breaker) tripped() bool { return b.failures >= b.trip }

// state is what the breaker is called.
func (b *breaker) state(dialing int, now time.Time) string {
	switch {
	case !b.tripped():
		return "closed"
	case dialing > 0 || !now.Before(b.retryAt):
		return "half-open"
	}
	return "open"
}

// open reports whether nothing is to be tried now.
func (b *breaker) open(now time.Time) bool { return b.tripped() && now.Before(b.retryAt) }

// refuses returns an error while nothing is to be tried.
func (b *breaker) refuses(now time.Time) error {
	if !b.open(now) {
		return nil
	}
	return &DownError{b.failures, b.retryAt.Sub(now), b.err}
}

// failed counts a failure. The pause has jitter, so that replicas do not all
// come back at the same moment.
func (b *breaker) failed(now time.Time, err error) {
	b.failures++
	b.err = err
	pause := longestPause
	if n := b.failures - b.trip; n < 7 {
		pause = shortestPause << max(n, 0)
	}
	b.retryAt = now.Add(pause/2 + rand.N(pause/2)) //nolint:gosec // not a secret
}

func (b *breaker) succeeded() { b.failures, b.err, b.from = 0, nil, nil }

// failedFor counts a failure of a server. It takes different tenants to show that
// the server is at fault, and not the database of one; the pool's own connection to
// the server itself counts each time.
func (b *breaker) failedFor(q *queue, now time.Time, err error) {
	if !b.tripped() && q.tenant != "" {
		if b.from == nil {
			b.from = map[*queue]bool{}
		}
		if b.from[q] {
			return
		}
		b.from[q] = true
	}
	// The text is for logs; as an error it would speak of another tenant.
	b.failed(now, fmt.Errorf("%w: the server refuses connections: %v", tenancy.ErrUnavailable, err)) //nolint:errorlint // see above
}

// tenantsFault reports whether a dial failed because of the tenant's database
// and surely not of the server.
func tenantsFault(err error) bool {
	var wrong *IdentityError
	return errors.Is(err, tenancy.ErrNotFound) || errors.As(err, &wrong)
}
