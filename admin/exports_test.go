package admin_test

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestExports(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t, tenancytest.NewServer(t, name), nil)
			formula := c.tenant(t, "formula", "eu")
			if _, err := c.cat.Edit(t.Context(), formula.ID, func(t *tenancy.Tenant) error { t.Name = "=1+1"; return nil }); err != nil {
				t.Fatal(err)
			}
			c.keep(t)
			cl := c.as(t, auth.RoleOwner, tenancy.ByTags("eu"))
			got := cl.do(t, "GET", "analytics/tenants/export?filter=tag:eu&sort=-slug&window=24h&format=csv", "")
			rows, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
			if err != nil || got.code != 200 || len(rows) != 3 || rows[1][1] != "formula" || rows[1][2] != "'=1+1" || rows[2][1] != "aaa" {
				t.Errorf("got %d %q, %v, want a header and two tenants of the scope", got.code, rows, err)
			}
			if kind, to := got.header.Get("Content-Type"), got.header.Get("Content-Disposition"); kind != "text/csv; charset=utf-8" || to != `attachment; filename="tenants.csv"` {
				t.Errorf("got %q and %q", kind, to)
			}
			if got := cl.do(t, "GET", "analytics/tenants/export?format=jsonl&filter=aaa", ""); strings.Count(got.body, "\n") != 1 || !strings.Contains(got.body, `"slug":"aaa"`) {
				t.Errorf("got %d %s, want one line", got.code, got.body)
			}
			if got := cl.do(t, "GET", "analytics/usage/export?step=day", ""); got.code != 200 || !strings.HasPrefix(got.body, "tenant_id,start,") {
				t.Errorf("got %d %s, want a header", got.code, got.body)
			}
			if got := cl.do(t, "GET", "audit/export?action=tenant.create&format=jsonl", ""); strings.Count(got.body, "\n") != 2 || strings.Contains(got.body, string(c.b.ID)) {
				t.Errorf("got %d %s, want the entries of the scope", got.code, got.body)
			}
			if got := cl.do(t, "GET", "audit/export?tenant="+string(formula.ID), ""); !strings.Contains(got.body, `"=1+1"`) || strings.Count(got.body, "\r\n") != 3 {
				t.Errorf("got %d %s, want two entries", got.code, got.body)
			}
			all := c.as(t, auth.RoleOwner, tenancy.AllTenants())
			for _, query := range []string{"analytics/tenants/export?format=xml", "analytics/tenants/export?sort=nothing", "analytics/tenants/export?window=2m", "analytics/usage/export?step=week",
				"audit/export?format=xml", "audit/export?format=chain", "audit/export?from=x"} {
				if got := all.do(t, "GET", query, ""); got.code != 400 {
					t.Errorf("%s: got %d %s, want 400", query, got.code, got.body)
				}
			}
			// Each is on the record.
			if got := all.do(t, "GET", "audit?action=analytics.export", ""); !strings.Contains(got.body, `"object":"tenants.csv"`) {
				t.Errorf("got %s, want the exports", got.body)
			}
			if got := all.do(t, "GET", "audit/checkpoints", ""); got.code != 200 || !strings.Contains(got.body, `"public_keys":[]`) {
				t.Errorf("got %d %s, want no keys", got.code, got.body)
			}
		})
	}
}

// paged are reports of pages of many tenants each. Before each page but the first it calls then.
type paged struct {
	*analytics.SQL
	then  func() error
	pages int64 // unless it is zero, so many
	read  atomic.Int64
}

func (p *paged) Tenants(_ context.Context, q *analytics.TenantsQuery) ([]analytics.TenantRow, error) {
	var rows []analytics.TenantRow
	if q.After != nil {
		if err := p.then(); err != nil {
			return nil, err
		}
	}
	if read := p.read.Add(1); p.pages > 0 && read > p.pages {
		return nil, nil
	}
	for i := range q.Limit {
		id := tenancy.ID(fmt.Sprintf("t-%05d", i))
		rows = append(rows, analytics.TenantRow{TenantInfo: analytics.TenantInfo{ID: id, Name: strings.Repeat("n", 400)}, Key: string(id)})
	}
	return rows, nil
}

// An export that fails, or whose operator loses the right to it, ends as a broken transfer.
func TestExportBreaksOff(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(*console) error{
		"the store fails": func(*console) error { return tenancy.ErrUnavailable },
		"the session ends": func(c *console) error {
			ids, err := c.Auth().Operators(context.Background(), "", 10)
			for _, o := range ids {
				_, e := c.Auth().EndSessions(context.Background(), o.ID, "")
				err = errors.Join(err, e)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
			source := &paged{SQL: c.store, then: func() error { return then(c) }}
			reports, err := analytics.NewReports(source, &analytics.ReportsOptions{Catalog: c.cat})
			if err != nil {
				t.Fatal(err)
			}
			c.Admin, err = admin.New(c.db, c.cat, &admin.Options{Audit: c.trail, Reports: reports, Limiter: everything{}, Auth: auth.Options{OptionalSecondFactor: true}})
			if err != nil {
				t.Fatal(err)
			}
			cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
			server := httptest.NewServer(c.Handler())
			defer server.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+api+"analytics/tenants/export", nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range cl.cookies {
				req.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			res, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			body, err := io.ReadAll(res.Body)
			if res.StatusCode != 200 || len(body) == 0 || err == nil {
				t.Errorf("got %d, %d bytes and %v, want a transfer that breaks", res.StatusCode, len(body), err)
			}
			f := audit.Filter{Actions: []string{"analytics.export"}}
			var results []tenancy.AuditResult
			until(t, "the failure is on the record", func() bool {
				results = nil
				for e, err := range c.trail.Entries(t.Context(), f) {
					if err != nil {
						t.Fatal(err)
					}
					results = append(results, e.Result)
				}
				return len(results) == 2
			})
			if results[0] != tenancy.AuditFailed || results[1] != tenancy.AuditDone {
				t.Errorf("got %v, want the failure behind the beginning", results)
			}
		})
	}
}

// An operator's own step-up, as another page of theirs asks for it, does not break off their export.
func TestExportGoesOnAfterAStepUp(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	source := &paged{SQL: c.store, pages: 2}
	reports, err := analytics.NewReports(source, &analytics.ReportsOptions{Catalog: c.cat})
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin, err = admin.New(c.db, c.cat, &admin.Options{Audit: c.trail, Reports: reports, Limiter: everything{}, Auth: auth.Options{OptionalSecondFactor: true}}); err != nil {
		t.Fatal(err)
	}
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	export := cl.request(t, "GET", "analytics/tenants/export", "")
	source.then = func() error {
		if a := cl.do(t, "POST", "auth/step-up", `{"password":"`+password+`"}`); a.code != 200 {
			t.Errorf("step-up: got %d %s", a.code, a.body)
		}
		return nil
	}
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, export) // a transfer that breaks is a panic
	if rows := strings.Count(w.Body.String(), "\r\n"); w.Code != 200 || source.read.Load() != 3 || rows < 1000 {
		t.Errorf("got %d, %d pages and %d rows, want the whole file", w.Code, source.read.Load(), rows)
	}
}

// Few exports run at once.
func TestExportsAreFew(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	reached, release := make(chan struct{}, 2), make(chan struct{})
	source := &paged{SQL: c.store, then: func() error { reached <- struct{}{}; <-release; return tenancy.ErrUnavailable }}
	reports, err := analytics.NewReports(source, &analytics.ReportsOptions{Catalog: c.cat})
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin, err = admin.New(c.db, c.cat, &admin.Options{Audit: c.trail, Reports: reports, Limiter: everything{}, Auth: auth.Options{OptionalSecondFactor: true}}); err != nil {
		t.Fatal(err)
	}
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	ended := make(chan any, 2)
	for range 2 {
		go func() {
			defer func() { ended <- recover() }()
			c.Handler().ServeHTTP(httptest.NewRecorder(), cl.request(t, "GET", "analytics/tenants/export", ""))
		}()
	}
	<-reached
	<-reached
	if got := cl.do(t, "GET", "audit/export", ""); got.code != 429 {
		t.Errorf("a third: got %d %s, want 429", got.code, got.body)
	}
	var made struct{ Text string }
	cl.do(t, "POST", "tokens", `{"name":"files","permissions":["audit.export"],"ttl":3600}`).into(t, &made)
	if got := c.client().do(t, "GET", "audit/export", "", "Authorization", "Bearer "+made.Text); got.code != 429 {
		t.Errorf("a third by a token of the operator: got %d %s, want 429", got.code, got.body)
	}
	close(release)
	for range 2 {
		got := <-ended
		if err, _ := got.(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("got %v, want a transfer that is broken off", got)
		}
	}
	if got := cl.do(t, "GET", "audit/export", ""); got.code != 200 {
		t.Errorf("afterwards: got %d %s, want 200", got.code, got.body)
	}
}

// The entry of an export says whose data it was.
func TestExportsSayOfWhat(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.ByTags("eu"))
	if a := cl.do(t, "GET", "analytics/usage/export?filter=plan:pro&window=7d&step=day", ""); a.code != 200 {
		t.Fatalf("got %d %s", a.code, a.body)
	}
	for e, err := range c.trail.Entries(t.Context(), audit.Filter{Actions: []string{"analytics.export"}}) {
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, f := range e.Changes {
			got += f.Field + "=" + string(f.After) + " "
		}
		if want := `filter="plan:pro" scope={"tags":["eu"]} step="day" window="7d" `; got != want || e.Object != "usage.csv" {
			t.Errorf("got %s of %s, want %s", got, e.Object, want)
		}
	}
}
