// Package rediskit has what all packages that use Redis share.
package rediskit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
)

// errSlow says that Redis did not answer in time.
var errSlow = errors.New("no answer in time")

// Within asks Redis, and waits no longer than the timeout. The client itself does not always
// stop when its context ends: not while another caller's dial is under way, for example. And
// when that caller's context ends, those that wait for the dial get its error: Within asks
// again. When ctx ends, the error is that of ctx; when the time is over, it is no error of a
// context.
func Within(ctx context.Context, timeout time.Duration, ask func(context.Context) rueidis.RedisResult) rueidis.RedisResult {
	if err := ctx.Err(); err != nil {
		return rueidis.NewErrorResult(err)
	}
	timed, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan rueidis.RedisResult, 1)
	go func() {
		got := ask(undated{timed})
		for cutOff(got.NonRedisError()) && timed.Err() == nil {
			select {
			case <-timed.Done():
			case <-time.After(againAfter):
				got = ask(undated{timed})
			}
		}
		done <- got
	}()
	select {
	case got := <-done:
		if got.NonRedisError() == nil || timed.Err() == nil {
			return got
		}
	case <-timed.Done():
	}
	if err := ctx.Err(); err != nil {
		return rueidis.NewErrorResult(err)
	}
	return rueidis.NewErrorResult(errSlow)
}

// againAfter is how long Within waits before it asks again.
const againAfter = 5 * time.Millisecond

// cutOff reports whether an error, of a client whose own context has not ended, is that of the
// context of another caller, for whose dial it waited. Nothing was sent then.
func cutOff(err error) bool {
	if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
		return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	}
	return err == context.Canceled || err == context.DeadlineExceeded //nolint:errorlint // what wraps them may have been sent
}

// Failure returns an error of Redis as a caller may see it: nil stays nil, the end of the
// caller's context is returned unchanged, and anything else wraps [tenancy.ErrUnavailable] and
// keeps the text alone, because a context that ended inside the client is not the caller's.
func Failure(caller context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ended := caller.Err(); ended != nil {
		return ended
	}
	return fmt.Errorf("%w: redis: %v", tenancy.ErrUnavailable, err) //nolint:errorlint // see above
}

// undated hides a context's deadline: for one that has a deadline, rueidis does
// not look whether it is cancelled, and closes the connection when it ends.
type undated struct{ context.Context }

// Deadline implements [context.Context].
func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }
