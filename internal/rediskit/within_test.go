package rediskit_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/rediskit"
)

// heedful is a client that returns the error of the context that it gets, once that ends. Within may see the answer or the
// end of the context first.
func heedful(ctx context.Context) rueidis.RedisResult {
	<-ctx.Done()
	return rueidis.NewErrorResult(ctx.Err())
}

// deaf is a client that does not stop when its context ends.
func deaf(context.Context) rueidis.RedisResult { select {} }

// A time-out of our own is no error of a context, and the end of the caller's context is the caller's error.
func TestWithin(t *testing.T) {
	t.Parallel()
	reason := errors.New("the reason")
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			err := rediskit.Within(t.Context(), time.Second, heedful).Error()
			if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				t.Errorf("a time-out: got %v, want no error of a context", err)
			}
			if err := rediskit.Failure(t.Context(), err); !errors.Is(err, tenancy.ErrUnavailable) {
				t.Errorf("a time-out: got %v, want ErrUnavailable", err)
			}
			cancelled, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Millisecond, func() { cancel(reason) })
			dated, end := context.WithTimeout(t.Context(), time.Millisecond)
			defer end()
			for want, ctx := range map[error]context.Context{context.Canceled: cancelled, context.DeadlineExceeded: dated} {
				for range 2 { // before and after its end
					err := rediskit.Within(ctx, time.Second, heedful).Error()
					if !errors.Is(err, want) {
						t.Errorf("got %v, want %v", err, want)
					}
					if err := rediskit.Failure(ctx, err); err != want { //nolint:errorlint // unchanged
						t.Errorf("Failure: got %v, want %v", err, want)
					}
				}
			}
		})
	}
}

// A dial that all wait for ends with the context of the caller that began it. The others dial again.
func TestWithinBesideACancelledDial(t *testing.T) {
	t.Parallel()
	for _, cut := range []error{
		context.Canceled, context.DeadlineExceeded, // while the client greets the server
		&net.OpError{Op: "dial", Net: "tcp", Err: context.Canceled}, &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded},
	} {
		asked := 0
		err := rediskit.Within(t.Context(), time.Hour, func(context.Context) rueidis.RedisResult {
			if asked++; asked < 3 {
				return rueidis.NewErrorResult(cut)
			}
			return rueidis.NewErrorResult(errors.New("answered"))
		}).Error()
		if err == nil || err.Error() != "answered" || asked != 3 {
			t.Errorf("%v: got %v after %d tries, want the answer after 3", cut, err, asked)
		}
	}
	sent := &net.OpError{Op: "read", Net: "tcp", Err: context.DeadlineExceeded}
	if err := rediskit.Within(t.Context(), time.Hour, func(context.Context) rueidis.RedisResult { return rueidis.NewErrorResult(sent) }).Error(); !errors.Is(err, sent) {
		t.Errorf("got %v, want it returned: it may have been sent", err)
	}
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		err := rediskit.Within(t.Context(), time.Second, func(context.Context) rueidis.RedisResult {
			asked.Add(1)
			return rueidis.NewErrorResult(context.Canceled)
		}).Error()
		if n := asked.Load(); err == nil || errors.Is(err, context.Canceled) || n > 201 {
			t.Errorf("a client whose dials all fail so: got %v after %d tries, want an error after at most 201", err, n)
		}
	})
}

// What a client that heeds no context does later is nobody's concern.
func TestWithinOfDeafClient(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := rediskit.Within(t.Context(), time.Millisecond, deaf).Error(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want an error that is none of a context", err)
	}
	if err := rediskit.Within(ctx, time.Hour, deaf).Error(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
}

// A context that ended inside the client is not the caller's.
func TestFailure(t *testing.T) {
	t.Parallel()
	for _, inner := range []error{context.Canceled, context.DeadlineExceeded, errors.New("LOADING")} {
		if err := rediskit.Failure(t.Context(), inner); !errors.Is(err, tenancy.ErrUnavailable) || errors.Is(err, inner) {
			t.Errorf("%v: got %v, want ErrUnavailable alone", inner, err)
		}
	}
	if err := rediskit.Failure(t.Context(), nil); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}
