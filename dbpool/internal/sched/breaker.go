package sched

import (
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/circuit"
)

// breaker stops dials to what does not answer. After trip failures in a row
// it is open, and requests fail at once; after a pause, which doubles with each
// failure, it lets one dial through, and closes if that succeeds.
type breaker struct {
	trip     int
	failures int
	failedAt time.Time
	retryAt  time.Time
	againAt  time.Time // of a server: when a tenant that failed before may try
	err      error
}

const (
	shortestPause = circuit.ShortestPause
	longestPause  = 10 * time.Second
	serverTrip    = 3 // tenants
	// failingTime is for how long a failure tells that a tenant fails, and not
	// that its server did once.
	failingTime = time.Minute
	// precedence is for how long only tenants that have not failed may probe a
	// server after a pause.
	precedence = shortestPause
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

// refuses returns until when nothing is to be tried, or the zero time.
func (b *breaker) refuses(now time.Time) (until time.Time) {
	if b.open(now) {
		until = b.retryAt
	}
	return until
}

// failed counts a failure.
func (b *breaker) failed(now time.Time, err error) {
	b.failures++
	b.failedAt = now
	b.err = err
	b.retryAt = b.pause(now)
}

// pause returns when the next try may be.
func (b *breaker) pause(now time.Time) time.Time {
	return now.Add(circuit.Pause(b.failures-b.trip, longestPause))
}

func (b *breaker) succeeded() { *b = breaker{trip: b.trip} }

// failing reports whether the last try, not long ago, failed.
func (b *breaker) failing(now time.Time) bool {
	return b.failures > 0 && now.Sub(b.failedAt) < failingTime
}

// The methods below are of a server's breaker. It takes different tenants to show
// that the server is at fault. A tenant that fails again says nothing new: it
// neither trips the breaker nor lengthens the pause, and others probe before it. The pool's own
// lane, which asks how far the server is, is no tenant: each of its failures counts.

// probeAt returns when a tenant may probe the server; again is whether its last try
// failed.
func (b *breaker) probeAt(again bool) time.Time {
	at := b.retryAt
	if again {
		at = at.Add(precedence)
		if at.Before(b.againAt) {
			at = b.againAt
		}
	}
	return at
}

// refusesTenant is refuses for a tenant. One that may probe soon waits.
func (b *breaker) refusesTenant(again bool, now time.Time) (until time.Time) {
	if again && b.tripped() && now.Before(b.againAt) {
		return b.againAt
	}
	return b.refuses(now)
}

// failedAgain notes a failure of a tenant that failed before.
func (b *breaker) failedAgain(now time.Time) { b.againAt = b.pause(now) }

// failedFor counts a tenant's failure. The text is for logs; as an error it would
// speak of another tenant.
func (b *breaker) failedFor(now time.Time, err error) {
	b.failed(now, fmt.Errorf("%w: the server refuses connections: %v", tenancy.ErrUnavailable, err)) //nolint:errorlint // see above
}
