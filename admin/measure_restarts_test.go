package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// ownServer starts a server of the test's own, which keeps what was committed.
func ownServer(t *testing.T, e testserver.Engine) *testserver.Server {
	t.Helper()
	s, err := testserver.Start(t.Context(), e, t.TempDir(), &testserver.Options{Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// outcome is how a request was answered.
type outcome struct {
	at   time.Time
	took time.Duration
	code int
	path string
}

// measureRestarts restarts Redis and then the database under 100 requests a second and 50 streams.
func measureRestarts(t *testing.T) {
	const streams, calm, after = 50, 3 * time.Second, 10 * time.Second
	database, cache := ownServer(t, testserver.Postgres), ownServer(t, testserver.Redis)
	engine, err := postgres.New(database.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	opts, err := rueidis.ParseURL(cache.URL)
	if err != nil {
		t.Fatal(err)
	}
	redis, err := rueidis.NewClient(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(redis.Close)
	limiter, err1 := ratelimit.NewRedis(redis, "measure", nil)
	feed, err2 := analytics.NewRedisFeed(redis, "measure", nil)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	var reports *analytics.Reports
	c := newConsoleWith(t, &tenancytest.Server{Name: "postgres", DSN: database.URL, Engine: engine}, feed, func(o *admin.Options) {
		o.Limiter, o.Auth.Limiter, reports = limiter, everything{}, o.Reports
	})
	c.keep(t)
	recorder, err := analytics.NewRecorder(c.store, &analytics.Options{Feed: feed})
	if err != nil {
		t.Fatal(err)
	}
	beside(t, recorder.Run, reports.Run, c.trail.Run, c.Run)
	server := httptest.NewServer(c.Handler())
	defer server.Close()
	var operators []*client
	for range 10 { // one may not send 100 a second
		operators = append(operators, c.as(t, auth.RoleOwner, tenancy.AllTenants()))
	}

	var mu sync.Mutex // guards outcomes
	var outcomes []outcome
	ask := func(ctx context.Context, n int) {
		path := []string{"me", "tenants", "analytics/overview", "audit?limit=10", "runs"}[n%5]
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+api+path, nil)
		if err != nil {
			t.Error(err)
			return
		}
		for name, value := range operators[n%len(operators)].cookies {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		o := outcome{at: time.Now(), path: path}
		res, err := server.Client().Do(r)
		o.took = time.Since(o.at)
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("%s: %v", path, err)
			}
			return
		}
		_ = res.Body.Close()
		o.code = res.StatusCode
		switch {
		case o.code == http.StatusOK:
		case o.code != http.StatusServiceUnavailable:
			t.Errorf("%s: got %s, want 200, or 503 and no other failure", path, res.Status)
		case res.Header.Get("Retry-After") == "":
			t.Errorf("%s: got 503 without Retry-After", path)
		}
		mu.Lock()
		outcomes = append(outcomes, o)
		mu.Unlock()
	}
	var seen [streams]atomic.Int64 // when the stream had its last whole frame
	var ended atomic.Int64
	stop := beside(t, func(ctx context.Context) error {
		var all sync.WaitGroup
		defer all.Wait()
		for i := range streams {
			all.Go(func() {
				for ; ctx.Err() == nil; time.Sleep(200 * time.Millisecond) { // as a page does, it comes back
					s, err := operators[i/10].openStream(ctx, server, "overview")
					if err != nil {
						if ctx.Err() == nil {
							t.Error(err)
						}
						return
					}
					for s.Scan() {
						text, isData := strings.CutPrefix(s.Text(), "data: ")
						var f struct {
							Problem string
							Data    json.RawMessage
						}
						if s.Text() == "event: end" && ctx.Err() == nil {
							t.Error("a stream was ended as of one who was signed out")
						}
						if isData && json.Unmarshal([]byte(text), &f) == nil && f.Problem == "" && len(f.Data) > 2 {
							seen[i].Store(time.Now().UnixNano())
						}
					}
					_ = s.body.Close()
					if ctx.Err() == nil {
						ended.Add(1)
					}
				}
			})
		}
		return nil
	}, func(ctx context.Context) error {
		var all sync.WaitGroup
		defer all.Wait()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			all.Go(func() { ask(ctx, n) })
		}
	})
	defer stop()
	haveSeen := func(since int64) bool {
		for i := range seen {
			if seen[i].Load() <= since {
				return false
			}
		}
		return true
	}
	until(t, "all streams have a frame", func() bool { return haveSeen(0) })
	time.Sleep(calm)
	for _, each := range []struct {
		what   string
		server *testserver.Server
		goal   string
	}{{"Redis", cache, "0 failed"}, {"the database", database, "503 with Retry-After only, right again in 2 s"}} {
		mu.Lock()
		outcomes = nil
		mu.Unlock()
		before := ended.Load()
		began := time.Now()
		if err := each.server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		var right time.Duration // until all streams have had a frame
		until(t, "all streams have a frame of after the restart", func() bool {
			right = time.Since(back)
			return haveSeen(back.UnixNano())
		})
		time.Sleep(max(0, after-time.Since(began)))
		mu.Lock()
		codes, took := map[int]int{}, []time.Duration{}
		last := back
		for _, o := range outcomes {
			codes[o.code]++
			took = append(took, o.took)
			if done := o.at.Add(o.took); o.code != http.StatusOK && done.After(last) {
				last = done
			}
		}
		fmt.Printf("%s restarted, away for %v, under 100 requests a second and %d streams: answers by status %v, p99 %v; the last failure %v after it was back; all streams have frames again after %v, %d streams ended (goal: %s)\n",
			each.what, back.Sub(began).Round(time.Millisecond), streams, sorted(codes), share(took, 99), last.Sub(back).Round(time.Millisecond), right.Round(time.Millisecond), ended.Load()-before, each.goal)
		if codes[http.StatusOK] == 0 {
			t.Error("no request was answered")
		}
		mu.Unlock()
	}
}

// sorted returns counts in the order of what is counted.
func sorted(counts map[int]int) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%d: %d", k, counts[k]))
	}
	return strings.Join(out, ", ")
}
