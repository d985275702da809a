package analytics_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// texts returns the descriptions of a page, the newest first.
func texts(page *analytics.ActivitiesPage) (all []string) {
	for _, a := range page.Activities {
		all = append(all, a.Type+" "+a.Description)
	}
	return all
}

// What is noted has the context's tenant, actor and request, on every store, in pages.
func TestNote(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		rec := newRecorder(t, store, nil)
		acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
		acme.Tags, acme.Version = []string{"eu"}, 1
		ctx := tenancy.NewContext(t.Context(), acme)
		ctx = tenancy.WithRequest(ctx, tenancy.RequestInfo{ID: "r1", Address: netip.MustParseAddr("::ffff:192.0.2.7"), UserAgent: "curl\x00\n" + strings.Repeat("é", 1<<20)})
		ctx = tenancy.WithActor(ctx, tenancy.Actor{Kind: tenancy.ActorTenantUser, ID: "jo"})
		rec.Note(ctx, analytics.Activity{Type: "invoice", Description: "one\x00\xff two", Tenant: globex.ID, ActorID: "somebody else", Times: 99})
		rec.Note(ctx, analytics.Activity{Type: strings.Repeat("t", 60), Description: strings.Repeat("é", 3000)})
		rec.Login(ctx, analytics.Login{Subject: "jo", Method: "password", OK: true})
		rec.Note(tenancy.NewContext(t.Context(), globex), analytics.Activity{Type: "invoice", Description: "globex"})
		rec.Note(t.Context(), analytics.Activity{Type: "started", Description: "the service"})
		for range 2 {
			if err := rec.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		reports := newReports(t, store)
		all := tenancy.AllTenants()
		var got []analytics.Activity
		req := analytics.ActivitiesRequest{Limit: 1}
		for range 10 {
			page, err := reports.Activities(t.Context(), tenancy.ByTags("eu"), &req)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Activities...)
			if req.After = page.Next; req.After == "" {
				break
			}
		}
		if len(got) != 3 {
			t.Fatalf("got %+v, want acme's three", got)
		}
		first := got[2]
		for _, a := range got {
			if a.Type == "invoice" {
				first = a
			}
			if !utf8.ValidString(a.UserAgent) || len(a.UserAgent) > 512 || strings.ContainsAny(a.UserAgent, "\x00\n") || len(a.Type) > 50 || utf8.RuneCountInString(a.Description) > 2000 {
				t.Errorf("got %.200q, want texts that were cut and are harmless", fmt.Sprint(a))
			}
		}
		if first.Tenant != acme.ID || first.ActorID != "jo" || first.ActorKind != "tenant_user" || first.Address != "192.0.2.7" || first.RequestID != "r1" ||
			first.Times != 1 || !utf8.ValidString(first.Description) || strings.Contains(first.Description, "\x00") || !strings.HasPrefix(first.UserAgent, "curl  é") {
			t.Errorf("got %.300q, want the context's tenant, actor and request", fmt.Sprintf("%+v", first))
		}
		logins, err := reports.Activities(t.Context(), all, &analytics.ActivitiesRequest{Logins: true, Subject: "jo"})
		if err != nil || len(logins.Activities) != 1 || !logins.Activities[0].Login.OK || logins.Activities[0].Login.Method != "password" {
			t.Errorf("logins: got %+v, %v, want jo's", logins, err)
		}
		own, err := reports.Activities(t.Context(), all, &analytics.ActivitiesRequest{Tenant: analytics.Application})
		if err != nil || len(own.Activities) != 1 || own.Activities[0].Type != "started" {
			t.Errorf("the application's: got %+v, %v", own, err)
		}
		if o, err := reports.Overview(t.Context(), tenancy.ByTags("eu")); err != nil || len(o.RecentActivities) != 3 {
			t.Errorf("overview: got %+v, %v, want the three of the scope", o.RecentActivities, err)
		}
		page, err := reports.Activities(t.Context(), all, &analytics.ActivitiesRequest{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string]analytics.ActivitiesRequest{
			"a cursor of another listing": {After: page.Next, Logins: true}, "a cursor that is none": {After: "?"}, "a page": {Limit: 501},
			"a NUL": {Subject: "a\x00"}, "a reversed period": {Period: analytics.Period{From: time.Unix(2, 0), To: time.Unix(1, 0)}},
		} {
			if _, err := reports.Activities(t.Context(), all, &bad); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%s: got %v, want %v", name, err, tenancy.ErrInvalid)
			}
		}
	})
}

// A tenant that was made again under its ID begins with version 1: its changes are noted, and
// its record takes the place of the one before.
func TestMadeAgain(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		rec := newRecorder(t, store, nil)
		acme := tenancytest.NewTenant("acme")
		acme.Version = 1
		changed := acme.Clone()
		changed.Version = 7
		again := acme.Clone()
		again.CreatedAt, again.Name = acme.CreatedAt.Add(time.Hour), "again"
		for _, change := range [][2]*tenancy.Tenant{{nil, acme}, {acme, changed}, {changed, nil}, {nil, again}} {
			rec.Changed(t.Context(), change[0], change[1], nil)
			if err := rec.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		page, err := newReports(t, store).Activities(t.Context(), tenancy.AllTenants(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(texts(page), "\n"); strings.Count(got, "created as acme") != 2 {
			t.Errorf("got %s, want it created twice", got)
		}
		rows, err := store.Tenants(t.Context(), &analytics.TenantsQuery{Scope: tenancy.AllTenants(), Filter: tenancy.Filter{IDs: []tenancy.ID{acme.ID}}, Limit: 10})
		if err != nil || len(rows) != 1 || rows[0].Name != "again" {
			t.Errorf("got %+v, %v, want the record of the one that was made again", rows, err)
		}
	})
}

// A change is noted once, however often it is reported, and without secrets.
func TestChanged(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		first, second := newRecorder(t, store, nil), newRecorder(t, store, nil)
		acme := tenancytest.NewTenant("acme")
		acme.Version = 1
		changed := acme.Clone()
		changed.Version, changed.Status, changed.Plan, changed.Limits = 2, tenancy.StatusSuspended, "gold", map[string]int64{"seats": 5}
		changed.Access.Keys = []tenancy.APIKey{{ID: "key1", Hash: tenancy.DigestOf("hunter2")}}
		changed.Access.Maintenance = &tenancy.Maintenance{Mode: tenancy.MaintenanceClosed, Bypass: tenancy.DigestOf("hunter3"), Generation: "g-secret"}
		doubtful := changed.Clone()
		doubtful.Version, doubtful.Slug = 3, "acme2"
		for _, rec := range []*analytics.Recorder{first, second} {
			for range 2 {
				rec.Changed(t.Context(), nil, acme, nil)
				rec.Changed(t.Context(), acme, changed, nil)
				rec.Changed(t.Context(), changed, doubtful, tenancy.ErrUnavailable)
			}
			if err := rec.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		page, err := newReports(t, store).Activities(t.Context(), tenancy.AllTenants(), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(texts(page), "\n")
		for _, want := range []string{
			"tenant_created created as acme", "tenant_status status: active -> suspended", "tenant_plan plan: none -> gold", "tenant_limits limits: none -> seats=5",
			"tenant_keys keys: none -> key1", "tenant_maintenance maintenance: none -> closed", "tenant_slug slug: acme -> acme2 (it is not known whether",
		} {
			if strings.Count(got, want) != 1 {
				t.Errorf("%q: got %d times, want once, in:\n%s", want, strings.Count(got, want), got)
			}
		}
		for _, secret := range []string{tenancy.DigestOf("hunter2").String(), tenancy.DigestOf("hunter3").String(), "g-secret"} {
			if strings.Contains(got, secret) {
				t.Errorf("got a secret in:\n%s", got)
			}
		}
		rows, err := store.Tenants(t.Context(), &analytics.TenantsQuery{Scope: tenancy.AllTenants(), Limit: 10})
		if err != nil || len(rows) != 1 || rows[0].Slug != "acme" || rows[0].Plan != "gold" {
			t.Errorf("got %+v, %v, want the record that is known to be written", rows, err)
		}
	})
}

// A change that an outbox delivers is the activity that it would be if this process had made it: once, also where both report it, and without secrets.
func TestDelivered(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		events := &tenancytest.Events{}
		cat, err := catalog.NewWithStore(tenancytest.NewStore(), &catalog.Options{Events: events, SecretSettings: []string{"smtp"}})
		if err != nil {
			t.Fatal(err)
		}
		here, there := newRecorder(t, store, nil), newRecorder(t, store, nil) // there has no part in what happens
		stop := cat.Watch(func(ctx context.Context, c catalog.Change) { here.Changed(ctx, c.Before, c.After, c.Err) })
		ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ann"})
		acme, err := cat.Create(ctx, tenancytest.NewTenant("acme"))
		if err != nil {
			t.Fatal(err)
		}
		edit := func(ctx context.Context, change func(*tenancy.Tenant)) {
			t.Helper()
			if acme, err = cat.Edit(ctx, acme.ID, func(t *tenancy.Tenant) error { change(t); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		edit(ctx, func(t *tenancy.Tenant) { t.Plan = "gold" })
		stop() // what follows is done by another process
		other := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorCommandLine, ID: "bob"})
		edit(other, func(t *tenancy.Tenant) {
			t.Status, t.Slug, t.Domains, t.Limits = tenancy.StatusSuspended, "acme2", []string{"a.example", "b.example"}, map[string]int64{"seats": 5}
			t.Access.Keys = []tenancy.APIKey{{ID: "key1", Hash: tenancy.DigestOf("hunter2"), CreatedAt: time.Now()}}
			t.Access.Maintenance = &tenancy.Maintenance{Mode: tenancy.MaintenanceClosed, BeganAt: time.Now(), Bypass: tenancy.DigestOf("hunter3"), Generation: "g-secret"}
			t.Settings = map[string]string{"smtp": "hunter4"}
		})
		edit(other, func(t *tenancy.Tenant) { t.Limits, t.Access.Maintenance, t.Name = nil, nil, "Acme" })
		for range 2 {
			for _, e := range events.All() {
				there.Delivered(acme, analytics.Event(e))
			}
			for _, rec := range []*analytics.Recorder{here, there} {
				if err := rec.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		page, err := newReports(t, store).Activities(t.Context(), tenancy.AllTenants(), &analytics.ActivitiesRequest{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, a := range page.Activities {
			all = append(all, a.ActorID+" "+a.Type+" "+a.Description)
		}
		got := strings.Join(all, "\n")
		wants := []string{
			"ann tenant_created created as acme", "ann tenant_plan plan: none -> gold", "bob tenant_status status: active -> suspended", "bob tenant_slug slug: acme -> acme2",
			"bob tenant_domains domains: none -> a.example b.example", "bob tenant_limits limits: none -> seats=5", "bob tenant_limits limits: seats=5 -> none",
			"bob tenant_keys keys: none -> key1", "bob tenant_maintenance maintenance: none -> closed since ", "bob tenant_maintenance maintenance: closed since ",
		}
		for _, want := range wants {
			if strings.Count(got, want) != 1 {
				t.Errorf("%q: got %d times, want once", want, strings.Count(got, want))
			}
		}
		if len(all) != len(wants) {
			t.Errorf("got %d activities, want %d:\n%s", len(all), len(wants), got)
		}
		for _, secret := range []string{tenancy.DigestOf("hunter2").String(), tenancy.DigestOf("hunter3").String(), "g-secret", "hunter4"} {
			if strings.Contains(got, secret) {
				t.Errorf("got a secret in:\n%s", got)
			}
		}
		rows, err := store.Tenants(t.Context(), &analytics.TenantsQuery{Scope: tenancy.AllTenants(), Limit: 10})
		if err != nil || len(rows) != 1 || rows[0].Slug != "acme2" || rows[0].Name != "Acme" {
			t.Errorf("got %+v, %v, want the record as it is now", rows, err)
		}
	})
}

// What a purge forgets does not come back with what waited in memory, nor with the end of the purge.
func TestForget(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		rec := newRecorder(t, store, nil)
		acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
		acme.Version, globex.Version = 1, 1
		purging := acme.Clone()
		purging.Version, purging.Status = 2, tenancy.StatusPurging
		for _, tenant := range []*tenancy.Tenant{acme, globex} {
			rec.Changed(t.Context(), nil, tenant, nil)
			ctx := tenancy.NewContext(t.Context(), tenant)
			if err := rec.Do(ctx, func(context.Context) error { return nil }); err != nil {
				t.Fatal(err)
			}
			for range 70 { // more than are kept one by one
				rec.Login(ctx, analytics.Login{Subject: "jo"})
			}
			if err := rec.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			rec.Login(ctx, analytics.Login{Subject: "jo", OK: true})
		}
		rec.Changed(t.Context(), acme, purging, nil)
		for range 2 {
			if err := rec.Forget(t.Context(), acme.ID); err != nil {
				t.Fatal(err)
			}
			rec.Changed(t.Context(), purging, nil, nil)
			if err := rec.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		rows, err := store.Tenants(t.Context(), &analytics.TenantsQuery{Scope: tenancy.AllTenants(), Limit: 10})
		if err != nil || len(rows) != 1 || rows[0].ID != globex.ID {
			t.Errorf("got %+v, %v, want the other tenant alone", rows, err)
		}
		reports := newReports(t, store)
		for id, kept := range map[tenancy.ID]bool{acme.ID: false, globex.ID: true} {
			page, err := reports.Activities(t.Context(), tenancy.AllTenants(), &analytics.ActivitiesRequest{Tenant: id, Limit: 100})
			if err != nil || (len(page.Activities) > 60) != kept || (len(page.Activities) > 0) != kept {
				t.Errorf("%s: got %d activities, %v, want all kept: %v", id, len(page.Activities), err, kept)
			}
		}
	})
	rec := newRecorder(t, writeOnly{}, nil)
	if err := rec.Forget(t.Context(), "acme"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a sink that cannot forget: got %v, want %v", err, tenancy.ErrInvalid)
	}
}

// writeOnly is a sink that keeps nothing.
type writeOnly struct{}

func (writeOnly) Write(context.Context, *analytics.Batch) (time.Time, error) { return time.Now(), nil }

// An attack does not fill the disk, and nothing of it is forgotten.
func TestFailedLogins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		rec := newRecorder(t, store, nil)
		acme := tenancytest.NewTenant("acme")
		ctx := tenancy.NewContext(t.Context(), acme)
		running, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = rec.Run(running) }()
		for range 3 {
			for range 1000 {
				rec.Login(ctx, analytics.Login{Subject: "jo"})
			}
			rec.Login(ctx, analytics.Login{Subject: "jo", OK: true})
			time.Sleep(time.Minute)
		}
		for range 100 {
			rec.Login(ctx, analytics.Login{Subject: "jo"})
		}
		cancel()
		<-done
		found, err := store.Activities(t.Context(), &analytics.ActivitiesQuery{Scope: tenancy.AllTenants(), Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		var failed, rows int64
		for _, a := range found {
			if a.Login == nil || !a.Login.OK {
				failed, rows = failed+a.Times, rows+1
			}
		}
		if failed != 3100 || rows != 4*61 {
			t.Errorf("got %d failed logins in %d rows, want 3,100 in 244", failed, rows)
		}
	})
}

// Entries that do not fit into memory are counted.
func TestNotesAreBounded(t *testing.T) {
	t.Parallel()
	store, err := analytics.NewMemory(&analytics.MemoryOptions{MaxActivities: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecorder(t, store, nil)
	for range 10_500 {
		rec.Note(t.Context(), analytics.Activity{Type: "x"})
	}
	if err := rec.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	state, err := store.State(t.Context())
	if err != nil || len(state.Instances) != 1 || state.Instances[0].Dropped != 500 {
		t.Errorf("got %+v, %v, want 500 that were dropped", state, err)
	}
}

// The roadmap's two tables can be read by others, and a table of that name stays.
func TestCreateViews(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		store := migratedIn(t, db)
		acme := tenancytest.NewTenant("acme")
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme}, Activities: []analytics.Activity{
			{Key: "k", Tenant: acme.ID, Type: "invoice", Description: "d", Address: "192.0.2.7", UserAgent: "curl", CreatedAt: time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC), Times: 1},
		}})
		if err != nil {
			t.Fatal(err)
		}
		start := now.Truncate(time.Minute).Add(-119 * time.Minute)
		write(t, store, usageOf(acme.ID, start, 1000, 0, 1), usageOf(acme.ID, start.Add(59*time.Minute), 234, 0, 1))
		keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, acme), nil)
		if err == nil {
			err = keeper.Keep(t.Context())
		}
		for range 2 {
			if err == nil {
				err = store.CreateViews(t.Context())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		var logs []struct {
			ID       int64  `db:"id"`
			Tenant   string `db:"tenant_id"`
			Metric   string `db:"metric_type"`
			Value    string `db:"value"`
			Unit     string `db:"unit"`
			Recorded any    `db:"recorded_at"`
		}
		if err := db.SelectContext(t.Context(), &logs, `SELECT id, tenant_id, metric_type, value, unit, recorded_at FROM tenant_usage_logs WHERE metric_type = 'requests'`); err != nil {
			t.Fatal(err)
		}
		if len(logs) == 0 || logs[0].Tenant != string(acme.ID) || logs[0].Unit != "count" {
			t.Errorf("got %+v, want acme's hours", logs)
		}
		var at any // of an activity that is old: its address was shortened
		if err := db.GetContext(t.Context(), &at, `SELECT created_at FROM tenant_activities WHERE tenant_id = '`+string(acme.ID)+`' AND activity_type = 'invoice' AND ip_address = '192.0.2.0/24'`); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(at)
		if b, ok := at.([]byte); ok {
			text = string(b)
		}
		if !strings.HasPrefix(text, "2026-03-29 01:30:00") {
			t.Errorf("got %s, want half past one in UTC", text)
		}
		_, err = db.ExecContext(t.Context(), `DROP VIEW tenant_activities`)
		if err == nil {
			_, err = db.ExecContext(t.Context(), `CREATE TABLE tenant_activities (id INTEGER)`)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := store.CreateViews(t.Context()); !errors.Is(err, tenancy.ErrExists) {
			t.Errorf("with a table of that name: got %v, want %v", err, tenancy.ErrExists)
		}
		if _, err := db.ExecContext(t.Context(), `INSERT INTO tenant_activities (id) VALUES (1)`); err != nil {
			t.Errorf("the table: got %v, want it as it was", err)
		}
	})
}

// A tenant of which something was noted is known by its name as soon as that is written.
func TestNotedTenantsAreKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		rec := newRecorder(t, store, &analytics.Options{Flush: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = rec.Run(ctx) }()
		acme := tenancytest.NewTenant("acme")
		acme.Version = 1
		rec.Note(tenancy.NewContext(ctx, acme), analytics.Activity{Type: "invoice"})
		time.Sleep(2 * time.Second)
		rows, err := store.Tenants(ctx, &analytics.TenantsQuery{Scope: tenancy.AllTenants(), Limit: 10})
		if err != nil || len(rows) != 1 || rows[0].Slug != "acme" || rows[0].Status != tenancy.StatusActive {
			t.Errorf("got %+v, %v, want acme", rows, err)
		}
		cancel()
		<-done
	})
}

// Failed logins at once are counted without a race.
func TestFailedLoginsAtOnce(t *testing.T) {
	t.Parallel()
	store, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecorder(t, store, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				rec.Login(t.Context(), analytics.Login{Subject: "jo"})
			}
		})
	}
	all.Wait()
}

// Failed logins of tenants beyond those that are counted are reported as dropped.
func TestFailedLoginsOfTooManyTenants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := analytics.NewMemory(&analytics.MemoryOptions{MaxActivities: 20_000})
		if err != nil {
			t.Fatal(err)
		}
		rec := newRecorder(t, store, nil)
		for i := range 10_005 {
			ctx := tenancy.NewContext(t.Context(), &tenancy.Tenant{ID: tenancy.ID(fmt.Sprintf("t%d", i)), Version: 1})
			rec.Login(ctx, analytics.Login{Subject: "jo"})
			if i == 5000 {
				if err := rec.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := rec.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		state, err := store.State(t.Context())
		if err != nil || len(state.Instances) != 1 || state.Instances[0].Dropped != 5 {
			t.Errorf("got %+v, %v, want five dropped", state.Instances, err)
		}
	})
}

// Addresses of activities that were written a day late, or by a clock that was wrong, become networks, too.
func TestAddressesOfLateActivities(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		store := migratedIn(t, db)
		keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		keep := func() (out string) {
			t.Helper()
			if err := keeper.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
			var all []string
			if err := db.SelectContext(t.Context(), &all, `SELECT address FROM tenancy_activities ORDER BY activity_key`); err != nil {
				t.Fatal(err)
			}
			return strings.Join(all, " ")
		}
		add := func(key, address string, age time.Duration) {
			t.Helper()
			now, err := store.Write(t.Context(), &analytics.Batch{})
			if err == nil {
				_, err = store.Write(t.Context(), &analytics.Batch{Activities: []analytics.Activity{{Key: key, Tenant: analytics.Application, Type: "x", Address: address, CreatedAt: now.Add(-age), Times: 1}}})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		add("a", "192.0.2.1", 29*day)
		add("b", "192.0.2.2", 31*day)
		if got := keep(); got != "192.0.2.1 192.0.2.0/24" {
			t.Errorf("got %s", got)
		}
		add("c", "192.0.2.3", 30*day+10*time.Hour)
		if got := keep(); got != "192.0.2.1 192.0.2.0/24 192.0.2.0/24" {
			t.Errorf("some hours late: got %s", got)
		}
		add("d", "2001:db8::1", 300*day)
		if _, err := db.ExecContext(t.Context(), db.Rebind(`UPDATE tenancy_usage_state SET value = value - ? WHERE name = 'addresses'`), day.Microseconds()); err != nil { // a day later
			t.Fatal(err)
		}
		if got := keep(); got != "192.0.2.1 192.0.2.0/24 192.0.2.0/24 2001:db8::/48" {
			t.Errorf("a day later: got %s", got)
		}
	})
}

// Addresses that were shortened stay so when those behind them cannot be: each round gets further.
func TestAddressesThatFail(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		store := migratedIn(t, db)
		now, err := store.Write(t.Context(), &analytics.Batch{})
		if err != nil {
			t.Fatal(err)
		}
		b := &analytics.Batch{}
		const all, fails = 1200, 1100
		for i := range all {
			b.Activities = append(b.Activities, analytics.Activity{
				Key: fmt.Sprintf("k%04d", i), Tenant: analytics.Application, Type: "x", Address: fmt.Sprintf("198.51.100.%d", i%200), CreatedAt: now.Add(-300*day + time.Duration(i)*time.Minute), Times: 1,
			})
		}
		if _, err := store.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		refuse(t, db, "UPDATE", "tenancy_activities", "OLD.activity_key = 'k1100'")
		keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := keeper.Keep(t.Context()); err == nil {
			t.Fatal("got no error of a row that refuses to be changed")
		}
		var whole int
		if err := db.GetContext(t.Context(), &whole, `SELECT COUNT(*) FROM tenancy_activities WHERE address NOT LIKE '%/%'`); err != nil {
			t.Fatal(err)
		}
		if whole > all-fails+500 {
			t.Errorf("got %d whole addresses, want those before the row to be networks", whole)
		}
	})
}

// refuse makes the database refuse what is done to rows of the table that meet the condition.
func refuse(t *testing.T, db *sqlx.DB, what, table, condition string) {
	t.Helper()
	head := fmt.Sprintf(`CREATE TRIGGER refuse_%[2]s BEFORE %[1]s ON %[2]s `, what, table)
	statements := map[string][]string{
		"sqlite": {head + `WHEN ` + condition + ` BEGIN SELECT RAISE(ABORT, 'refused'); END`},
		"mysql":  {head + `FOR EACH ROW BEGIN IF ` + condition + ` THEN SIGNAL SQLSTATE '45000'; END IF; END`},
		"pgx": {
			`CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$`,
			head + `FOR EACH ROW WHEN (` + condition + `) EXECUTE FUNCTION refuse()`,
		},
	}[db.DriverName()]
	if statements == nil {
		t.Fatalf("no trigger for %s", db.DriverName())
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}
