package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
)

// count gives the application reports in which acme has 100 requests, of which half failed, and globex has 1,000.
func (l *line) count() {
	l.t.Helper()
	must := func(err error) {
		l.t.Helper()
		if err != nil {
			l.t.Fatal(err)
		}
	}
	store, err := analytics.NewSQL(sqlx.NewDb(l.app.Audit.Database(), "sqlite"), nil)
	must(err)
	must(store.Migrate(l.t.Context()))
	l.app.Reports, err = analytics.NewReports(store, &analytics.ReportsOptions{Catalog: l.app.Catalog, Share: -1})
	must(err)
	b := &analytics.Batch{Instance: analytics.Instance{ID: 1, Name: "one", Started: time.Now(), Interval: time.Hour, Recorded: analytics.Columns()}}
	for slug, n := range map[string]int64{"acme": 100, "globex": 1000} {
		found, err := l.app.Catalog.Find(l.t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: slug})
		must(err)
		p := analytics.Part{Tenant: found.ID, Start: time.Now().UTC().Truncate(time.Minute), Source: 1, Revision: 1}
		p.Counts.Values[analytics.Requests], p.Counts.Values[analytics.BytesOut] = n, n<<20
		p.Counts.Values[analytics.Statements] = n
		p.Counts.Values[analytics.CPUTime], p.Counts.Values[analytics.LastSeen] = n*1000, time.Now().UnixMicro()
		if slug == "acme" {
			p.Counts.Values[analytics.Status5xx] = n / 2
		}
		b.Parts = append(b.Parts, p)
	}
	_, err = store.Write(l.t.Context(), b)
	must(err)
	keeper, err := analytics.NewKeeper(store, l.app.Catalog, nil)
	must(err)
	ctx, stop := context.WithCancel(l.t.Context())
	done := make(chan error, 1)
	go func() { done <- keeper.Run(ctx) }()
	for end := time.Now().Add(10 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		o, err := l.app.Reports.Overview(l.t.Context(), tenancy.AllTenants())
		if err == nil && !o.TotalTenants.Partial { // the keeper has listed all tenants
			break
		}
		if time.Now().After(end) {
			l.t.Fatalf("got %+v, %v, want the keeper to have listed all tenants", o, err)
		}
	}
	stop()
	if err := <-done; err != nil {
		l.t.Errorf("Run: got %v", err)
	}
}

// What tenants use: of all together, in order, of one, by month, and as a file.
func TestUsage(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	if code, _, errs := l.call("", "usage", "overview"); code != 2 || !strings.Contains(errs, "no usage reports") {
		t.Errorf("without reports: got %d %s", code, errs)
	}
	for _, slug := range []string{"acme", "globex"} {
		if code, _, errs := l.call("", "tenant", "create", slug); code != 0 {
			t.Fatal(errs)
		}
	}
	l.count()
	file := filepath.Join(t.TempDir(), "usage.csv")
	month := time.Now().UTC().Format("2006-01")
	for _, tt := range []struct {
		args string
		code int
		want []string // in this order
	}{
		{"usage overview", 0, []string{"Tenants", "2, 2 active", "Requests", "1100", "Errors", "50", "Sent", "1.1 GiB", "MOST REQUESTS", "globex", "acme"}},
		{"usage list", 0, []string{"TENANT", "REQUESTS", "globex", "1000", "1000 MiB", "1s", "acme", "100", "50"}},
		{"usage list --sort slug --limit 1", 0, []string{"acme", "1 of 2 tenants"}},
		{"usage list --sort errors --where errors:>10", 0, []string{"acme", "50"}},
		{"usage list --sort happiness", 2, []string{"happiness"}},
		{"usage list --limit 0", 2, []string{"--limit"}},
		{"usage show acme", 0, []string{"bytes_out", "100 MiB", "cpu_time", "100ms", "estimated", "errors", "50"}},
		{"usage show acme --from 1h --to 2h", 2, []string{"period"}},
		{"usage show acme --from noon", 2, []string{"noon"}},
		{"usage show nobody", 2, []string{"no tenant has"}},
		{"usage months", 0, []string{"MONTH", month, "acme", "100"}},
		{"usage months --from " + month + " --where acme", 0, []string{"acme"}},
		{"usage months --from May", 2, []string{"May"}},
		{"usage months --from 2020-01", 2, []string{"nothing is kept"}},
		{"usage export", 0, []string{"id,slug,name", "acme"}},
		{"usage export --of hours --format jsonl --from 2h", 0, []string{`"counts":{`}},
		{"usage export --of days", 0, []string{"tenant_id,start"}},
		{"usage export --of months --format jsonl", 0, []string{`"month":"` + month + `"`}},
		{"usage export --of years", 2, []string{"years"}},
		{"usage export --format xml", 2, []string{"xml"}},
		{"usage export " + file, 0, []string{"Wrote"}},
		{"usage export " + file, 2, []string{"exists"}},
	} {
		code, out, errs := l.call("", strings.Fields(tt.args)...)
		if rest := out + errs; code != tt.code {
			t.Errorf("%s: got exit code %d and\n%s\nwant %d", tt.args, code, rest, tt.code)
		} else {
			for _, want := range tt.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Errorf("%s: got\n%s%s\nwant %q in this order", tt.args, out, errs, tt.want)
					break
				}
				rest = after
			}
		}
	}
	if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), "globex") { // the test's own
		t.Errorf("got %s, %v", data, err)
	}
	for args, lines := range map[string]int{"usage overview": 1, "usage list": 2, "usage show acme": 1, "usage months": 2} {
		_, out, _ := l.call("", append(strings.Fields(args), "--json")...)
		if n := strings.Count(out, "\n"); n != lines {
			t.Errorf("%s: got %d lines, want %d:\n%s", args, n, lines, out)
		}
		for each := range strings.Lines(out) {
			if !json.Valid([]byte(each)) {
				t.Errorf("%s: got %s", args, each)
			}
		}
	}
}

// The parts of the service, and tenants that are not healthy.
func TestHealth(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for _, slug := range []string{"acme", "globex"} {
		if code, _, errs := l.call("", "tenant", "create", slug); code != 0 {
			t.Fatal(errs)
		}
	}
	if code, out, errs := l.call("", "health"); code != 0 || !strings.Contains(out, "catalog  healthy") {
		t.Errorf("got exit code %d and\n%s%s, want healthy parts", code, out, errs)
	}
	l.app.Checks = map[string]func(context.Context) error{
		"mail":  func(context.Context) error { return errors.New("the mail server sleeps") },
		"cache": func(context.Context) error { panic("planted") },
		"queue": func(context.Context) error { return nil },
	}
	l.count()
	code, out, errs := l.call("", "health")
	if code != 1 || !strings.Contains(out, "the mail server sleeps") || !strings.Contains(out, "planted") || !strings.Contains(out, "queue    healthy") {
		t.Errorf("got exit code %d and\n%s%s, want parts that are not healthy", code, out, errs)
	}
	if !strings.Contains(out, "acme    degraded") || strings.Contains(out, "globex") {
		t.Errorf("got\n%s, want acme, half of whose requests failed, and not globex", out)
	}
	if code, out, _ := l.call("", "health", "--all"); code != 1 || !strings.Contains(out, "globex  healthy") {
		t.Errorf("--all: got exit code %d and\n%s", code, out)
	}
	if code, out, _ := l.call("", "health", "globex"); code != 0 || !strings.Contains(out, "globex  healthy") || strings.Contains(out, "mail") {
		t.Errorf("of one: got exit code %d and\n%s", code, out)
	}
	if code, out, _ := l.call("", "health", "--json"); code != 1 || !strings.Contains(out, `"part":"mail","healthy":false`) || !strings.Contains(out, `"health":"degraded"`) {
		t.Errorf("--json: got exit code %d and\n%s", code, out)
	}
}
