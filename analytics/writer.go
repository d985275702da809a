package analytics

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// Header returns the header of the response.
func (q *request) Header() http.Header { return q.inner.Header() }

// Unwrap returns the response writer within.
func (q *request) Unwrap() http.ResponseWriter { return q.inner }

// WriteHeader notes the status and sends it.
//
// After a body that was too large, net/http's own writer ends the connection, because
// http.MaxBytesReader tells it. Behind another writer MaxBytesReader cannot.
func (q *request) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		if q.status.CompareAndSwap(0, int32(status)) && status == http.StatusRequestEntityTooLarge && q.http1 { // three digits
			q.inner.Header().Set("Connection", "close")
		}
	}
	q.inner.WriteHeader(status)
}

// Write counts bytes of the body.
func (q *request) Write(p []byte) (int, error) {
	q.begin()
	began := time.Now()
	n, err := q.inner.Write(p)
	q.meter.wait(time.Since(began))
	q.out.Add(int64(n))
	return n, err
}

// WriteString counts bytes of the body.
func (q *request) WriteString(s string) (int, error) {
	q.begin()
	began := time.Now()
	n, err := io.WriteString(q.inner, s)
	q.meter.wait(time.Since(began))
	q.out.Add(int64(n))
	return n, err
}

// begin notes the status that a body without one has.
func (q *request) begin() {
	if q.status.Load() == 0 {
		q.status.CompareAndSwap(0, http.StatusOK)
	}
}

func (q *request) flush() error {
	q.begin()
	q.flushed.CompareAndSwap(0, max(1, int64(time.Since(q.began))))
	q.meter.stop()
	if f, ok := q.inner.(interface{ FlushError() error }); ok {
		return f.FlushError()
	}
	q.inner.(http.Flusher).Flush()
	return nil
}

func (q *request) hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := q.inner.(http.Hijacker).Hijack()
	if err == nil {
		q.hijacked.Store(true)
		q.status.CompareAndSwap(0, http.StatusSwitchingProtocols)
		q.flushed.CompareAndSwap(0, max(1, int64(time.Since(q.began))))
		q.meter.stop()
	}
	return conn, rw, err
}

func (q *request) readFrom(src io.Reader) (int64, error) {
	q.begin()
	began := time.Now()
	n, err := q.inner.(io.ReaderFrom).ReadFrom(src)
	q.meter.wait(time.Since(began))
	q.out.Add(n)
	return n, err
}

func (q *request) push(target string, opts *http.PushOptions) error {
	return q.inner.(http.Pusher).Push(target, opts)
}
