package analytics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
	requests "github.com/artflow-studio/tenancy/internal/request"
)

// TargetLimit is the key of [tenancy.Tenant.Limits] that holds the tenant's own target
// for latency, in milliseconds: what takes longer is counted as [Slow].
const TargetLimit = "slo.latency_ms"

// Handler counts the requests that next answers. It stands outside of all
// middlewares: the tenant is the one that package middleware finds within next, or
// the one that the request's context has. Requests without a tenant count for the
// [Application].
//
// A latency ends when the handler returns. That of a stream ends with the first
// flush, that of a hijacked connection with the hijacking; bytes of a hijacked
// connection are not counted.
//
// The response writer has the abilities of the one within: http.Flusher,
// http.Hijacker, http.Pusher and io.ReaderFrom. Unwrap leads to it. A panic goes on.
func (rec *Recorder) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &request{rec: rec, inner: w, began: time.Now(), http1: r.ProtoMajor == 1}
		if t, ok := tenancy.FromContext(r.Context()); ok {
			q.enter(t)
			q.ctx = meterContext{r.Context(), &q.meter}
		}
		if r.Body != nil && r.Body != http.NoBody {
			q.body = body{r.Body, q}
			r.Body = &q.body // net/http keeps the one that it closes
		}
		defer q.leave(r)
		if q.tenant != nil {
			requests.Serve(&q.ctx, next, able(q), r, nil)
		} else {
			next.ServeHTTP(able(q), r)
		}
		q.returned = true
	})
}

// request is what is known of one request, and its response writer. It is never used
// again: contexts and writers may outlive their request.
type request struct {
	rec   *Recorder
	inner http.ResponseWriter
	began time.Time
	http1 bool
	body  body
	ctx   meterContext // with the meter, which counts once the tenant is known
	meter meter

	tenant   *tenancy.Tenant
	reason   error // of a refusal
	returned bool  // the handler did, and did not panic

	// Handlers may leave goroutines behind that still write or read.
	in, out  atomic.Int64
	status   atomic.Int32
	flushed  atomic.Int64 // nanoseconds until the first flush or the hijacking; 0 if there was none
	hijacked atomic.Bool
}

// Tenant takes note of the tenant that a middleware found. See package witness.
func (q *request) Tenant(ctx context.Context, t *tenancy.Tenant) context.Context {
	if t == nil || q.tenant != nil && q.tenant.ID == t.ID {
		return ctx
	}
	if q.tenant != nil { // it counts for the first alone
		return ctx
	}
	q.enter(t)
	q.ctx = meterContext{ctx, &q.meter}
	return &q.ctx
}

// Refused takes note of why a middleware refused the request.
func (q *request) Refused(err error) {
	if q.reason == nil {
		q.reason = err
	}
}

// enter counts the request as in flight.
func (q *request) enter(t *tenancy.Tenant) {
	now := time.Now() // the request may have begun long ago
	q.tenant = t
	q.meter.began = now
	q.meter.waited.Store(0)
	q.meter.read = &q.in
	q.rec.update(t.ID, t, now, func(c *cell, n *tally) {
		c.start(&q.meter)
		c.inFlight++
		n.values[InFlight] = max(n.values[InFlight], c.inFlight)
	})
}

// leave counts the request.
func (q *request) leave(r *http.Request) {
	ctx, now := r.Context(), time.Now()
	id, entered := Application, q.tenant != nil
	var target time.Duration
	if entered {
		id = q.tenant.ID
		target = time.Duration(q.tenant.Limits[TargetLimit]) * time.Millisecond
	}
	latency := now.Sub(q.began)
	if first := q.flushed.Load(); first != 0 {
		latency = time.Duration(first)
	}
	outcome, refused := q.outcome(ctx)
	class := q.class(ctx)
	us := min(latency.Microseconds(), most)
	pattern := r.Pattern
	if r.Method == http.MethodConnect && class == Status3xx {
		pattern = "" // what http.ServeMux redirects then has its path there, which the client chose
	}
	q.rec.update(id, q.tenant, now, func(c *cell, n *tally) {
		if entered {
			c.inFlight--
			c.finish(&q.meter, now)
		}
		n.values[Requests]++
		n.values[class]++
		if refused {
			n.values[outcome]++
		}
		if target > 0 && latency > target {
			n.values[Slow]++
		}
		n.latency.observe(us)
		c.pattern(pattern, n.at, us, class == Status5xx)
		n.values[LatencyTime] = add(n.values[LatencyTime], us)
		n.values[BytesIn] = add(n.values[BytesIn], q.in.Load())
		n.values[BytesOut] = add(n.values[BytesOut], q.out.Load())
		n.values[LastSeen] = max(n.values[LastSeen], q.rec.micros(now))
	})
	if e := q.rec.epoch.Load(); e != nil {
		counts := PulseCounts{Requests: 1, LatencyTime: us, BytesOut: q.out.Load()}
		if class == Status5xx {
			counts.Errors = 1
		}
		e.add(id, counts)
	}
}

// outcome returns the column of what became of the request, if it did not just go
// through.
func (q *request) outcome(ctx context.Context) (Column, bool) {
	var maintenance *tenancy.MaintenanceError
	switch {
	case !q.returned && ctx.Err() == nil:
		return Panicked, true
	case errors.Is(ctx.Err(), context.Canceled) && !q.hijacked.Load():
		return Cancelled, true
	case q.reason == nil:
		return 0, false
	case errors.As(q.reason, &maintenance):
		return Maintenance, true
	case errors.Is(q.reason, tenancy.ErrLimited):
		return Limited, true
	case errors.Is(q.reason, tenancy.ErrUnavailable), errors.Is(q.reason, tenancy.ErrClosed), errors.Is(q.reason, context.DeadlineExceeded):
		return Unavailable, true
	}
	return 0, false
}

// class returns the column of the answer's status.
func (q *request) class(ctx context.Context) Column {
	switch status := q.status.Load(); {
	case status >= 500, status == 0 && !q.returned:
		return Status5xx
	case status >= 400, status == 0 && errors.Is(ctx.Err(), context.Canceled):
		return Status4xx
	case status >= 300:
		return Status3xx
	case status >= 200, status == 0:
		return Status2xx
	}
	return Status1xx
}

// body counts what is read of a request's body.
type body struct {
	io.ReadCloser
	request *request
}

func (b *body) Read(p []byte) (int, error) {
	began := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.request.meter.wait(time.Since(began))
	b.request.in.Add(int64(n))
	return n, err
}
