package tenancytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
)

// UsageStore is what [TestUsageStore] tests.
type UsageStore interface {
	analytics.Sink
	analytics.Source
	analytics.Keepable
	Forget(ctx context.Context, id tenancy.ID) error
}

// TestUsageStore tests a store of usage. Open returns a new and empty one.
func TestUsageStore(t *testing.T, open func(t *testing.T) UsageStore) {
	for name, test := range map[string]func(*usageTest){
		"writing again changes nothing": testUsageAgain,
		"sums":                          testUsageSums,
		"scopes":                        testUsageScopes,
		"records":                       testUsageRecords,
		"fields of usage":               testUsageFields,
		"rolling up changes nothing":    testUsageRollUp,
		"late rows count":               testUsageLate,
		"the catalog":                   testUsageCatalog,
		"forgetting":                    testUsageForget,
		"activities":                    testUsageActivities,
		"patterns of routes":            testUsagePatterns,
		"statements":                    testUsageStatements,
		"instances":                     testUsageInstances,
		"a context that has ended":      testUsageEnded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &usageTest{T: t, store: open(t), acme: NewTenant("acme"), globex: NewTenant("globex")}
			u.acme.Tags, u.globex.Tags = []string{"eu", "vip"}, []string{"us"}
			u.acme.Version, u.globex.Version = 1, 1
			u.now = u.write(&analytics.Batch{Instance: u.instance(1), Tenants: []*tenancy.Tenant{u.acme, u.globex}}).Truncate(time.Minute)
			test(u)
		})
	}
}

type usageTest struct {
	*testing.T
	store        UsageStore
	acme, globex *tenancy.Tenant
	now          time.Time // a minute by the store's clock
}

func (u *usageTest) instance(id int64) analytics.Instance {
	return analytics.Instance{
		ID: id, Name: fmt.Sprintf("instance %d", id), Started: time.Now(), Interval: 10 * time.Second,
		Recorded: []analytics.Column{analytics.Requests, analytics.InFlight}, CPU: time.Second, RSS: 1 << 20, Heap: 1 << 19, Offset: -time.Second,
	}
}

func (u *usageTest) write(b *analytics.Batch) time.Time {
	u.Helper()
	now, err := u.store.Write(u.Context(), b)
	if err != nil {
		u.Fatal(err)
	}
	return now
}

// part is a part of n requests that took so long, with the same number in flight.
func (u *usageTest) part(id tenancy.ID, ago time.Duration, source, revision, n int64, latency time.Duration) analytics.Part {
	p := analytics.Part{Tenant: id, Start: u.now.Add(-ago), Source: source, Revision: revision}
	p.Counts.Values[analytics.Requests], p.Counts.Values[analytics.InFlight] = n, n
	for range n {
		p.Counts.Latency.Observe(latency)
	}
	p.Counts.Own = map[string]int64{"emails": n}
	return p
}

func (u *usageTest) parts(parts ...analytics.Part) {
	u.Helper()
	u.write(&analytics.Batch{Instance: u.instance(1), Parts: parts})
}

func (u *usageTest) sum(q analytics.SumQuery) []analytics.SumRow {
	u.Helper()
	if q.Period.To.IsZero() {
		q.Period = analytics.Period{From: u.now.Add(-24 * time.Hour), To: u.now.Add(time.Hour)}
	}
	rows, err := u.store.Sum(u.Context(), &q)
	if err != nil {
		u.Fatal(err)
	}
	return rows
}

// total returns the sum of all requests of the scope.
func (u *usageTest) total(scope tenancy.Scope, ids ...tenancy.ID) (n int64) {
	u.Helper()
	for _, row := range u.sum(analytics.SumQuery{Scope: scope, Tenants: ids}) {
		n += row.Counts.Get(analytics.Requests)
	}
	return n
}

func (u *usageTest) wantTotal(what string, want int64, scope tenancy.Scope, ids ...tenancy.ID) {
	u.Helper()
	if got := u.total(scope, ids...); got != want {
		u.Errorf("%s: got %d requests, want %d", what, got, want)
	}
}

func (u *usageTest) keep(tenants ...*tenancy.Tenant) {
	u.Helper()
	keeper, err := analytics.NewKeeper(u.store, NewCatalog(u.T, tenants...), nil)
	if err == nil {
		err = keeper.Keep(u.Context())
	}
	if err != nil {
		u.Fatal(err)
	}
}

func testUsageAgain(u *usageTest) {
	all := tenancy.AllTenants()
	for range 2 {
		u.parts(u.part(u.acme.ID, 0, 1, 5, 3, time.Millisecond))
		u.wantTotal("the same batch", 3, all)
	}
	u.parts(u.part(u.acme.ID, 0, 1, 4, 2, time.Millisecond))
	u.wantTotal("an older one", 3, all)
	u.parts(u.part(u.acme.ID, 0, 1, 6, 7, time.Millisecond))
	u.wantTotal("a newer one", 7, all)
	u.parts(u.part(u.acme.ID, 0, 2, 1, 10, time.Millisecond), u.part(u.acme.ID, time.Minute, 1, 1, 100, time.Millisecond))
	u.wantTotal("another source, another minute", 117, all)
}

func testUsageSums(u *usageTest) {
	u.parts(
		u.part(u.acme.ID, 0, 1, 1, 3, time.Millisecond), u.part(u.acme.ID, 0, 2, 1, 5, 100*time.Millisecond),
		u.part(u.acme.ID, 3*time.Minute, 1, 1, 7, time.Millisecond), u.part(u.globex.ID, 0, 1, 1, 11, time.Second),
		u.part(analytics.Application, 0, 1, 1, 1000, time.Second),
	)
	all := tenancy.AllTenants()
	got := u.sum(analytics.SumQuery{Scope: all, ByTenant: true, Latency: true, Top: 10, Order: analytics.Requests})
	if len(got) != 2 || got[0].Tenant != u.acme.ID || got[1].Tenant != u.globex.ID {
		u.Fatalf("by tenant: got %+v, want acme before globex", got)
	}
	acme := &got[0].Counts
	if acme.Get(analytics.Requests) != 15 || acme.Get(analytics.InFlight) != 7 || acme.Own["emails"] != 15 || acme.Latency.Count() != 15 {
		u.Errorf("acme: got %+v, want 15 requests and e-mails, 7 in flight", acme)
	}
	if p90, _, _ := acme.Latency.Percentile(0.9); p90 < 80*time.Millisecond || p90 > 120*time.Millisecond {
		u.Errorf("acme: p90: got %v, want 100 ms", p90)
	}
	if got := u.sum(analytics.SumQuery{Scope: all, ByTenant: true, Top: 1, Order: analytics.Requests}); len(got) != 1 || got[0].Tenant != u.acme.ID || got[0].Counts.Get(analytics.Requests) != 15 {
		u.Errorf("top 1: got %+v, want acme with 15", got)
	}
	for _, latency := range []bool{false, true} {
		got := u.sum(analytics.SumQuery{Scope: all, Tenants: []tenancy.ID{u.acme.ID}, Step: time.Minute, Latency: latency})
		if len(got) != 2 || !got[0].Start.Equal(u.now.Add(-3*time.Minute)) || got[0].Counts.Get(analytics.Requests) != 7 || got[1].Counts.Get(analytics.Requests) != 8 {
			u.Errorf("by minute (latency %v): got %+v, want 7 and 8", latency, got)
		}
	}
	for _, latency := range []bool{false, true} {
		for _, step := range []time.Duration{4 * 24 * time.Hour, 7 * 24 * time.Hour} {
			got := u.sum(analytics.SumQuery{Scope: all, Tenants: []tenancy.ID{u.acme.ID}, Step: step, Latency: latency, Period: analytics.Period{From: u.now, To: u.now.Add(time.Minute)}})
			if len(got) != 1 || !got[0].Start.Equal(u.now.Truncate(step)) {
				u.Errorf("by %v (latency %v): got %+v, want a row of %v", step, latency, got, u.now.Truncate(step))
			}
		}
	}
	u.wantTotal("the application", 1000, all, analytics.Application)
	u.wantTotal("acme and the application", 1015, all, analytics.Application, u.acme.ID)
	short := analytics.Period{From: u.now.Add(-3 * time.Minute), To: u.now}
	if got := u.sum(analytics.SumQuery{Scope: all, Period: short}); len(got) != 1 || got[0].Counts.Get(analytics.Requests) != 7 {
		u.Errorf("a period: got %+v, want the 7 before its end", got)
	}
}

func testUsageScopes(u *usageTest) {
	u.parts(u.part(u.acme.ID, 0, 1, 1, 3, 1), u.part(u.globex.ID, 0, 1, 1, 5, 1), u.part(analytics.Application, 0, 1, 1, 7, 1))
	for _, tt := range []struct {
		name    string
		scope   tenancy.Scope
		tenants int64
		sum     int64
	}{
		{"nobody", tenancy.Scope{}, 0, 0}, {"all", tenancy.AllTenants(), 2, 8},
		{"a tag", tenancy.ByTags("eu"), 1, 3}, {"two tags of one tenant", tenancy.ByTags("eu", "vip"), 1, 3},
		{"tags of both", tenancy.ByTags("us", "vip"), 2, 8}, {"no such tag", tenancy.ByTags("e"), 0, 0},
		{"an ID", tenancy.ByIDs(u.globex.ID), 1, 5}, {"no such ID", tenancy.ByIDs("nobody"), 0, 0},
		{"the application's row by its ID", tenancy.ByIDs(analytics.Application), 0, 0},
	} {
		u.wantTotal(tt.name, tt.sum, tt.scope)
		fleet, err := u.store.Fleet(u.Context(), &analytics.TenantsQuery{Scope: tt.scope})
		if err != nil || fleet.Tenants != tt.tenants || fleet.ByStatus[tenancy.StatusActive] != tt.tenants {
			u.Errorf("%s: got %+v, %v, want %d tenants", tt.name, fleet, err, tt.tenants)
		}
		rows, err := u.store.Tenants(u.Context(), &analytics.TenantsQuery{Scope: tt.scope, Limit: 10})
		if err != nil || int64(len(rows)) != tt.tenants {
			u.Errorf("%s: got %+v, %v, want %d tenants", tt.name, rows, err, tt.tenants)
		}
	}
	u.wantTotal("a tenant that is not in the scope", 0, tenancy.ByTags("eu"), u.globex.ID)
	u.wantTotal("the application in a scope", 0, tenancy.ByTags("eu"), analytics.Application)
}

func testUsageRecords(u *usageTest) {
	changed := u.acme.Clone()
	changed.Version, changed.Name, changed.Tags, changed.Plan = 3, "ACME é", []string{"apac"}, "gold"
	changed.Limits = map[string]int64{"seats": 5}
	older := u.acme.Clone()
	older.Version, older.Name = 2, "older"
	for _, record := range []*tenancy.Tenant{changed, older, changed} {
		u.write(&analytics.Batch{Instance: u.instance(1), Tenants: []*tenancy.Tenant{record}})
	}
	rows, err := u.store.Tenants(u.Context(), &analytics.TenantsQuery{Scope: tenancy.AllTenants(), Filter: tenancy.Filter{IDs: []tenancy.ID{u.acme.ID}}, Limit: 10})
	if err != nil || len(rows) != 1 {
		u.Fatalf("got %+v, %v, want acme", rows, err)
	}
	got := rows[0]
	if got.Name != changed.Name || got.Plan != "gold" || fmt.Sprint(got.Tags) != "[apac]" || got.Limits["seats"] != 5 || got.Slug != "acme" || got.Server != u.acme.Placement.Server {
		u.Errorf("got %+v, want the newest record", got)
	}
	u.parts(u.part(u.acme.ID, 0, 1, 1, 3, 1))
	u.wantTotal("the tag that it had", 0, tenancy.ByTags("eu"))
	u.wantTotal("the tag that it has", 3, tenancy.ByTags("apac"))
	// A tenant that was made again under its ID begins with version 1.
	again := changed.Clone()
	again.Version, again.CreatedAt, again.Name, again.Tags = 1, changed.CreatedAt.Add(time.Hour), "again", []string{"emea"}
	for _, records := range [][]*tenancy.Tenant{{changed, again}, {changed}} {
		u.write(&analytics.Batch{Instance: u.instance(1), Tenants: records})
	}
	rows, err = u.store.Tenants(u.Context(), &analytics.TenantsQuery{Scope: tenancy.AllTenants(), Filter: tenancy.Filter{IDs: []tenancy.ID{u.acme.ID}}, Limit: 10})
	if err != nil || len(rows) != 1 || rows[0].Name != "again" || fmt.Sprint(rows[0].Tags) != "[emea]" {
		u.Errorf("made again: got %+v, %v, want its record", rows, err)
	}
	u.wantTotal("the tag of the one before", 0, tenancy.ByTags("apac"))
	u.wantTotal("the tag of the one that was made again", 3, tenancy.ByTags("emea"))
	// Counts of a tenant whose record is not known are kept until it is.
	fresh := NewTenant("fresh")
	u.parts(u.part(fresh.ID, 0, 1, 1, 9, 1))
	u.write(&analytics.Batch{Instance: u.instance(1), Tenants: []*tenancy.Tenant{fresh}})
	u.wantTotal("an unknown tenant", 9, tenancy.AllTenants(), fresh.ID)
}

func testUsageRollUp(u *usageTest) {
	var want int64
	for i := range int64(17) {
		ago := time.Duration(7*i) * time.Minute // over almost two hours, of which one is whole
		u.parts(u.part(u.acme.ID, ago, 1, 1, i+1, time.Millisecond), u.part(u.acme.ID, ago, 2, 1, 1, time.Second), u.part(u.globex.ID, ago, 1, 1, 2, time.Second))
		want += i + 4
	}
	all := tenancy.AllTenants()
	queries := []analytics.SumQuery{
		{Scope: all, ByTenant: true, Latency: true}, {Scope: all, ByTenant: true}, {Scope: all, Step: time.Hour, ByTenant: true},
		{Scope: all, Step: time.Minute, Latency: true}, {Scope: all, Step: 24 * time.Hour}, {Scope: tenancy.ByTags("eu"), Step: time.Hour},
	}
	var before []string
	for _, q := range queries {
		before = append(before, fmt.Sprint(u.sum(q)))
	}
	for range 2 {
		u.keep(u.acme, u.globex)
		u.wantTotal("after rolling up", want, all)
		for i, q := range queries {
			if after := fmt.Sprint(u.sum(q)); after != before[i] {
				u.Errorf("query %d:\n got %.300s\nwant %.300s", i, after, before[i])
			}
		}
	}
	// An instance that is slow adds to minutes that were rolled up.
	u.parts(u.part(u.globex.ID, 70*time.Minute, 1, 2, 102, time.Second), u.part(u.globex.ID, 63*time.Minute, 7, 1, 1000, time.Second))
	u.wantTotal("after a late flush", want+1100, all)
	u.keep(u.acme, u.globex)
	u.wantTotal("after rolling that up", want+1100, all)
}

func testUsageFields(u *usageTest) {
	u.parts(u.part(u.acme.ID, 0, 1, 1, 5, time.Second), u.part(u.globex.ID, 3*time.Hour, 1, 1, 5, time.Second))
	filter, err := tenancy.ParseFilter("requests_1h:>0", analytics.Fields()...)
	if err != nil {
		u.Fatal(err)
	}
	for name, c := range map[string]struct {
		now  time.Time
		want tenancy.ID
	}{"now": {time.Time{}, u.acme.ID}, "as it was": {u.now.Add(-150 * time.Minute), u.globex.ID}} {
		q := &analytics.TenantsQuery{Scope: tenancy.AllTenants(), Filter: filter, Period: analytics.Period{From: u.now.Add(-time.Minute), To: u.now}, Now: c.now, Limit: 10}
		rows, err := u.store.Tenants(u.Context(), q)
		if err != nil || len(rows) != 1 || rows[0].ID != c.want {
			u.Errorf("requests of an hour, %s: got %+v, %v, want %s", name, rows, err, c.want)
		}
	}
}

func testUsageLate(u *usageTest) {
	u.keep(u.acme, u.globex)
	hour := u.part(u.acme.ID, 0, 1, 1, 5, time.Second)
	hour.Start, hour.Hour = u.now.Truncate(time.Hour).Add(-5*time.Hour), true
	for range 2 {
		u.parts(hour, u.part(u.acme.ID, 5*time.Hour, 2, 1, 7, time.Second), u.part(u.acme.ID, 0, 1, 1, 100, time.Second))
		u.wantTotal("late rows", 112, tenancy.AllTenants())
		u.keep(u.acme, u.globex)
	}
	rows := u.sum(analytics.SumQuery{Scope: tenancy.AllTenants(), Latency: true})
	if len(rows) != 1 || rows[0].Counts.Latency.Count() != 112 {
		u.Errorf("got %+v, want 112 latencies", rows)
	}
}

func testUsageCatalog(u *usageTest) {
	u.parts(u.part(u.acme.ID, 0, 1, 1, 3, 1), u.part(u.globex.ID, 0, 1, 1, 5, 1))
	renamed := u.acme.Clone()
	renamed.Name, renamed.Version = "Renamed", 2
	quiet := NewTenant("quiet")
	u.keep(renamed, quiet)
	fleet, err := u.store.Fleet(u.Context(), &analytics.TenantsQuery{Scope: tenancy.AllTenants()})
	if err != nil || fleet.Tenants != 2 || fleet.Databases != 2 {
		u.Errorf("got %+v, %v, want the two of the catalog", fleet, err)
	}
	u.wantTotal("without the tenant that is gone", 3, tenancy.AllTenants())
	state, err := u.store.State(u.Context())
	if err != nil || state.Catalog.IsZero() || state.Catalog.After(state.Now) {
		u.Errorf("got %+v, %v, want when the catalog was listed", state, err)
	}
	u.keep(renamed, quiet, u.globex)
	u.wantTotal("with the tenant that is back", 8, tenancy.AllTenants())
}

func testUsageForget(u *usageTest) {
	u.parts(u.part(u.acme.ID, 0, 1, 1, 3, 1), u.part(u.acme.ID, time.Hour, 1, 1, 3, 1), u.part(u.globex.ID, 0, 1, 1, 5, 1))
	u.write(&analytics.Batch{Instance: u.instance(1), Activities: []analytics.Activity{{Key: "1", Tenant: u.acme.ID, CreatedAt: u.now, Times: 1}}})
	u.keep(u.acme, u.globex)
	for range 2 {
		if err := u.store.Forget(u.Context(), u.acme.ID); err != nil {
			u.Fatal(err)
		}
	}
	u.wantTotal("after forgetting", 5, tenancy.AllTenants())
	for _, scope := range []tenancy.Scope{tenancy.ByTags("eu"), tenancy.ByIDs(u.acme.ID)} {
		u.wantTotal("of the tenant", 0, scope)
		if got := u.activities(analytics.ActivitiesQuery{Scope: scope}); len(got) != 0 {
			u.Errorf("got %+v, want no activity", got)
		}
	}
	again := NewTenant("new")
	u.write(&analytics.Batch{Instance: u.instance(1), Tenants: []*tenancy.Tenant{again}})
	u.wantTotal("a tenant that came later", 0, tenancy.ByIDs(again.ID))
}

func (u *usageTest) activities(q analytics.ActivitiesQuery) []analytics.Activity {
	u.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	got, err := u.store.Activities(u.Context(), &q)
	if err != nil {
		u.Fatal(err)
	}
	return got
}

func testUsageInstances(u *usageTest) {
	second := u.instance(2)
	second.Ended = true
	u.write(&analytics.Batch{Instance: second})
	state, err := u.store.State(u.Context())
	if err != nil || len(state.Instances) != 2 {
		u.Fatalf("got %+v, %v, want two instances", state, err)
	}
	got := state.Instances[1]
	if got.Name != second.Name || !got.Ended || got.Interval != second.Interval || got.Offset != -time.Second || got.CPU != time.Second ||
		got.RSS != 1<<20 || got.Flushed.IsZero() || got.Flushed.After(state.Now) {
		u.Errorf("got %+v, want %+v, flushed before now", got, second)
	}
	if !slices.Equal(state.Recorded, second.Recorded) {
		u.Errorf("recorded: got %v, want %v", state.Recorded, second.Recorded)
	}
}

func testUsageEnded(u *usageTest) {
	ctx, cancel := context.WithCancel(u.Context())
	cancel()
	if _, err := u.store.Write(ctx, &analytics.Batch{Instance: u.instance(1), Parts: []analytics.Part{u.part(u.acme.ID, 0, 1, 1, 3, 1)}}); err == nil {
		u.Error("Write: got no error")
	}
	u.wantTotal("after it", 0, tenancy.AllTenants())
	if _, err := u.store.Sum(ctx, &analytics.SumQuery{Scope: tenancy.AllTenants(), Period: analytics.Period{From: u.now, To: u.now.Add(time.Hour)}}); err == nil {
		u.Error("Sum: got no error")
	}
}

func testUsagePatterns(u *usageTest) {
	source, ok := u.store.(analytics.PatternSource)
	if !ok {
		u.Skip("it has no patterns")
	}
	part := func(id tenancy.ID, ago time.Duration, pattern string, revision, n int64) analytics.PatternPart {
		p := analytics.PatternPart{Tenant: id, Start: u.now.Add(-ago), Source: 1, Pattern: pattern, Revision: revision, Requests: n, Errors: 1}
		p.Latency.Observe(time.Second)
		return p
	}
	for range 2 {
		u.write(&analytics.Batch{Instance: u.instance(1), Patterns: []analytics.PatternPart{
			part(u.acme.ID, 0, "GET /é/{id}", 2, 5), part(u.acme.ID, 3*time.Minute, "GET /é/{id}", 1, 10), part(u.globex.ID, 0, "GET /é/{id}", 1, 100),
			part(u.acme.ID, 0, "/", 1, 1), part(analytics.Application, 0, "/", 1, 1000),
		}})
		u.write(&analytics.Batch{Instance: u.instance(1), Patterns: []analytics.PatternPart{part(u.acme.ID, 0, "GET /é/{id}", 1, 3)}}) // an older one
	}
	for _, tt := range []struct {
		name string
		q    analytics.PatternsQuery
		want string
	}{
		{"all", analytics.PatternsQuery{Scope: tenancy.AllTenants()}, "/ 1 1 1; GET /é/{id} 115 3 3; "},
		{"a tag", analytics.PatternsQuery{Scope: tenancy.ByTags("eu")}, "/ 1 1 1; GET /é/{id} 15 2 2; "},
		{"a tenant", analytics.PatternsQuery{Scope: tenancy.AllTenants(), Tenants: []tenancy.ID{u.globex.ID}}, "GET /é/{id} 100 1 1; "},
		{"outside of the scope", analytics.PatternsQuery{Scope: tenancy.ByTags("eu"), Tenants: []tenancy.ID{u.globex.ID}}, ""},
		{"nobody", analytics.PatternsQuery{}, ""},
		{"a period", analytics.PatternsQuery{Scope: tenancy.AllTenants(), Period: analytics.Period{From: u.now.Add(-time.Hour), To: u.now}}, "GET /é/{id} 10 1 1; "},
	} {
		if tt.q.Period.To.IsZero() {
			tt.q.Period = analytics.Period{From: u.now.Add(-time.Hour), To: u.now.Add(time.Hour)}
		}
		rows, err := source.Patterns(u.Context(), &tt.q)
		if err != nil {
			u.Fatal(err)
		}
		slices.SortFunc(rows, func(a, b analytics.PatternRow) int { return strings.Compare(a.Pattern, b.Pattern) })
		got := ""
		for _, row := range rows {
			got += fmt.Sprintf("%s %d %d %d; ", row.Pattern, row.Requests, row.Errors, row.Latency.Count())
		}
		if got != tt.want {
			u.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if err := u.store.Forget(u.Context(), u.acme.ID); err != nil {
		u.Fatal(err)
	}
	rows, err := source.Patterns(u.Context(), &analytics.PatternsQuery{Scope: tenancy.AllTenants(), Period: analytics.Period{From: u.now.Add(-time.Hour), To: u.now.Add(time.Hour)}})
	if err != nil || len(rows) != 1 || rows[0].Requests != 100 {
		u.Errorf("after forgetting: got %+v, %v", rows, err)
	}
}

func testUsageStatements(u *usageTest) {
	source, ok := u.store.(analytics.StatementSource)
	if !ok {
		u.Skip("it has no statements")
	}
	part := func(id tenancy.ID, ago time.Duration, source, of, revision, calls int64, longest time.Duration) analytics.StatementPart {
		return analytics.StatementPart{
			Tenant: id, Start: u.now.Add(-ago), Source: source, Fingerprint: of, Text: fmt.Sprintf("é %d", of), Revision: revision,
			Calls: calls, Errors: 1, Time: time.Duration(calls) * time.Second, Longest: longest,
		}
	}
	for range 2 {
		u.write(&analytics.Batch{Instance: u.instance(1), Statements: []analytics.StatementPart{
			part(u.acme.ID, 0, 1, 7, 2, 5, time.Second), part(u.acme.ID, 0, 2, 7, 1, 10, 3*time.Second), part(u.acme.ID, 3*time.Minute, 1, 7, 1, 100, time.Second),
			part(u.acme.ID, 0, 1, -8, 1, 1, 2*time.Second), part(u.globex.ID, 0, 1, 7, 1, 1, 9*time.Second),
		}})
		u.write(&analytics.Batch{Instance: u.instance(1), Statements: []analytics.StatementPart{part(u.acme.ID, 0, 1, 7, 1, 3, time.Hour)}}) // an older one
	}
	query := func(q analytics.StatementsQuery) (got string) {
		u.Helper()
		if q.Period.To.IsZero() {
			q.Period = analytics.Period{From: u.now.Add(-time.Hour), To: u.now.Add(time.Hour)}
		}
		q.Limit = max(q.Limit, 1)
		rows, err := source.Statements(u.Context(), &q)
		if err != nil {
			u.Fatal(err)
		}
		for _, r := range rows {
			got += fmt.Sprintf("%s %s %d: %d %d %v %v; ", r.Tenant, r.Text, r.Fingerprint, r.Calls, r.Errors, r.Time, r.Longest)
		}
		return got
	}
	acme := fmt.Sprintf("%[1]s é 7 7: 115 3 1m55s 3s; %[1]s é -8 -8: 1 1 1s 2s; ", u.acme.ID)
	globex := fmt.Sprintf("%s é 7 7: 1 1 1s 9s; ", u.globex.ID)
	for _, tt := range []struct {
		name string
		q    analytics.StatementsQuery
		want string
	}{
		{"all", analytics.StatementsQuery{Scope: tenancy.AllTenants(), Limit: 9}, globex + acme},
		{"the first", analytics.StatementsQuery{Scope: tenancy.AllTenants()}, globex},
		{"a tag", analytics.StatementsQuery{Scope: tenancy.ByTags("eu"), Limit: 9}, acme},
		{"a tenant", analytics.StatementsQuery{Scope: tenancy.AllTenants(), Tenants: []tenancy.ID{u.globex.ID}, Limit: 9}, globex},
		{"outside of the scope", analytics.StatementsQuery{Scope: tenancy.ByTags("eu"), Tenants: []tenancy.ID{u.globex.ID}, Limit: 9}, ""},
		{"nobody", analytics.StatementsQuery{Limit: 9}, ""},
		{"a period", analytics.StatementsQuery{Scope: tenancy.AllTenants(), Period: analytics.Period{From: u.now.Add(-time.Hour), To: u.now}}, fmt.Sprintf("%s é 7 7: 100 1 1m40s 1s; ", u.acme.ID)},
	} {
		if got := query(tt.q); got != tt.want {
			u.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if err := u.store.Forget(u.Context(), u.acme.ID); err != nil {
		u.Fatal(err)
	}
	if got := query(analytics.StatementsQuery{Scope: tenancy.AllTenants(), Limit: 9}); got != globex {
		u.Errorf("after forgetting: got %q, want %q", got, globex)
	}
}

func testUsageActivities(u *usageTest) {
	login := &analytics.Login{Subject: "jo", Method: "password", Reason: "wrong"}
	batch := &analytics.Batch{Instance: u.instance(1), Activities: []analytics.Activity{
		{Key: "a", Tenant: u.acme.ID, Type: "invoice", Description: "é\n", ActorKind: "tenant_user", ActorID: "jo", UserAgent: "curl", RequestID: "r", CreatedAt: u.now, Times: 1},
		{Key: "b", Tenant: u.acme.ID, Type: "login", ActorKind: "unknown", CreatedAt: u.now.Add(time.Second), Times: 3, Login: login},
		{Key: "c", Tenant: u.globex.ID, Type: "invoice", ActorKind: "unknown", CreatedAt: u.now.Add(2 * time.Second), Times: 1},
	}}
	for range 2 {
		u.write(batch)
	}
	all := tenancy.AllTenants()
	for _, tt := range []struct {
		name, want string
		query      analytics.ActivitiesQuery
	}{
		{"all", "cba", analytics.ActivitiesQuery{Scope: all}}, {"two", "cb", analytics.ActivitiesQuery{Scope: all, Limit: 2}},
		{"none", "", analytics.ActivitiesQuery{}}, {"scope", "ba", analytics.ActivitiesQuery{Scope: tenancy.ByTags("eu")}},
		{"tenant", "c", analytics.ActivitiesQuery{Scope: all, Tenants: []tenancy.ID{u.globex.ID}}},
		{"type", "ca", analytics.ActivitiesQuery{Scope: all, Types: []string{"invoice"}}},
		{"logins", "b", analytics.ActivitiesQuery{Scope: all, Logins: true}}, {"subject", "b", analytics.ActivitiesQuery{Scope: all, Subject: "jo"}},
		{"another subject", "", analytics.ActivitiesQuery{Scope: all, Subject: "Jo"}},
		{"period", "b", analytics.ActivitiesQuery{Scope: all, Period: analytics.Period{From: u.now.Add(time.Second), To: u.now.Add(2 * time.Second)}}},
	} {
		got := ""
		for _, a := range u.activities(tt.query) {
			got += a.Key
		}
		if got != tt.want {
			u.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	got := u.activities(analytics.ActivitiesQuery{Scope: tenancy.ByTags("eu")})
	if a, b := got[1], got[0]; a.Description != "é\n" || a.ActorID != "jo" || a.UserAgent != "curl" || a.RequestID != "r" || a.Login != nil || !a.CreatedAt.Equal(u.now) ||
		b.Login == nil || *b.Login != *login || b.Times != 3 || b.Tenant != u.acme.ID {
		u.Errorf("got %+v, want what was written", got)
	}
}
