package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
)

// crowd sends requests to a handler that serves each until it is let go. It lives
// in a synctest bubble.
type crowd struct {
	*testing.T
	h       http.Handler
	running atomic.Int64
	served  []string // in this order
	release chan struct{}
	mu      sync.Mutex // guards served and codes
	codes   map[int]int
}

func newCrowd(t *testing.T, opts middleware.ConcurrencyOptions) *crowd {
	c := &crowd{T: t, release: make(chan struct{}), codes: map[int]int{}}
	opts.Options = *quiet
	c.h = middleware.Concurrency(&opts)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.running.Add(1)
		defer c.running.Add(-1)
		c.mu.Lock()
		c.served = append(c.served, r.URL.Path)
		c.mu.Unlock()
		if r.URL.Path == "/panic" {
			panic(http.ErrAbortHandler)
		}
		<-c.release
	}))
	return c
}

// send sends a request and returns when it is served, waits or is answered.
func (c *crowd) send(ctx context.Context, t *tenancy.Tenant, path string) {
	c.Helper()
	go func() {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		if t != nil {
			ctx = tenancy.NewContext(ctx, t)
		}
		w := httptest.NewRecorder()
		defer func() {
			if p := recover(); p != nil {
				w.Code = -1
			}
			c.mu.Lock()
			c.codes[w.Code]++
			c.mu.Unlock()
		}()
		c.h.ServeHTTP(w, r.WithContext(ctx))
	}()
	synctest.Wait()
}

// want compares how many requests are served now, and how many got which status.
func (c *crowd) want(what string, running int64, codes map[int]int) {
	c.Helper()
	synctest.Wait()
	if got := c.running.Load(); got != running {
		c.Errorf("%s: %d are served, want %d", what, got, running)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if fmt.Sprint(c.codes) != fmt.Sprint(codes) {
		c.Errorf("%s: got %v, want %v", what, c.codes, codes)
	}
}

func (c *crowd) letGo(n int) {
	for range n {
		c.release <- struct{}{}
	}
	synctest.Wait()
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, middleware.ConcurrencyOptions{Max: 3, Queue: 2, Wait: time.Second})
		a, b := newTenant("a", tenancy.StatusActive), newTenant("b", tenancy.StatusActive)
		for i := range 5 {
			c.send(t.Context(), a, fmt.Sprint("/", i))
		}
		c.want("five", 3, map[int]int{})
		c.send(t.Context(), a, "/5")
		c.want("one more than there is room for", 3, map[int]int{429: 1})
		c.send(t.Context(), b, "/b")
		c.send(t.Context(), nil, "/central")
		c.want("other tenants, and none", 5, map[int]int{429: 1})
		c.letGo(1)
		c.letGo(4) // the first five
		c.want("after five are done", 2, map[int]int{200: 5, 429: 1})
		if i := slices.Index(c.served, "/3"); i < 0 || slices.Index(c.served, "/4") < i {
			t.Errorf("served %v, want /3 before /4", c.served)
		}
		c.letGo(2)
		c.want("all are done", 0, map[int]int{200: 7, 429: 1})
	})
}

func TestConcurrencyWhileSomeAreDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, middleware.ConcurrencyOptions{Max: 3, Wait: time.Hour})
		a := newTenant("a", tenancy.StatusActive)
		for range 3 {
			c.send(t.Context(), a, "/")
		}
		for done := range 10 {
			codes := map[int]int{}
			if done > 0 {
				codes[200] = done
			}
			c.want("full", 3, codes)
			c.letGo(1)
			c.send(t.Context(), a, "/")
			c.send(t.Context(), a, "/")
		}
		close(c.release)
	})
}

func TestConcurrencyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, middleware.ConcurrencyOptions{Max: 1, Queue: 3, Wait: time.Second})
		a := newTenant("a", tenancy.StatusActive)
		c.send(t.Context(), a, "/first")
		c.send(t.Context(), a, "/waits")
		time.Sleep(time.Second - 1)
		c.want("before the time is over", 1, map[int]int{})
		time.Sleep(time.Nanosecond)
		c.want("when the time is over", 1, map[int]int{429: 1})

		gone, cancel := context.WithCancel(t.Context())
		c.send(gone, a, "/gone")
		c.send(t.Context(), a, "/last")
		cancel()
		c.want("when a client has gone", 1, map[int]int{429: 1, 499: 1})
		c.letGo(1)
		c.want("when the first is done", 1, map[int]int{200: 1, 429: 1, 499: 1})
		if want := []string{"/first", "/last"}; !slices.Equal(c.served, want) {
			t.Errorf("served %v, want %v", c.served, want)
		}
		c.letGo(1)
		for range 4 { // nobody is left in the queue
			c.send(t.Context(), a, "/more")
		}
		c.want("again", 1, map[int]int{200: 2, 429: 1, 499: 1})
		c.letGo(4)
		c.want("all are done", 0, map[int]int{200: 6, 429: 1, 499: 1})
	})
}

func TestConcurrencyOptions(t *testing.T) {
	t.Parallel()
	record := func(n int64) map[string]int64 { return map[string]int64{"concurrency": n} }
	for name, tt := range map[string]struct {
		opts    middleware.ConcurrencyOptions
		limits  map[string]int64
		running int64 // of 300
		refused int
	}{
		"defaults":                         {middleware.ConcurrencyOptions{}, nil, 100, 100},
		"no limit":                         {middleware.ConcurrencyOptions{Max: -1}, nil, 300, 0},
		"no queue":                         {middleware.ConcurrencyOptions{Max: 10, Queue: -1}, nil, 10, 290},
		"no wait":                          {middleware.ConcurrencyOptions{Max: 10, Wait: -1}, nil, 10, 290},
		"of the record":                    {middleware.ConcurrencyOptions{Max: 10, Queue: -1}, record(20), 20, 280},
		"zero in the record":               {middleware.ConcurrencyOptions{Max: 10}, record(0), 0, 300},
		"negative in the record":           {middleware.ConcurrencyOptions{Max: 10}, record(-1), 300, 0},
		"most":                             {middleware.ConcurrencyOptions{Max: 10}, record(1<<63 - 1), 300, 0},
		"of a function":                    {middleware.ConcurrencyOptions{Queue: -1, Limit: func(*tenancy.Tenant) (int64, bool) { return 7, true }}, record(20), 7, 293},
		"of a function that does not know": {middleware.ConcurrencyOptions{Max: 5, Queue: -1, Limit: func(*tenancy.Tenant) (int64, bool) { return 7, false }}, record(20), 5, 295},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, tt.opts)
			for range 300 {
				c.send(t.Context(), limited("a", tt.limits), "/")
			}
			codes := map[int]int{}
			if tt.refused > 0 {
				codes[429] = tt.refused
			}
			c.want(name, tt.running, codes)
			close(c.release)
			synctest.Wait()
		})
	}
}

// A limit that changes counts with the next request.
func TestConcurrencyLimitChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, middleware.ConcurrencyOptions{Wait: time.Hour})
		send := func(limit int64) { c.send(t.Context(), limited("a", map[string]int64{"concurrency": limit}), "/") }
		for range 4 {
			send(2)
		}
		c.want("two of four", 2, map[int]int{})
		send(4)
		c.want("four of five", 4, map[int]int{})
		send(1)
		c.letGo(3)
		c.want("as many as before are being served", 1, map[int]int{200: 3})
		send(2)
		c.want("two of what is left", 2, map[int]int{200: 3})
		close(c.release)
		c.want("all are done", 0, map[int]int{200: 7})
	})
}

// A higher limit lets those in who wait, also when the queue is full.
func TestConcurrencyLimitGrowsWhileTheQueueIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, middleware.ConcurrencyOptions{Queue: 2, Wait: time.Hour})
		send := func(limit int64) { c.send(t.Context(), limited("a", map[string]int64{"concurrency": limit}), "/") }
		for range 3 {
			send(1)
		}
		c.want("one of three", 1, map[int]int{})
		send(5)
		c.want("all four", 4, map[int]int{})
		close(c.release)
		c.want("all are done", 0, map[int]int{200: 4})
	})
}

func TestConcurrencyAfterAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, middleware.ConcurrencyOptions{Max: 1, Queue: 1})
		a := newTenant("a", tenancy.StatusActive)
		for range 5 {
			c.send(t.Context(), a, "/panic")
		}
		c.want("panics", 0, map[int]int{-1: 5})
		c.send(t.Context(), a, "/")
		c.want("one more", 1, map[int]int{-1: 5})
		c.letGo(1)
	})
}

// Many requests of many tenants, some of which give up.
func TestConcurrencyAtOnce(t *testing.T) {
	t.Parallel()
	const most, tenants = 3, 200
	var running [tenants]atomic.Int64
	var exceeded, served atomic.Int64
	h := middleware.Concurrency(&middleware.ConcurrencyOptions{Options: *quiet, Max: most, Queue: 2, Wait: time.Millisecond})(
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var i int
			if _, err := fmt.Sscanf(r.URL.Path, "/%d", &i); err != nil {
				t.Error(err)
			}
			if running[i].Add(1) > most {
				exceeded.Add(1)
			}
			served.Add(1)
			running[i].Add(-1)
		}))
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for n := range 2000 {
				i := (n / (worker + 1)) % tenants
				r := httptest.NewRequest(http.MethodGet, fmt.Sprint("/", i), nil)
				ctx, cancel := context.WithCancel(tenancy.NewContext(t.Context(), newTenant(fmt.Sprint(i), tenancy.StatusActive)))
				if n%7 == 0 {
					cancel()
				}
				h.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
				cancel()
			}
		})
	}
	wg.Wait()
	if exceeded.Load() > 0 || served.Load() == 0 {
		t.Errorf("%d of %d were served beyond the limit", exceeded.Load(), served.Load())
	}
	// Nothing is left behind.
	for i := range tenants {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, fmt.Sprint("/", i), nil)
		h.ServeHTTP(w, r.WithContext(tenancy.NewContext(t.Context(), limited(fmt.Sprint(i), map[string]int64{"concurrency": 1}))))
		if w.Code != 200 {
			t.Errorf("tenant %d: got %d, want 200", i, w.Code)
		}
	}
}

// Nobody knows when a limit of zero will be another one.
func TestConcurrencyRetryAfter(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int64]string{0: "", 1: "1"} {
		var h http.Handler
		inner := answer{}
		h = as(limited("a", map[string]int64{"concurrency": limit}), middleware.Concurrency(&middleware.ConcurrencyOptions{Options: *quiet, Queue: -1})(
			http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inner = ask(t, h, get("/")) })))
		got := ask(t, h, get("/"))
		if limit > 0 {
			got = inner
		}
		if want := (answer{429, "limited", want}); got != want {
			t.Errorf("a limit of %d: got %+v, want %+v", limit, got, want)
		}
	}
}

// A connection that was hijacked counts until the handler returns.
func TestConcurrencyHijack(t *testing.T) {
	t.Parallel()
	returned := make(chan struct{})
	h := middleware.Concurrency(&middleware.ConcurrencyOptions{Options: *quiet, Max: 1, Queue: -1})(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/socket" {
				return
			}
			conn, buf, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			_, _ = buf.ReadString('\n')
		}))
	acme := newTenant("acme", tenancy.StatusActive)
	send := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		as(acme, h).ServeHTTP(w, r)
		if r.URL.Path == "/socket" {
			close(returned)
		}
	}))
	status := func(path string) int {
		t.Helper()
		_, from := send("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		return statusOf(t, from)
	}
	conn, from := send("GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if got := statusOf(t, from); got != 101 {
		t.Fatalf("got %d, want 101", got)
	}
	if got := status("/"); got != 429 {
		t.Errorf("beside the socket: got %d, want 429", got)
	}
	if _, err := io.WriteString(conn, "bye\n"); err != nil {
		t.Fatal(err)
	}
	<-returned
	if got := status("/"); got != 200 {
		t.Errorf("after the socket: got %d, want 200", got)
	}
}

func statusOf(t *testing.T, from *bufio.Reader) int {
	t.Helper()
	res, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestLimitedError(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("deep: %w", &middleware.LimitedError{Limit: "concurrency", After: time.Second})
	if !errors.Is(err, tenancy.ErrLimited) || err.Error() != "deep: limit reached: concurrency" {
		t.Errorf("got %v, want %v", err, tenancy.ErrLimited)
	}
}
