package lifecycle_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// purgesWith is what the killed process and those after it share: a note of each
// tenant that a last backup was made of, and of each that was forgotten.
func (k *kit) purgesWith(t *testing.T, folder string) *lifecycle.Lifecycle {
	t.Helper()
	note := func(kind string, id tenancy.ID) error {
		return os.WriteFile(filepath.Join(folder, kind+"-"+string(id)), nil, 0o600)
	}
	l, err := lifecycle.New(k.cat, k.pool, k.migrator(t, killMigration), &lifecycle.Options{
		Server: k.server.Name, Seed: k.seedOne,
		BeforePurge: func(ctx context.Context, tenant *tenancy.Tenant) error {
			db, err := k.pool.DB(ctx)
			if err == nil {
				err = db.GetContext(ctx, new(int), `SELECT COUNT(*) FROM notes`)
			}
			if err != nil {
				return err
			}
			return note("backup", tenant.ID)
		},
		Forget: []func(context.Context, tenancy.ID) error{func(_ context.Context, id tenancy.ID) error { return note("forgotten", id) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestKilledPurger is the process that is killed: it makes, archives, restores and
// purges tenants forever.
func TestKilledPurger(t *testing.T) {
	env := strings.Split(os.Getenv(killedEnv), " ")
	if len(env) != 5 {
		return // run as a test of its own it has nothing to show
	}
	k := killKit(t, env[0], env[1], env[2], env[3])
	l := k.purgesWith(t, env[4])
	for i := 0; ; i++ {
		var batch []tenancy.ID // creation takes the longest, and has a test of its own
		for j := range 5 {
			if made, err := l.Ensure(context.Background(), &tenancy.Tenant{Slug: fmt.Sprintf("p%d-%d-%d", os.Getpid(), i, j)}); err == nil {
				batch = append(batch, made.ID)
			}
		}
		if i == 0 {
			fmt.Println("killme")
		}
		for _, id := range batch {
			ctx := because(t)
			_ = l.Archive(ctx, id)
			_ = l.Restore(ctx, id)
			_ = l.Archive(ctx, id)
			_ = l.PurgeNow(ctx, id)
		}
	}
}

// Processes are killed at any time while they end tenants. Another one goes on with each,
// and nothing is left of them; a tenant beside them stays as it is.
func TestKilledWhilePurging(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		home := s.Tenant(t, "catalog") // the catalog's database
		folder := t.TempDir()
		k := killKit(t, s.Name, s.DSN, home.Placement.Database, "")
		other := k.archived(t, "other")
		rounds := 5
		if testing.Short() {
			rounds = 3
		}
		if os.Getenv("TENANCY_SOAK") != "" {
			rounds = 60
		}
		seen := map[tenancy.Status]int{}
		gone := map[tenancy.ID]bool{}
		for range rounds {
			kill(t, "TestKilledPurger", strings.Join([]string{s.Name, s.DSN, home.Placement.Database, "", folder}, " "))
			// Another process, which knows what the catalog and the servers say.
			k = killKit(t, s.Name, s.DSN, home.Placement.Database, "")
			l := k.purgesWith(t, folder)
			tenants, err := k.cat.List(t.Context(), tenancy.Filter{Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			for _, tenant := range tenants {
				if tenant.ID == other.ID {
					continue
				}
				k.dropLater(t, tenant)
				seen[tenant.Status]++
				var err error
				status := tenant.Status
				if status == tenancy.StatusProvisioning {
					_, err = l.Resume(t.Context(), tenant.ID)
					status = tenancy.StatusActive
				}
				if err == nil && status != tenancy.StatusPurging {
					err = l.Archive(t.Context(), tenant.ID)
				}
				if err == nil {
					err = l.PurgeNow(because(t), tenant.ID)
				}
				if err != nil {
					t.Errorf("a tenant that was left %s: %v", tenant.Status, err)
				}
				k.wantNothing(t, tenant.ID)
				gone[tenant.ID] = true
			}
		}
		t.Logf("left by the killed: %v", seen)
		for id := range gone {
			for _, kind := range []string{"backup", "forgotten"} {
				if _, err := os.Stat(filepath.Join(folder, kind+"-"+string(id))); err != nil {
					t.Errorf("tenant %s was purged without %s: %v", id, kind, err)
				}
			}
		}
		// Of those that the killed purged to the end, nothing is left either.
		names, err := filepath.Glob(filepath.Join(folder, "forgotten-*"))
		if err != nil || len(names) == 0 {
			t.Errorf("got %d purged tenants, %v, want some", len(names), err)
		}
		for _, name := range names {
			k.wantNothing(t, tenancy.ID(strings.TrimPrefix(filepath.Base(name), "forgotten-")))
		}
		k.wantArchived(t, other.ID)
	})
}
