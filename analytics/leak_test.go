package analytics_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

var someTime = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*"`)

// everything returns all reports of the scope as text, without times.
func everything(t *testing.T, reports *analytics.Reports, scope tenancy.Scope, p analytics.Period) string {
	t.Helper()
	var out bytes.Buffer
	add := func(name string, report any, err error) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := json.MarshalIndent(report, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(name + " " + string(b) + "\n")
	}
	ctx := t.Context()
	o, err := reports.Overview(ctx, scope)
	add("overview", o, err)
	for _, sort := range []string{"", "-requests", "name", "-storage", "errors_7d"} {
		page, err := reports.Tenants(ctx, scope, &analytics.TenantsRequest{Sort: sort, Period: p, Spark: []analytics.Column{analytics.Requests}, Limit: 1})
		add("tenants by "+sort, page, err)
	}
	one, err := reports.Tenant(ctx, scope, "acme", p)
	add("tenant", one, err)
	series, err := reports.Series(ctx, scope, &analytics.SeriesRequest{Names: []string{"requests", analytics.FigureP95}, Period: p})
	add("series", series, err)
	trend, err := reports.Trend(ctx, scope, &analytics.SeriesRequest{Names: []string{"requests"}, Period: p})
	add("trend", trend, err)
	performance, err := reports.Performance(ctx, scope, p)
	add("performance", performance, err)
	top, err := reports.Top(ctx, scope, analytics.TopRequest{By: analytics.Requests, Period: p})
	add("top", top, err)
	memory, err := reports.Memory(ctx, scope)
	add("memory", memory, err)
	months, err := reports.Months(ctx, scope, &analytics.MonthsRequest{Limit: 1})
	add("months", months, err)
	storage, err := reports.Storage(ctx, scope, "", analytics.Period{})
	add("storage", storage, err)
	logins, err := reports.Logins(ctx, scope, &analytics.LoginsRequest{Limit: 1})
	add("logins", logins, err)
	neighbours, err := reports.Neighbours(ctx, scope, p.To)
	add("neighbours", neighbours, err)
	activities, err := reports.Activities(ctx, scope, &analytics.ActivitiesRequest{Limit: 1})
	add("activities", activities, err)
	for name, err := range map[string]error{
		"":      reports.ExportTenants(ctx, scope, &out, analytics.FormatJSONLines, &analytics.TenantsRequest{Period: p}),
		"usage": reports.ExportUsage(ctx, scope, &out, analytics.FormatCSV, &analytics.UsageExport{Period: p}),
	} {
		if err != nil {
			t.Fatal(name, err)
		}
	}
	return someTime.ReplaceAllString(out.String(), `"T"`)
}

// Within the scope of acme nothing depends on whether globex exists.
func TestScopeLeak(t *testing.T) {
	t.Parallel()
	open := map[string]func(t *testing.T) tenancytest.UsageStore{"memory": func(t *testing.T) tenancytest.UsageStore {
		m, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}}
	for _, engine := range []string{"sqlite", "postgres", "mysql"} {
		open[engine] = func(t *testing.T) tenancytest.UsageStore { return migrated(t, tenancytest.NewServer(t, engine)) }
	}
	for name, open := range open {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
			acme.ID, acme.Tags, globex.Tags, globex.Plan = "acme", []string{"eu"}, []string{"us"}, "gold"
			globex.Placement.Server = "other"
			end := time.Now().UTC().Truncate(5 * time.Minute)
			p := analytics.Period{From: end.Add(-110 * time.Minute), To: end}
			fill := func(store tenancytest.UsageStore, tenants ...*tenancy.Tenant) {
				for i, tenant := range tenants {
					var parts []analytics.Part
					for ago := 5 * time.Minute; ago < 110*time.Minute; ago += 7 * time.Minute {
						parts = append(parts, usageOf(tenant.ID, end.Add(-ago), int64(25*(i+1)), int64(i+1), time.Duration(i+1)*time.Second))
					}
					_, err := store.Write(t.Context(), &analytics.Batch{
						Tenants: []*tenancy.Tenant{tenant}, Parts: parts, Instance: analytics.Instance{ID: 1, Ended: true, Recorded: analytics.Columns()}, // or it is missing after a while
						Activities: []analytics.Activity{{Key: tenant.Slug, Tenant: tenant.ID, Type: "x", Login: &analytics.Login{Subject: tenant.Slug}, CreatedAt: end.Add(time.Duration(i) * time.Second), Times: 1}},
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				sizes := &sizer{asked: map[tenancy.ID]int{}, sizes: map[tenancy.ID]int64{acme.ID: 1000, globex.ID: 70_000}}
				keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, tenants...), &analytics.KeeperOptions{Sizes: sizes, Interval: time.Hour})
				if err == nil {
					err = keeper.Keep(t.Context())
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			alone, both := open(t), open(t)
			fill(alone, acme)
			fill(both, acme, globex)
			for _, scope := range []tenancy.Scope{tenancy.ByTags("eu"), tenancy.ByIDs("acme")} {
				a, b := everything(t, newReports(t, alone), scope, p), everything(t, newReports(t, both), scope, p)
				for a != b {
					again := everything(t, newReports(t, alone), scope, p)
					if again == a {
						break
					}
					a, b = again, everything(t, newReports(t, both), scope, p) // a day ended meanwhile
				}
				if a != b || strings.Contains(b, "globex") || strings.Contains(b, "other") || strings.Contains(b, "gold") {
					t.Errorf("%v: with globex got\n%s\nwant as without it\n%s", scope, b, a)
				}
			}
		})
	}
}

// The rows of all tenants and of the application add up to what was done.
func TestColumnsAddUp(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		rec := newRecorder(t, store, nil)
		var tenants []*tenancy.Tenant
		for _, slug := range []string{"a", "b", "c"} {
			tenants = append(tenants, tenancytest.NewTenant(slug))
		}
		statuses := []int{200, 204, 302, 404, 500, 503}
		classes := map[int]analytics.Column{2: analytics.Status2xx, 3: analytics.Status3xx, 4: analytics.Status4xx, 5: analytics.Status5xx}
		var mu sync.Mutex
		want := map[analytics.Column]int64{}
		h := rec.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			status := statuses[rand.IntN(len(statuses))] // a test
			w.WriteHeader(status)
			n, _ := w.Write(make([]byte, rand.IntN(1000))) // a test
			mu.Lock()
			defer mu.Unlock()
			want[analytics.Requests]++
			want[classes[status/100]]++
			want[analytics.BytesOut] += int64(n)
		}))
		var working sync.WaitGroup
		for range 8 {
			working.Go(func() {
				for i := range 50 {
					r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
					if i%4 < 3 {
						r = r.WithContext(tenancy.NewContext(r.Context(), tenants[i%4]))
					}
					h.ServeHTTP(httptest.NewRecorder(), r)
					if i%20 == 0 {
						if err := rec.Flush(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		working.Wait()
		if err := rec.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids := []tenancy.ID{analytics.Application}
		for _, tenant := range tenants {
			ids = append(ids, tenant.ID)
		}
		rows, err := store.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Tenants: ids, Latency: true, Period: analytics.Period{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)}})
		if err != nil || len(rows) != 1 {
			t.Fatalf("got %+v, %v", rows, err)
		}
		for c, n := range want {
			if got := rows[0].Counts.Get(c); got != n {
				t.Errorf("%v: got %d, want %d", c, got, n)
			}
		}
		if got := rows[0].Counts.Latency.Count(); got != want[analytics.Requests] {
			t.Errorf("latencies: got %d, want %d", got, want[analytics.Requests])
		}
	})
}
