package analytics_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// The abilities of response writers.
type (
	canFlush  struct{}
	canHijack struct{}
	canRead   struct{}
	canPush   struct{}
)

func (canFlush) Flush() {}
func (canHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("hijacked")
}
func (canRead) ReadFrom(r io.Reader) (int64, error)  { return io.Copy(io.Discard, r) }
func (canPush) Push(string, *http.PushOptions) error { return errors.New("pushed") }

// A handler finds the abilities that the writer within has, and no others.
func TestWriterAbilities(t *testing.T) {
	t.Parallel()
	type w = http.ResponseWriter
	plainWriter := func() w { return struct{ w }{httptest.NewRecorder()} }
	for _, inner := range []w{
		plainWriter(),
		struct {
			w
			canFlush
		}{w: plainWriter()}, struct {
			w
			canHijack
		}{w: plainWriter()}, struct {
			w
			canRead
		}{w: plainWriter()}, struct {
			w
			canPush
		}{w: plainWriter()},
		struct {
			w
			canFlush
			canHijack
		}{w: plainWriter()}, struct {
			w
			canFlush
			canRead
		}{w: plainWriter()}, struct {
			w
			canFlush
			canPush
		}{w: plainWriter()},
		struct {
			w
			canHijack
			canRead
		}{w: plainWriter()}, struct {
			w
			canHijack
			canPush
		}{w: plainWriter()}, struct {
			w
			canRead
			canPush
		}{w: plainWriter()},
		struct {
			w
			canFlush
			canHijack
			canRead
		}{w: plainWriter()}, struct {
			w
			canFlush
			canHijack
			canPush
		}{w: plainWriter()},
		struct {
			w
			canFlush
			canRead
			canPush
		}{w: plainWriter()}, struct {
			w
			canHijack
			canRead
			canPush
		}{w: plainWriter()},
		struct {
			w
			canFlush
			canHijack
			canRead
			canPush
		}{w: plainWriter()},
	} {
		store, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		has := func(w http.ResponseWriter) string {
			_, f := w.(http.Flusher)
			_, h := w.(http.Hijacker)
			_, r := w.(io.ReaderFrom)
			_, p := w.(http.Pusher)
			return fmt.Sprint(f, h, r, p)
		}
		newRecorder(t, store, nil).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if got, want := has(w), has(inner); got != want {
				t.Errorf("%T: got flush, hijack, read, push %s, want %s", inner, got, want)
			}
			if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); !ok || u.Unwrap() != inner {
				t.Errorf("%T: Unwrap does not lead to it", inner)
			}
			if h, ok := w.(http.Hijacker); ok {
				if _, _, err := h.Hijack(); err == nil || err.Error() != "hijacked" {
					t.Errorf("Hijack: got %v, want that of the writer within", err)
				}
			}
			if p, ok := w.(http.Pusher); ok {
				if err := p.Push("/", nil); err == nil || err.Error() != "pushed" {
					t.Errorf("Push: got %v, want that of the writer within", err)
				}
			}
		})).ServeHTTP(inner, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	}
}

// served is a server with the recorder in front of a handler of one tenant.
type served struct {
	*httptest.Server
	t      *testing.T
	rec    *analytics.Recorder
	store  *analytics.Memory
	tenant *tenancy.Tenant
	done   chan struct{} // one for each request that was counted
}

func serveOne(t *testing.T, h http.HandlerFunc) *served {
	t.Helper()
	store, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{t: t, rec: newRecorder(t, store, nil), store: store, tenant: tenancytest.NewTenant("acme"), done: make(chan struct{}, 10)}
	counted := s.rec.Handler(h)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { s.done <- struct{}{} }()
		counted.ServeHTTP(w, r.WithContext(tenancy.NewContext(r.Context(), s.tenant)))
	}))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s
}

// counts returns what was counted after n requests.
func (s *served) counts(n int) *analytics.Counts {
	s.t.Helper()
	for range n {
		<-s.done
	}
	if err := s.rec.Flush(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	rows, err := s.store.Sum(s.t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Latency: true, Period: analytics.Period{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)}})
	if err != nil || len(rows) != 1 {
		s.t.Fatalf("got %+v, %v, want one row", rows, err)
	}
	return &rows[0].Counts
}

func (s *served) want(got *analytics.Counts, want map[analytics.Column]int64) {
	s.t.Helper()
	for c, n := range want {
		if got.Get(c) != n {
			s.t.Errorf("%v: got %d, want %d", c, got.Get(c), n)
		}
	}
	if got.Latency.Count() != got.Get(analytics.Requests) {
		s.t.Errorf("got %d latencies of %d requests", got.Latency.Count(), got.Get(analytics.Requests))
	}
}

func TestHandlerCounts(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 100_000)
	for name, tt := range map[string]struct {
		h    http.HandlerFunc
		want map[analytics.Column]int64
	}{
		"nothing written": {func(http.ResponseWriter, *http.Request) {}, map[analytics.Column]int64{analytics.Status2xx: 1, analytics.BytesOut: 0}},
		"a hint before": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNotFound)
			w.WriteHeader(http.StatusOK) // too late
			_, _ = io.WriteString(w, "abc")
		}, map[analytics.Column]int64{analytics.Status4xx: 1, analytics.Status1xx: 0, analytics.BytesOut: 3}},
		"a redirect":    {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, map[analytics.Column]int64{analytics.Status3xx: 1}},
		"a copy":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader(big)) }, map[analytics.Column]int64{analytics.BytesOut: 100_000, analytics.Status2xx: 1}},
		"the body read": {func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, map[analytics.Column]int64{analytics.BytesIn: 5}},
		"the body left": {func(http.ResponseWriter, *http.Request) {}, map[analytics.Column]int64{analytics.BytesIn: 0}},
		"a panic":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, map[analytics.Column]int64{analytics.Panicked: 1, analytics.Status5xx: 1}},
		"a late panic": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); panic(http.ErrAbortHandler) },
			map[analytics.Column]int64{analytics.Panicked: 1, analytics.Status2xx: 1}},
		"hijacked": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}, map[analytics.Column]int64{analytics.Status1xx: 1, analytics.Cancelled: 0, analytics.Panicked: 0}},
		"deadlines": {func(w http.ResponseWriter, _ *http.Request) {
			c := http.NewResponseController(w)
			if err := errors.Join(c.SetReadDeadline(time.Now().Add(time.Hour)), c.SetWriteDeadline(time.Now().Add(time.Hour)), c.EnableFullDuplex(), c.Flush()); err != nil {
				w.WriteHeader(500)
			}
		}, map[analytics.Column]int64{analytics.Status2xx: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveOne(t, tt.h)
			r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL, strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			client := s.Client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			if res, err := client.Do(r); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
			tt.want[analytics.Requests], tt.want[analytics.InFlight] = 1, 1
			s.want(s.counts(1), tt.want)
		})
	}
}

// A client that goes away is no error of the service's.
func TestHandlerCancelled(t *testing.T) {
	t.Parallel()
	s := serveOne(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	cancel()
	_ = conn.Close()
	s.want(s.counts(1), map[analytics.Column]int64{analytics.Requests: 1, analytics.Cancelled: 1, analytics.Status4xx: 1, analytics.Status5xx: 0, analytics.Panicked: 0})
}

// After a body that is too large the connection ends, as without the recorder.
func TestHandlerTooLarge(t *testing.T) {
	t.Parallel()
	s := serveOne(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10)); err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		}
	})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"+strings.Repeat("x", 100))
	answer, err := io.ReadAll(conn) // until the server closes
	if err != nil || !strings.Contains(string(answer), "413") || !strings.Contains(string(answer), "Connection: close") {
		t.Errorf("got %q, %v, want 413 and the end of the connection", answer, err)
	}
	s.want(s.counts(1), map[analytics.Column]int64{analytics.Status4xx: 1})
}

// The latency of a stream ends with its first flush.
func TestHandlerStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		rec := newRecorder(t, store, nil)
		acme := tenancytest.NewTenant("acme")
		acme.Limits = map[string]int64{analytics.TargetLimit: 150}
		h := rec.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stream" {
				time.Sleep(100 * time.Millisecond)
				w.(http.Flusher).Flush()
			}
			time.Sleep(time.Hour)
		}))
		for _, path := range []string{"/stream", "/slow"} {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(tenancy.NewContext(t.Context(), acme), "GET", path, nil))
		}
		if err := rec.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows, err := store.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Latency: true, Period: analytics.Period{From: time.Now().Add(-day), To: time.Now().Add(time.Minute)}})
		if err != nil || len(rows) != 1 {
			t.Fatalf("got %+v, %v", rows, err)
		}
		c := rows[0].Counts
		if got := time.Duration(c.Get(analytics.LatencyTime)) * time.Microsecond; got != time.Hour+100*time.Millisecond || c.Get(analytics.Slow) != 1 {
			t.Errorf("got %v and %d slow, want an hour and 100 ms, and one", got, c.Get(analytics.Slow))
		}
	})
}

const day = 24 * time.Hour
