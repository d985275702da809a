// Package rediskit has what all packages that use Redis share.
package rediskit

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"
)

// errSlow says that Redis did not answer in time.
var errSlow = errors.New("redis did not answer in time")

// Within asks Redis, and waits no longer than the timeout. The client itself does not always
// stop when its context ends: not while another caller's dial is under way, for example.
func Within(ctx context.Context, timeout time.Duration, ask func(context.Context) rueidis.RedisResult) rueidis.RedisResult {
	if err := ctx.Err(); err != nil {
		return rueidis.NewErrorResult(err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errSlow)
	defer cancel()
	done := make(chan rueidis.RedisResult, 1)
	go func() { done <- ask(undated{ctx}) }()
	select {
	case got := <-done:
		return got
	case <-ctx.Done():
		return rueidis.NewErrorResult(context.Cause(ctx))
	}
}

// undated hides a context's deadline: for one that has a deadline, rueidis does
// not look whether it is cancelled, and closes the connection when it ends.
type undated struct{ context.Context }

// Deadline implements [context.Context].
func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }
