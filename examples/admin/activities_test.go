package main

import (
	"path/filepath"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

// What another process changes, such as a command line, is in the timeline and on the charts, once, as is what this one changes.
func TestActivitiesOfOtherProcesses(t *testing.T) {
	t.Parallel()
	f := &flags{lockTTL: lockTTL, data: filepath.Join(t.TempDir(), "data")}
	app, err := newApp(t.Context(), f)
	defer func() {
		if err := app.close(); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	made, err := app.makeTenants(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(filepath.Join(f.data, "control.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	outbox, err := catalog.NewOutbox(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := catalog.New(db, &catalog.Options{Events: outbox})
	if err != nil {
		t.Fatal(err)
	}
	id := made[0].ID
	byHand := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorCommandLine, ID: "ann"})
	if _, err := other.SetStatus(byHand, id, tenancy.StatusSuspended); err != nil {
		t.Fatal(err)
	}
	if _, err := app.catalog.SetStatus(t.Context(), id, tenancy.StatusActive); err != nil {
		t.Fatal(err)
	}
	until(t, "the events are delivered", func() bool {
		stat, err := app.outbox.Stat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stat.Deliver.Pending == 0
	})
	if err := app.recorder.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := app.reports.Activities(t.Context(), tenancy.AllTenants(), &analytics.ActivitiesRequest{Tenant: id, Types: []string{"tenant_status"}, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, a := range page.Activities {
		got[a.Description+" by "+a.ActorID]++
	}
	for _, want := range []string{"status: active -> suspended by ann", "status: suspended -> active by "} {
		if got[want] != 1 {
			t.Errorf("got %v, want %q once", got, want)
		}
	}
}
