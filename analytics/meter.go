package analytics

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// meter estimates the processor time of one request or job: the time since it began, less
// its waits that are known. It is never used again, since contexts may outlive their
// request.
type meter struct {
	began   time.Time
	waited  atomic.Int64 // nanoseconds
	stopped atomic.Int64 // nanoseconds after which it no longer counts; 0: it does

	read *atomic.Int64 // bytes of the request's body; nil for a job

	// What follows is guarded by the cell's lock.
	next, prev *meter // of those in progress
	counted    int64  // nanoseconds that ticks have counted so far, and
	credited   int64  // what of them the tenant got
}

// wait takes note of a wait that has ended.
func (m *meter) wait(d time.Duration) {
	if m.stopped.Load() == 0 {
		m.waited.Add(int64(d))
	}
}

// stop lets the meter count no longer. What a stream does afterwards is not told from
// waiting.
func (m *meter) stop() { m.stopped.CompareAndSwap(0, max(1, int64(time.Since(m.began)))) }

// busy returns the nanoseconds until now that were no waits. They are fewer than before
// when a wait has ended since.
func (m *meter) busy(now time.Time) int64 {
	took := m.stopped.Load()
	if took == 0 {
		took = int64(now.Sub(m.began))
	}
	return max(0, took-m.waited.Load())
}

// meterContext is the context of what a meter measures.
type meterContext struct {
	context.Context
	meter *meter
}

type meterKey struct{}

// Value returns the meter for its key.
func (c *meterContext) Value(key any) any {
	if key == (meterKey{}) {
		return c.meter
	}
	return c.Context.Value(key)
}

// waited takes note of a wait of the context's request or job.
func waited(ctx context.Context, d time.Duration) {
	if m, ok := ctx.Value(meterKey{}).(*meter); ok {
		m.wait(d)
	}
}

// Waiting says that the request or job of the context waits from now on, until done is
// called, for something that is not this process: a service, a queue, a lock. That time is
// not taken for processor time. In other contexts it does nothing.
//
//	done := analytics.Waiting(ctx)
//	res, err := client.Call(ctx, req)
//	done()
func Waiting(ctx context.Context) (done func()) {
	m, ok := ctx.Value(meterKey{}).(*meter)
	if !ok {
		return func() {}
	}
	began := time.Now()
	return func() { m.wait(time.Since(began)) }
}

// Transport is a round tripper. Until the header of the answer arrives, a call counts as a
// wait of the request in its context: see [Waiting].
type Transport struct {
	// Base does the calls. Default: [http.DefaultTransport].
	Base http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	defer Waiting(r.Context())()
	if t.Base == nil {
		return http.DefaultTransport.RoundTrip(r)
	}
	return t.Base.RoundTrip(r)
}
