package analytics_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Instances that write into minutes of the past while two keepers roll them up lose
// nothing, and nothing counts twice.
func TestWritesDuringRollUp(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		store := migrated(t, s)
		var tenants []*tenancy.Tenant
		for i := range 4 {
			tenants = append(tenants, tenancytest.NewTenant(fmt.Sprintf("t%d", i)))
		}
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: tenants})
		if err != nil {
			t.Fatal(err)
		}
		const rounds, minutes = 12, 6
		var writers, keepers sync.WaitGroup
		ended := make(chan struct{})
		for instance := range int64(3) {
			writers.Go(func() {
				for round := range int64(rounds) {
					b := &analytics.Batch{Instance: analytics.Instance{ID: instance, Recorded: []analytics.Column{analytics.Requests}}, Tenants: tenants}
					for _, tenant := range tenants {
						for m := range minutes {
							start := now.Truncate(time.Minute).Add(-time.Duration(2+17*m) * time.Minute)
							p := analytics.Part{Tenant: tenant.ID, Start: start, Source: instance, Revision: round + 1}
							p.Counts.Values[analytics.Requests] = round + 1
							b.Parts = append(b.Parts, p)
						}
					}
					if _, err := store.Write(t.Context(), b); err != nil {
						t.Errorf("instance %d: %v", instance, err)
					}
				}
			})
		}
		keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, tenants...), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			keepers.Go(func() {
				for done := false; !done; {
					select {
					case <-ended:
						done = true
					default:
					}
					if err := keeper.Keep(t.Context()); err != nil && !errors.Is(err, tenancy.ErrLimited) {
						t.Errorf("keeper: %v", err)
					}
				}
			})
		}
		writers.Wait()
		close(ended)
		keepers.Wait()
		const want = 3 * 4 * minutes * rounds
		for range 2 {
			rows, err := store.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Period: analytics.Period{From: now.Add(-day), To: now}})
			if err != nil || len(rows) != 1 || rows[0].Counts.Get(analytics.Requests) != want {
				t.Errorf("got %+v, %v, want %d requests", rows, err, want)
			}
			if err := keeper.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A write of the present waits for no other: it does not change what others hold only to read.
func TestWritesDoNotWait(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"postgres", "mysql"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := tenancytest.NewServer(t, engine)
			db := s.Database(t)
			store := migratedIn(t, db)
			other, err := db.BeginTxx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = other.Rollback() }()
			share := map[string]string{"postgres": ` FOR SHARE`, "mysql": ` LOCK IN SHARE MODE`}[engine]
			var n int64
			if err := other.GetContext(t.Context(), &n, `SELECT value FROM tenancy_usage_state WHERE name = 'minutes'`+share); err != nil {
				t.Fatal(err)
			}
			acme := tenancytest.NewTenant("acme")
			now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme}})
			if err == nil {
				write(t, store, usageOf(acme.ID, now.Truncate(time.Minute), 1, 0, time.Millisecond))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
