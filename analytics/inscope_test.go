package analytics_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A tenant that has lost its tag, or is gone, is named by no report of the scope of that tag, though the store has not heard of it.
func TestReportsOfAScopeThatChanged(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		var tenants, present []*tenancy.Tenant
		for i := range 4 {
			tenant := tenancytest.NewTenant(fmt.Sprintf("t%d", i))
			tenant.ID, tenant.Tags, tenant.Placement.Server = tenancy.ID(fmt.Sprintf("id-%d", i)), []string{"eu"}, "main"
			tenants = append(tenants, tenant)
			now := tenant.Clone()
			switch i {
			case 1:
				now.Tags = []string{"us"}
			case 2:
				continue // it was purged
			}
			present = append(present, now)
		}
		instance := analytics.Instance{ID: 1, Interval: time.Second, Recorded: analytics.Columns()}
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: tenants, Instance: instance})
		if err != nil {
			t.Fatal(err)
		}
		b := &analytics.Batch{Instance: instance}
		for i, tenant := range tenants {
			for _, ago := range []time.Duration{time.Minute, 2 * time.Hour} {
				p := usageOf(tenant.ID, now.Truncate(time.Minute).Add(-ago), 30, 10, 10*time.Millisecond)
				if ago == time.Minute {
					p = usageOf(tenant.ID, p.Start, 30, 10, time.Second)
				}
				p.Counts.Values[analytics.MemoryBytes], p.Counts.Values[analytics.WaitTime], p.Counts.Values[analytics.CPUTime] = 1000, 1000, 1000
				if p.Counts.Values[analytics.StatementTime] = 1000; i == 1 { // the others' noisy neighbour
					p.Counts.Values[analytics.StatementTime] = 1_000_000
				}
				b.Parts = append(b.Parts, p)
			}
			b.Statements = append(b.Statements, analytics.StatementPart{Tenant: tenant.ID, Start: now.Truncate(time.Minute), Source: 1, Fingerprint: 1, Text: "SELECT 1", Revision: 1, Calls: 1, Time: time.Second, Longest: time.Second})
			for _, l := range []*analytics.Login{nil, {Subject: "jo of " + string(tenant.ID), OK: true}} {
				b.Activities = append(b.Activities, analytics.Activity{
					Key: fmt.Sprintf("%d %v", i, l == nil), Tenant: tenant.ID, Type: "login", Description: "of " + string(tenant.ID), Address: fmt.Sprintf("192.0.2.%d", i), CreatedAt: now.Add(-time.Minute), Login: l, Times: 1,
				})
			}
		}
		_, err = store.Write(t.Context(), b)
		if err == nil {
			err = store.Hold(t.Context(), func(ctx context.Context, up analytics.Upkeep) error {
				var sizes []analytics.Size
				for _, tenant := range tenants {
					sizes = append(sizes, analytics.Size{Tenant: tenant.ID, Bytes: 1000, At: now})
				}
				return up.(analytics.SizeStore).Sized(ctx, sizes) // each store has it
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		reports, err := analytics.NewReports(store, &analytics.ReportsOptions{Share: -1, Catalog: tenancytest.NewCatalog(t, present...)})
		if err != nil {
			t.Fatal(err)
		}
		blind := newReports(t, store)
		p := analytics.Period{From: now.Add(-10 * time.Minute), To: now.Add(time.Minute)}
		ctx, eu := t.Context(), tenancy.ByTags("eu")
		for name, ask := range map[string]func(r *analytics.Reports) (any, error){
			"overview":    func(r *analytics.Reports) (any, error) { return r.Overview(ctx, eu) },
			"memory":      func(r *analytics.Reports) (any, error) { return r.Memory(ctx, eu) },
			"performance": func(r *analytics.Reports) (any, error) { return r.Performance(ctx, eu, p) },
			"neighbours":  func(r *analytics.Reports) (any, error) { return r.Neighbours(ctx, eu, time.Time{}) },
			"top":         func(r *analytics.Reports) (any, error) { return r.Top(ctx, eu, analytics.TopRequest{Period: p}) },
			"tenants":     func(r *analytics.Reports) (any, error) { return r.Tenants(ctx, eu, nil) },
			"months":      func(r *analytics.Reports) (any, error) { return r.Months(ctx, eu, nil) },
			"activities":  func(r *analytics.Reports) (any, error) { return r.Activities(ctx, eu, nil) },
			"logins":      func(r *analytics.Reports) (any, error) { return r.Logins(ctx, eu, nil) },
			"selector": func(r *analytics.Reports) (any, error) {
				var ids []tenancy.ID
				for id, err := range r.Within(eu).Select(ctx, tenancy.Filter{}) {
					if err != nil {
						return nil, err
					}
					ids = append(ids, id)
				}
				return ids, nil
			},
			"export of tenants": func(r *analytics.Reports) (any, error) {
				var out bytes.Buffer
				return &out, r.ExportTenants(ctx, eu, &out, analytics.FormatCSV, nil)
			},
			"export of usage": func(r *analytics.Reports) (any, error) {
				var out bytes.Buffer
				return &out, r.ExportUsage(ctx, eu, &out, analytics.FormatCSV, nil)
			},
			"export of months": func(r *analytics.Reports) (any, error) {
				var out bytes.Buffer
				return &out, r.ExportMonths(ctx, eu, &out, analytics.FormatCSV, nil)
			},
		} {
			text := func(r *analytics.Reports) string {
				t.Helper()
				report, err := ask(r)
				if out, ok := report.(*bytes.Buffer); ok {
					report = out.String()
				}
				b, err2 := json.Marshal(report)
				if err != nil || err2 != nil {
					t.Fatalf("%s: %v, %v", name, err, err2)
				}
				return string(b)
			}
			names := func(text string) []string {
				return slices.DeleteFunc([]string{"id-0", "id-1", "id-2", "id-3"}, func(id string) bool { return !strings.Contains(text, id) })
			}
			if got := names(text(blind)); len(got) != 4 {
				t.Errorf("%s: without a catalog: got %q, want all", name, got)
			}
			want := []string{"id-0", "id-3"}
			if name == "neighbours" { // the noisy one has left
				want = []string{}
			}
			if got := text(reports); !slices.Equal(names(got), want) {
				t.Errorf("%s: got %q, want %q: %s", name, names(got), want, got)
			}
		}
		for _, id := range []tenancy.ID{"id-1", "id-2"} {
			for name, err := range map[string]error{
				"tenant": second(reports.Tenant(ctx, eu, id, p)), "storage": second(reports.Storage(ctx, eu, id, p)),
				"compare":  second(reports.Compare(ctx, eu, &analytics.CompareRequest{Tenants: []tenancy.ID{"id-0", id}, Names: []string{"requests"}})),
				"patterns": second(reports.Patterns(ctx, eu, &analytics.PatternsRequest{Tenant: id})),
				"forecast": second(reports.Forecast(ctx, eu, &analytics.ForecastRequest{Tenant: id, Name: "requests"})),
				"series":   second(reports.Series(ctx, eu, &analytics.SeriesRequest{Tenant: id, Names: []string{"requests"}})),
				"change":   second(reports.ComparePeriods(ctx, eu, &analytics.SeriesRequest{Tenant: id, Names: []string{"requests"}})),
			} {
				if !errors.Is(err, tenancy.ErrNotFound) {
					t.Errorf("%s of %s: got %v, want %v", name, id, err, tenancy.ErrNotFound)
				}
			}
		}
	})
}

// What happens now names no tenant that has lost its tag, either.
func TestLiveOfAScopeThatChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLiveService(t, 1)
		acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
		acme.Tags, globex.Tags, acme.Version, globex.Version = []string{"eu"}, []string{"eu"}, 1, 1
		changed := globex.Clone()
		changed.Tags = nil
		reports, err := analytics.NewReports(s.store, &analytics.ReportsOptions{Feed: s.feed, Catalog: tenancytest.NewCatalog(t, acme, changed)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = s.recorders[0].Run(ctx) }()
		go func() { _ = reports.Run(ctx) }()
		for _, tenant := range []*tenancy.Tenant{acme, globex} {
			go serve(ctx, s.recorders[0], tenant, 200)
		}
		time.Sleep(11 * time.Second) // the tenants were written
		var l *analytics.Live
		for range 5 {
			after := int64(0)
			if l != nil {
				after = l.Sequence
			}
			if l, err = reports.Live(ctx, tenancy.ByTags("eu"), after); err != nil {
				t.Fatal(err)
			}
		}
		if len(l.Tenants) != 1 || l.Tenants[0].ID != acme.ID {
			t.Errorf("got %+v, want acme alone", l.Tenants)
		}
		cancel()
		time.Sleep(time.Second)
		synctest.Wait()
	})
}
