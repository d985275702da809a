package analytics_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// eventful is a store in which something happens while it writes, and that takes nothing while it is away.
type eventful struct {
	*analytics.Memory
	away   bool
	during func()
}

func newEventful(t *testing.T) *eventful {
	t.Helper()
	memory, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &eventful{Memory: memory}
}

func (e *eventful) Write(ctx context.Context, b *analytics.Batch) (time.Time, error) {
	if e.during != nil {
		e.during()
	}
	if e.away {
		return time.Time{}, errMoody
	}
	return e.Memory.Write(context.WithoutCancel(ctx), b)
}

// What is counted while a batch is written is in the next one, and in no second row, also when the store is away for hours
// after that.
func TestCountedDuringWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newEventful(t)
		rec := newRecorder(t, store, &analytics.Options{Logger: slog.New(slog.DiscardHandler)})
		ctx := tenancy.NewContext(t.Context(), tenancytest.NewTenant("acme"))
		job := func() { _ = rec.Do(ctx, func(context.Context) error { return nil }) }
		job()
		store.during = job
		if err := rec.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		store.during, store.away = nil, true
		time.Sleep(3 * time.Hour)
		if err := rec.Flush(ctx); err == nil {
			t.Fatal("the store is away: got no error")
		}
		store.away = false
		if err := rec.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if got := jobs(t, store); got != 2 {
			t.Errorf("got %d jobs, want 2", got)
		}
	})
}

// An hour that ends while a batch is written loses no request of a pattern, also when the batch is not written.
func TestPatternsDuringWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newEventful(t)
		rec := newRecorder(t, store, &analytics.Options{Logger: slog.New(slog.DiscardHandler)})
		h := rec.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { r.Pattern = "/x" }))
		acme := tenancytest.NewTenant("acme")
		send := func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(tenancy.NewContext(t.Context(), acme), "GET", "/", nil))
		}
		send()
		store.away = true
		store.during = func() { time.Sleep(time.Hour); send() }
		if err := rec.Flush(t.Context()); err == nil {
			t.Fatal("the store is away: got no error")
		}
		store.during, store.away = nil, false
		if err := rec.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // a period ends before the present minute
		if got := patternsText(t, newReports(t, store), &analytics.PatternsRequest{Tenant: acme.ID}); got != "/x=2/0 " {
			t.Errorf("got %s, want both requests", got)
		}
	})
}

// hasty is a store by whose clock each batch comes an hour after the one before. It keeps the newest of each row.
type hasty struct {
	t     *testing.T
	ahead time.Duration

	mu       sync.Mutex // guards what follows
	parts    map[string]int64
	patterns map[string]int64
}

func (h *hasty) Write(_ context.Context, b *analytics.Batch) (time.Time, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[string]bool{}
	row := func(key string, in map[string]int64, n int64) {
		if seen[key] {
			h.t.Errorf("%s is twice in a batch, which PostgreSQL does not take", key)
		}
		seen[key] = true
		if in != nil {
			in[key] = n
		}
	}
	for i := range b.Parts {
		p := &b.Parts[i]
		row(fmt.Sprint("part ", p.Tenant, p.Start, p.Source), h.parts, p.Counts.Get(analytics.Requests))
	}
	for i := range b.Patterns {
		p := &b.Patterns[i]
		row(fmt.Sprint("pattern ", p.Tenant, p.Start, p.Source, p.Pattern), h.patterns, p.Requests)
	}
	for i := range b.Statements {
		p := &b.Statements[i]
		row(fmt.Sprint("statement ", p.Tenant, p.Start, p.Source, p.Fingerprint), nil, 0)
	}
	h.ahead += time.Hour
	return time.Now().Add(h.ahead), nil
}

// Requests that are counted while minutes and hours pass are in one row each.
func TestCountedWhileHoursPass(t *testing.T) {
	t.Parallel()
	store := &hasty{t: t, parts: map[string]int64{}, patterns: map[string]int64{}}
	rec := newRecorder(t, store, &analytics.Options{Logger: slog.New(slog.DiscardHandler)})
	h := rec.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { r.Pattern = "/x" }))
	acme := tenancytest.NewTenant("acme")
	const callers, each = 8, 2000
	var working sync.WaitGroup
	for range callers {
		working.Go(func() {
			ctx := tenancy.NewContext(t.Context(), acme)
			for range each {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil))
				rec.ObserveText(acme.ID, "pgx", "SELECT 1", time.Millisecond, nil)
			}
		})
	}
	ended := make(chan struct{})
	go func() { working.Wait(); close(ended) }()
	for done := false; !done; {
		select {
		case <-ended:
			done = true
		default:
		}
		if err := rec.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, rows := range map[string]map[string]int64{"parts": store.parts, "patterns": store.patterns} {
		var got int64
		for _, n := range rows {
			got += n
		}
		if got != callers*each {
			t.Errorf("%s: got %d requests, want %d", name, got, callers*each)
		}
	}
}

// A request whose tenant is found long after it began counts for the instance, as the others do.
func TestTenantFoundLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newEventful(t)
		rec := newRecorder(t, store, nil)
		acme := tenancytest.NewTenant("acme")
		for range 3 {
			h := rec.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(5 * time.Minute) // such as in a queue
				_ = rec.Do(r.Context(), func(context.Context) error { return nil })
				w.(interface {
					Tenant(context.Context, *tenancy.Tenant) context.Context
				}).Tenant(r.Context(), acme)
			}))
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
		}
		time.Sleep(time.Minute)
		if err := rec.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows, err := store.Sum(t.Context(), &analytics.SumQuery{
			Scope: tenancy.AllTenants(), BySource: true, Period: analytics.Period{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Minute)},
		})
		if err != nil || len(rows) != 1 || rows[0].Counts.Get(analytics.Requests) != 3 {
			t.Errorf("got %d sources, %+v, %v, want three requests of one", len(rows), rows, err)
		}
	})
}

// Last seen is a time by the store's clock.
func TestLastSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		store := &skewed{Memory: memory}
		store.ahead.Store(int64(-time.Hour))
		rec := newRecorder(t, store, &analytics.Options{Counts: []string{"emails"}, Logger: slog.New(slog.DiscardHandler)})
		acme, globex, initech := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex"), tenancytest.NewTenant("initech")
		if err := rec.Flush(t.Context()); err != nil { // from then on the clock is known
			t.Fatal(err)
		}
		h := rec.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(tenancy.NewContext(t.Context(), acme), "GET", "/", nil))
		_ = rec.Do(tenancy.NewContext(t.Context(), globex), func(context.Context) error { return nil })
		if err := rec.Count(tenancy.NewContext(t.Context(), initech), "emails", 1); err != nil {
			t.Fatal(err)
		}
		want := time.Now().Add(-time.Hour)
		if err := rec.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows, err := store.Sum(t.Context(), &analytics.SumQuery{
			Scope: tenancy.AllTenants(), ByTenant: true, Period: analytics.Period{From: time.Now().Add(-2 * time.Hour), To: time.Now()},
		})
		if err != nil || len(rows) != 3 {
			t.Fatalf("got %+v, %v, want three tenants", rows, err)
		}
		for _, row := range rows {
			if got := time.UnixMicro(row.Counts.Get(analytics.LastSeen)); got.Sub(want).Abs() > time.Second {
				t.Errorf("%s: got %v, want %v", row.Tenant, got, want)
			}
		}
	})
}

// constant is a source of memory that holds the same for its tenants.
type constant map[tenancy.ID]int64

func (c constant) TenantBytes(yield func(tenancy.ID, int64) bool) {
	for id, n := range c {
		if !yield(id, n) {
			return
		}
	}
}

// batches is a store that tells of each batch.
type batches struct {
	*analytics.Memory
	parts []int
}

func (b *batches) Write(ctx context.Context, batch *analytics.Batch) (time.Time, error) {
	n := 0
	for _, p := range batch.Parts {
		if p.Tenant != analytics.Unattributed {
			n++
		}
	}
	b.parts = append(b.parts, n)
	return b.Memory.Write(ctx, batch)
}

// Memory that does not change is written once a minute.
func TestMemoryIsWrittenOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &batches{Memory: newEventful(t).Memory}
		rec := newRecorder(t, store, nil)
		bytes := constant{"acme": 1000, "globex": 2000}
		rec.Attach(bytes)
		time.Sleep(time.Minute - time.Duration(time.Now().UnixNano())%time.Minute)
		flush := func() {
			t.Helper()
			if err := rec.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		flush()
		flush()
		bytes["acme"] = 3000
		flush()
		bytes["acme"] = 1
		flush()
		time.Sleep(time.Minute)
		flush()
		if got := fmt.Sprint(store.parts); got != "[2 0 1 0 2]" {
			t.Errorf("got %s rows, want two a minute, and one of acme's that grew", got)
		}
	})
}
