package tenancytest_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// The end of its context is no error of a Run: a group of them ends an ordinary shutdown without one.
func TestRunReturnsNil(t *testing.T) {
	t.Parallel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	silent := slog.New(slog.DiscardHandler)
	cat, err := catalog.New(db, nil)
	must(err)
	must(cat.Migrate(t.Context()))
	keys, err := catalog.NewKeyIssuer(cat, "shop_live", nil)
	must(err)
	box, err := catalog.NewOutbox(db, &catalog.OutboxOptions{Deliver: func(context.Context, catalog.Event) error { return nil }, Logger: silent})
	must(err)
	records, err := cache.New(cat, nil)
	must(err)
	trail, err := audit.New(db, &audit.Options{Logger: silent})
	must(err)
	must(trail.Migrate(t.Context()))
	operators, err := auth.New(db, &auth.Options{Logger: silent})
	must(err)
	must(operators.Migrate(t.Context()))
	engine, err := sqlite.New(t.TempDir())
	must(err)
	pool, err := dbpool.New(map[string]driver.Engine{"": engine}, nil)
	must(err)
	t.Cleanup(func() { _ = pool.Close() })
	gate, err := maintenance.NewGate(cat, &maintenance.GateOptions{Drains: new(maintenance.MemoryDrains), Logger: silent})
	must(err)
	runner, err := runs.New(db, cat, &runs.Options{Tasks: runs.Tasks{"work": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }}}, Logger: silent})
	must(err)
	must(runner.Migrate(t.Context()))
	store, err := analytics.NewMemory(nil)
	must(err)
	recorder, err := analytics.NewRecorder(store, &analytics.Options{Feed: analytics.NewMemoryFeed(), Logger: silent})
	must(err)
	keeper, err := analytics.NewKeeper(store, cat, &analytics.KeeperOptions{Logger: silent})
	must(err)
	reports, err := analytics.NewReports(store, nil)
	must(err)
	live, err := analytics.NewReports(store, &analytics.ReportsOptions{Feed: analytics.NewMemoryFeed(), Logger: silent})
	must(err)
	var all sync.WaitGroup
	defer all.Wait()
	for name, run := range map[string]func(context.Context) error{
		"KeyIssuer": keys.Run, "Outbox": box.Run, "Cache": records.Run, "Trail": trail.Run, "Auth": operators.Run, "Pool": pool.Run, "Gate": gate.Run,
		"Runner": runner.Run, "Recorder": recorder.Run, "Keeper": keeper.Run, "Reports": reports.Run, "Reports with a feed": live.Run,
	} {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(20*time.Millisecond, cancel) // when it most likely works
			if err := run(ctx); err != nil {
				t.Errorf("%s: got %v, want nil", name, err)
			}
			if err := run(ctx); err != nil && name != "Pool" { // whose Run is called once
				t.Errorf("%s, in a context that had ended: got %v, want nil", name, err)
			}
		})
	}
}
