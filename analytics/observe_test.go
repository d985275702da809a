package analytics_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/tenancytest"
)

var (
	_ dbpool.Observer     = (*analytics.Recorder)(nil)
	_ dbpool.TextObserver = (*analytics.Recorder)(nil)
)

// stored returns what a store has of each tenant.
func stored(t *testing.T, rec *analytics.Recorder, store analytics.Source) map[tenancy.ID]*analytics.Counts {
	t.Helper()
	if err := rec.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows, err := store.Sum(t.Context(), &analytics.SumQuery{
		Scope: tenancy.AllTenants(), ByTenant: true, Period: analytics.Period{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)},
		Tenants: []tenancy.ID{"acme", "globex", analytics.Application, analytics.Unattributed},
	})
	if err != nil {
		t.Fatal(err)
	}
	found := map[tenancy.ID]*analytics.Counts{"acme": {}, "globex": {}, analytics.Application: {}, analytics.Unattributed: {}}
	for i := range rows {
		found[rows[i].Tenant] = &rows[i].Counts
	}
	return found
}

// A statement counts for the database's tenant, a wait for the context's, and that of
// background work for the application.
func TestObserve(t *testing.T) {
	t.Parallel()
	store, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecorder(t, store, nil)
	if state, err := store.State(t.Context()); err != nil || len(state.Recorded) != 0 {
		t.Fatalf("got %+v, %v", state, err)
	}
	acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
	acme.ID, globex.ID = "acme", "globex"
	in := tenancy.NewContext(t.Context(), acme)
	rec.ObserveWait(in, globex.ID, 0, nil) // there was an idle one
	rec.ObserveWait(in, globex.ID, 2*time.Second, nil)
	rec.ObserveWait(in, globex.ID, time.Second, context.DeadlineExceeded)
	rec.ObserveWait(in, globex.ID, 0, tenancy.ErrLimited)
	rec.ObserveWait(dbpool.LowPriority(in), acme.ID, time.Minute, nil)
	rec.ObserveWait(t.Context(), acme.ID, time.Hour, nil)
	rec.ObserveStatement(in, globex.ID, 3*time.Second, false, nil)
	rec.ObserveStatement(in, globex.ID, time.Second, true, tenancy.ErrUnavailable)
	rec.ObserveRelease(globex.ID, 5*time.Second)
	got := stored(t, rec, store)
	for _, tt := range []struct {
		id   tenancy.ID
		want map[analytics.Column]int64
	}{
		{"acme", map[analytics.Column]int64{analytics.Waits: 3, analytics.WaitsFailed: 2, analytics.WaitTime: 3e6, analytics.Statements: 0, analytics.ConnectionTime: 0}},
		{"globex", map[analytics.Column]int64{
			analytics.Waits: 0, analytics.Statements: 2, analytics.StatementErrors: 1, analytics.StatementTime: 4e6, analytics.ConnectionTime: 5e6, analytics.Requests: 0,
		}},
		{analytics.Application, map[analytics.Column]int64{analytics.Waits: 2, analytics.WaitsFailed: 0, analytics.WaitTime: 3660e6, analytics.Statements: 0}},
	} {
		for column, want := range tt.want {
			if have := got[tt.id].Get(column); have != want {
				t.Errorf("%s: %v: got %d, want %d", tt.id, column, have, want)
			}
		}
	}
}

// From the statements of requests to the report, on every engine. Who does not observe a
// pool has no such figures.
func TestFromStatementToReport(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		store := migrated(t, s)
		rec := newRecorder(t, store, nil)
		reports := newReports(t, store)
		if err := rec.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p, err := reports.Performance(t.Context(), tenancy.AllTenants(), analytics.Period{}); err != nil || p.MostWaiting != nil {
			t.Errorf("without a pool: got %+v, %v, want nobody that waits", p, err)
		}
		pool := s.Pool(t, &dbpool.Options{Observer: rec})
		tenant := s.Tenant(t, "acme")
		h := rec.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			db, err := pool.DB(r.Context())
			if err == nil {
				err = db.GetContext(r.Context(), new(string), `SELECT tenant_id /* a secret */ FROM tenancy_marker WHERE 'a secret' <> '' AND 1 IN (1, 2)`)
			}
			if err != nil {
				t.Error(err)
			}
		}))
		const n = 3
		for range n {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(tenancy.NewContext(t.Context(), tenant), "GET", "/", nil))
		}
		if err := rec.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := reports.Tenant(t.Context(), tenancy.AllTenants(), tenant.ID, analytics.Period{})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]float64{"requests": n, "statements": n, "statement_errors": 0, "waits_failed": 0} {
			if have := value(t, got.Usage, name); have != want {
				t.Errorf("%s: got %v, want %v", name, have, want)
			}
		}
		for _, name := range []string{"waits", "wait_time", "statement_time", "connection_time"} {
			if have := value(t, got.Usage, name); have <= 0 {
				t.Errorf("%s: got %v, want more than nothing", name, have)
			}
		}
		p, err := reports.Performance(t.Context(), tenancy.AllTenants(), analytics.Period{})
		for name, statements := range map[string][]analytics.StatementReport{"tenant": got.Statements, "performance": p.SlowestStatements} {
			const want = `SELECT tenant_id FROM tenancy_marker WHERE ? <> ? AND ? IN (?)`
			if len(statements) != 1 || statements[0].Text != want || statements[0].Tenant != tenant.ID || statements[0].Calls.Value != n || statements[0].Errors.Value != 0 {
				t.Errorf("%s: got %+v, want %d calls of %s", name, statements, n, want)
			} else if s := statements[0]; s.Longest.Value <= 0 || s.Time.Value < s.Longest.Value || s.Time.Unit != analytics.UnitMicroseconds || s.Time.Method != analytics.Measured {
				t.Errorf("%s: got %+v and %+v, want times", name, s.Time, s.Longest)
			}
		}
		if err != nil || len(p.MostWaiting) != 1 || p.MostWaiting[0].ID != tenant.ID {
			t.Errorf("performance: got %+v, %v, want acme to be the one that waits", p, err)
		}
	})
}
