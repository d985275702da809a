package analytics_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// patient are options with which transactions have the time that a busy machine needs, and with sums of more than that many
// tenants.
func patient(sumsAbove int) *analytics.SQLOptions {
	return &analytics.SQLOptions{SumsAbove: sumsAbove, Timeout: 10 * time.Minute}
}

// migrated returns a store in a new database.
func migrated(t testing.TB, s *tenancytest.Server) *analytics.SQL {
	t.Helper()
	return migratedIn(t, s.Database(t))
}

func migratedIn(t testing.TB, db *sqlx.DB) *analytics.SQL {
	t.Helper()
	store, err := analytics.NewSQL(db, patient(0))
	if err == nil {
		err = store.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func newRecorder(t testing.TB, sink analytics.Sink, opts *analytics.Options) *analytics.Recorder {
	t.Helper()
	rec, err := analytics.NewRecorder(sink, opts)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// newReports returns reports that answer with what the source has then: tests write and ask at once.
func newReports(t testing.TB, source analytics.Source) *analytics.Reports {
	t.Helper()
	r, err := analytics.NewReports(source, &analytics.ReportsOptions{Share: -1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// value returns the value of a figure, which must be measured unless it is absent.
func value(t testing.TB, usage map[string]*analytics.Figure, name string) float64 {
	t.Helper()
	f := usage[name]
	if f == nil {
		return -1
	}
	if f.Method != analytics.Measured || f.Unit == "" || f.MeasuredAt.IsZero() {
		t.Errorf("%s: got %+v, want a unit, a method and a time", name, f)
	}
	return f.Value
}

// From requests through the standard chain to the reports, on every engine.
func TestFromRequestToReport(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		store := migrated(t, s)
		acme, globex, closed := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex"), tenancytest.NewTenant("closed")
		acme.Tags, closed.Status = []string{"eu"}, tenancy.StatusSuspended
		acme.Limits = map[string]int64{"burst.tenant": 2, "rate.tenant": 1}
		cat := tenancytest.NewCatalog(t, acme, globex, closed)
		rec := newRecorder(t, store, &analytics.Options{Counts: []string{"emails"}})
		resolve := tenancy.Must(resolver.NewSubdomain([]string{"localhost"}, nil))
		chain := tenancy.Must(middleware.Standard(cat, resolve, &middleware.StandardOptions{Optional: true}))
		h := rec.Handler(chain(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.URL.Path == "/broken" {
				middleware.Refuse(w, r, fmt.Errorf("%w: the database", tenancy.ErrUnavailable), nil)
				return
			}
			if err := rec.Count(r.Context(), "emails", 2); err != nil {
				t.Error(err)
			}
			_, _ = w.Write(append(body, '!'))
		})))
		send := func(url, body string) (sent int) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body)))
			return w.Body.Len()
		}
		sent := 0
		for range 3 {
			sent += send("http://acme.localhost/", "hello") // the third is one too many
		}
		send("http://globex.localhost/broken", "")
		send("http://closed.localhost/", "x")
		send("http://localhost/", "xyz")
		if err := rec.Do(tenancy.NewContext(t.Context(), globex), func(context.Context) error { return io.ErrUnexpectedEOF }); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a job: got %v, want its error", err)
		}
		for range 2 { // the second changes nothing
			if err := rec.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		reports := newReports(t, store)
		o, err := reports.Overview(t.Context(), tenancy.AllTenants())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := []float64{o.TotalTenants.Value, o.ActiveTenants.Value, o.Requests.Value, o.Errors.Value, o.BytesIn.Value}, []float64{3, 2, 5, 1, 10}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("overview: tenants, active, requests, errors, bytes: got %v, want %v", got, want)
		}
		if o.StorageUsage.Total != nil || o.MemoryUsage.Total != nil {
			t.Errorf("overview: got %+v %+v, want nothing that was not measured", o.StorageUsage, o.MemoryUsage)
		}
		if len(o.TopActiveTenants) != 3 || o.TopActiveTenants[0].ID != acme.ID {
			t.Errorf("top: got %+v, want acme first of three", o.TopActiveTenants)
		}
		for _, tt := range []struct {
			id   tenancy.ID
			want map[string]float64
		}{
			{acme.ID, map[string]float64{"requests": 3, "status_2xx": 2, "status_4xx": 1, "limited": 1, "errors": 0, "bytes_in": 10, "bytes_out": float64(sent), "in_flight": 1, "statements": -1}},
			{globex.ID, map[string]float64{"requests": 1, "status_5xx": 1, "errors": 1, "unavailable": 1, "jobs": 1, "job_errors": 1}},
			{closed.ID, map[string]float64{"requests": 1, "status_4xx": 1, "bytes_in": 0}},
			{analytics.Application, map[string]float64{"requests": 1, "status_2xx": 1, "bytes_in": 3, "bytes_out": 4}},
		} {
			got, err := reports.Tenant(t.Context(), tenancy.AllTenants(), tt.id, analytics.Period{})
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range tt.want {
				if have := value(t, got.Usage, name); have != want {
					t.Errorf("%s: %s: got %v, want %v", tt.id, name, have, want)
				}
			}
			if p95 := got.Usage[analytics.FigureP95]; p95 == nil || p95.Error == 0 {
				t.Errorf("%s: p95: got %+v, want one with an error", tt.id, p95)
			}
			if tt.id == acme.ID && (got.Own["emails"] == nil || got.Own["emails"].Value != 4 || got.Limits["burst.tenant"] != 2 || got.Tags[0] != "eu") {
				t.Errorf("acme: got %+v, want 4 emails, the limits and the tag", got)
			}
		}
		scopes(t, reports, acme, globex)
	})
}

// scopes checks what those see who may see acme alone.
func scopes(t *testing.T, reports *analytics.Reports, acme, globex *tenancy.Tenant) {
	t.Helper()
	for _, scope := range []tenancy.Scope{tenancy.ByTags("eu", "us"), tenancy.ByIDs(acme.ID, "nobody")} {
		o, err := reports.Overview(t.Context(), scope)
		if err != nil {
			t.Fatal(err)
		}
		if o.TotalTenants.Value != 1 || o.Requests.Value != 3 || len(o.TopActiveTenants) != 1 || o.TopActiveTenants[0].ID != acme.ID || o.Instances != nil {
			t.Errorf("%v: got %+v, want acme alone", scope, o)
		}
		for _, id := range []tenancy.ID{globex.ID, analytics.Application, "nobody"} {
			if got, err := reports.Tenant(t.Context(), scope, id, analytics.Period{}); !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("%v: %s: got %+v, %v, want %v", scope, id, got, err, tenancy.ErrNotFound)
			}
		}
	}
	o, err := reports.Overview(t.Context(), tenancy.Scope{})
	if err != nil || o.TotalTenants.Value != 0 || o.Requests.Value != 0 || len(o.TopActiveTenants) != 0 {
		t.Errorf("no scope: got %+v, %v, want nothing", o, err)
	}
}

func TestReportsRefuse(t *testing.T) {
	t.Parallel()
	reports := newReports(t, migrated(t, tenancytest.NewServer(t, "sqlite")))
	now := time.Now()
	for name, p := range map[string]analytics.Period{"reversed": {From: now, To: now.Add(-time.Second)}, "empty": {From: now, To: now}} {
		if _, err := reports.Tenant(t.Context(), tenancy.AllTenants(), "acme", p); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("a period that is %s: got %v, want %v", name, err, tenancy.ErrInvalid)
		}
	}
	if _, err := reports.Tenant(t.Context(), tenancy.AllTenants(), "a\x00b", analytics.Period{}); !errors.Is(err, tenancy.ErrNotFound) && !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("an ID with a NUL: got %v", err)
	}
}
