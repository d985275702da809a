package main

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// A run makes the tenants behind the first, and a second start makes none again.
func TestTenantsAreMadeByARun(t *testing.T) {
	t.Parallel()
	app, err := newApp(t.Context(), &flags{lockTTL: lockTTL, data: filepath.Join(t.TempDir(), "data")})
	defer func() {
		if err := app.close(); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for range 2 { // as a second instance does, while the run is under way
			first, err := app.makeTenants(t.Context(), 8)
			if err != nil || len(first) != firstTenants {
				t.Fatalf("got %d tenants, %v, want %d", len(first), err, firstTenants)
			}
		}
		until(t, "all tenants are active", func() bool {
			all, err := app.active(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(all) == 8
		})
	}
	made, err := app.runner.List(t.Context(), runs.Query{Task: provision, Limit: 10})
	if err != nil || len(made) != 1 {
		t.Fatalf("got %d runs, %v, want one", len(made), err)
	}
	until(t, "the run is done", func() bool {
		run, err := app.runner.Get(t.Context(), made[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		return run.State == runs.StateDone && run.Done == 5
	})
	for e, err := range app.catalog.Audit(t.Context(), catalog.AuditFilter{}) {
		if err != nil || e.Result != tenancy.AuditDone {
			t.Fatalf("got the entry %+v, %v, want none of what was there already", e, err)
		}
	}
	// Another instance made it meanwhile.
	all, err := app.active(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := *all[len(all)-1]
	before.Status = tenancy.StatusProvisioning
	var skipped *tenancy.SkipError
	if err := app.provision(t.Context(), &before, tenancy.Attempt{}); !errors.As(err, &skipped) {
		t.Errorf("got %v, want the tenant skipped", err)
	}
	// The keeper measures the databases.
	until(t, "the storage is known", func() bool {
		o, err := app.reports.Overview(t.Context(), tenancy.AllTenants())
		if err != nil && !errors.Is(err, tenancy.ErrUnavailable) {
			t.Fatal(err)
		}
		return err == nil && o.StorageUsage.Total != nil && o.StorageUsage.Total.Value > 0
	})
}
