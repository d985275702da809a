package analytics_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// crowded is a catalog over a pool that has no connection for it.
type crowded struct{}

func (crowded) List(context.Context, tenancy.Filter) ([]*tenancy.Tenant, error) {
	return nil, fmt.Errorf("%w: no connection is free", tenancy.ErrLimited)
}

// That something has no connection for the keeper does not look as if another instance kept the store: it is logged.
func TestKeeperWithoutAConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		keeper, err := analytics.NewKeeper(store, crowded{}, &analytics.KeeperOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := keeper.Keep(t.Context()); err == nil || errors.Is(err, tenancy.ErrLimited) || !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("got %v, want %v", err, tenancy.ErrUnavailable)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := keeper.Run(ctx); err != nil || !strings.Contains(log.String(), "no connection is free") {
			t.Errorf("got %v and the log %q", err, log.String())
		}
	})
}

// The same goes for the database of the store.
func TestHoldWithoutAConnection(t *testing.T) {
	t.Parallel()
	store, err := analytics.NewSQL(testserver.Crowded(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = store.Hold(t.Context(), func(context.Context, analytics.Upkeep) error { t.Error("it runs"); return nil })
	if errors.Is(err, tenancy.ErrLimited) || !errors.Is(err, tenancy.ErrUnavailable) || !strings.Contains(err.Error(), "no connection is free") {
		t.Errorf("got %v, want %v", err, tenancy.ErrUnavailable)
	}
}

// What cannot be rolled up or removed does not keep other things from it.
func TestKeeperGoesOn(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		store, err := analytics.NewSQL(db, patient(1))
		if err == nil {
			err = store.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme, globex}})
		if err != nil {
			t.Fatal(err)
		}
		for _, ago := range []time.Duration{time.Hour, 2 * time.Minute} {
			write(t, store, usageOf(acme.ID, now.Truncate(time.Minute).Add(-ago), 7, 0, time.Second))
		}
		old := now.Add(-401 * day)
		_, err = store.Write(t.Context(), &analytics.Batch{
			Patterns:   []analytics.PatternPart{{Tenant: acme.ID, Start: old, Source: 1, Pattern: "GET /", Revision: 1, Requests: 1}},
			Activities: []analytics.Activity{{Key: "old", Tenant: acme.ID, Type: "x", CreatedAt: old, Times: 1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		refuse(t, db, "INSERT", "tenancy_usage_1h", "NEW.requests > 0")
		refuse(t, db, "DELETE", "tenancy_usage_patterns", "OLD.bucket > 0")
		keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, acme, globex), nil)
		if err != nil {
			t.Fatal(err)
		}
		err = keeper.Keep(t.Context())
		for _, want := range []string{"tenancy_usage_1h", "tenancy_usage_patterns"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s in it", err, want)
			}
		}
		if state, err := store.State(t.Context()); err != nil || state.Sums[time.Hour].To.IsZero() {
			t.Errorf("got the sums %v, %v, want those of the last hour, which is made of minutes", state.Sums, err)
		}
		var left int
		if err := db.GetContext(t.Context(), &left, `SELECT COUNT(*) FROM tenancy_activities`); err != nil || left != 0 {
			t.Errorf("got %d old activities, %v, want none", left, err)
		}
	})
}
