package analytics_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// patternsText returns the requests and errors of the patterns of a tenant.
func patternsText(t *testing.T, reports *analytics.Reports, req *analytics.PatternsRequest) (out string) {
	t.Helper()
	got, err := reports.Patterns(t.Context(), tenancy.AllTenants(), req)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range got.Patterns {
		out += fmt.Sprintf("%s=%v/%v ", p.Pattern, p.Usage["requests"].Value, p.Usage["errors"].Value)
		if p.Usage[analytics.FigureP95] == nil || p.Usage[analytics.FigureP95].Error == 0 {
			t.Errorf("%s: got %+v, want a p95", p.Pattern, p.Usage)
		}
	}
	return out
}

// Patterns are those of the application's mux, also behind the standard chain.
func TestPatterns(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		acme := tenancytest.NewTenant("acme")
		rec := newRecorder(t, store, nil)
		mux := http.NewServeMux()
		mux.HandleFunc("GET /notes/{id}", func(w http.ResponseWriter, r *http.Request) {
			if r.PathValue("id") == "0" {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
		resolve := tenancy.Must(resolver.NewSubdomain([]string{"localhost"}, nil))
		h := rec.Handler(tenancy.Must(middleware.Standard(tenancytest.NewCatalog(t, acme), resolve, &middleware.StandardOptions{Optional: true}))(mux))
		send := func(path string) {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "http://acme.localhost"+path, nil))
		}
		for i := range 5 {
			send(fmt.Sprintf("/notes/%d", i))
		}
		send("/x")
		for range 2 {
			if err := rec.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		send("/y")
		if err := rec.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		reports := newReports(t, store)
		if got := patternsText(t, reports, &analytics.PatternsRequest{Tenant: acme.ID}); got != "GET /notes/{id}=5/1 /=2/0 " {
			t.Errorf("got %s", got)
		}
		if got := patternsText(t, reports, &analytics.PatternsRequest{Sort: "errors", Limit: 1}); got != "GET /notes/{id}=5/1 " {
			t.Errorf("most errors: got %s", got)
		}
		for _, bad := range []analytics.PatternsRequest{{Sort: "x"}, {Limit: 501}, {Limit: -1}} {
			if _, err := reports.Patterns(t.Context(), tenancy.AllTenants(), &bad); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%+v: got %v, want %v", bad, err, tenancy.ErrInvalid)
			}
		}
		if _, err := reports.Patterns(t.Context(), tenancy.ByTags("x"), &analytics.PatternsRequest{Tenant: acme.ID}); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("out of scope: got %v, want %v", err, tenancy.ErrNotFound)
		}
	})
}

// broken is a store that does not take what it is given, while off is set.
type broken struct {
	*analytics.Memory
	off bool
}

func (b *broken) Write(ctx context.Context, batch *analytics.Batch) (time.Time, error) {
	if b.off {
		return time.Time{}, tenancy.ErrUnavailable
	}
	return b.Memory.Write(ctx, batch)
}

// Of a tenant 50 patterns are counted, and the rest together; a new hour and a store that is away lose none.
func TestPatternsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		store := &broken{Memory: memory}
		rec := newRecorder(t, store, &analytics.Options{Logger: slog.New(slog.DiscardHandler)})
		acme := tenancytest.NewTenant("acme")
		h := rec.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { r.Pattern = r.URL.Path[1:] }))
		send := func(pattern string) {
			r := httptest.NewRequestWithContext(tenancy.NewContext(t.Context(), acme), "GET", "/"+pattern, nil)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		reports := newReports(t, store)
		for range 3 {
			for i := range 60 {
				send(fmt.Sprintf("p%d", i))
			}
			send("")
			_ = rec.Flush(t.Context()) // it fails the second time
			store.off = !store.off
			time.Sleep(50 * time.Minute)
		}
		store.off = false
		for range 2 {
			if err := rec.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		got, err := reports.Patterns(t.Context(), tenancy.AllTenants(), &analytics.PatternsRequest{Tenant: acme.ID, Limit: 500})
		if err != nil || got.Total != 51 {
			t.Fatalf("got %+v, %v, want 50 patterns and the rest", got, err)
		}
		sum := 0.0
		for _, p := range got.Patterns {
			sum += p.Usage["requests"].Value
		}
		if other := got.Patterns[0]; other.Pattern != analytics.OtherPattern || other.Usage["requests"].Value != 33 || sum != 183 {
			t.Errorf("got %+v, %v in all, want 33 others of 183", other, sum)
		}
	})
}

// A path that a client chose, and text that is none, are no reason for a store to refuse a batch.
func TestHostilePatterns(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		acme := tenancytest.NewTenant("acme")
		rec := newRecorder(t, store, nil)
		mux := http.NewServeMux()
		mux.HandleFunc("/{any}/", func(http.ResponseWriter, *http.Request) {})
		mux.HandleFunc("/own", func(_ http.ResponseWriter, r *http.Request) { r.Pattern = "a\x00b\xff\u2028" + r.URL.RawQuery })
		h := rec.Handler(mux)
		send := func(method, path string) {
			r := httptest.NewRequestWithContext(tenancy.NewContext(t.Context(), acme), method, "/", nil)
			r.URL.Path = path
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		send("GET", "/x/y")
		send("GET", "/own")
		send("CONNECT", "/\x00\xff") // net/http redirects it, and has the path as its pattern
		send("CONNECT", "/chosen")
		if err := rec.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := patternsText(t, newReports(t, store), &analytics.PatternsRequest{Tenant: acme.ID}); got != "(none)=2/0 /{any}/=1/0 a b\uFFFD =1/0 " {
			t.Errorf("got %q", got)
		}
	})
}
