package analytics_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Check says whether the store answers.
func TestCheck(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		store, err1 := analytics.NewSQL(db, patient(0))
		feed, err2 := analytics.NewSQLFeed(db, patient(0))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		checks := map[string]func(context.Context) error{"store": store.Check, "feed": feed.Check}
		for name, check := range checks {
			if err := check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
				t.Errorf("%s: without tables: got %v, want %v", name, err, tenancy.ErrUnavailable)
			}
		}
		if err := store.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		for name, check := range checks {
			if err := check(t.Context()); err != nil {
				t.Errorf("%s: got %v", name, err)
			}
			if err := check(ended); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: in a context that has ended: got %v, want %v", name, err, context.Canceled)
			}
		}
	})
}

func TestCheckOfRedis(t *testing.T) {
	t.Parallel()
	client, namespace := tenancytest.Redis(t)
	feed, err := analytics.NewRedisFeed(client, namespace, &analytics.RedisFeedOptions{Timeout: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := feed.Check(t.Context()); err != nil {
		t.Error(err)
	}
	hasty, err := analytics.NewRedisFeed(client, namespace, &analytics.RedisFeedOptions{Timeout: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := hasty.Check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, tenancy.ErrUnavailable)
	}
}

// Options that make no sense are refused, and those of the caller are not changed.
func TestOptions(t *testing.T) {
	t.Parallel()
	memory, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	client, namespace := tenancytest.Redis(t)
	cat := tenancytest.NewCatalog(t)
	for name, err := range map[string]error{
		"flush":         second(analytics.NewRecorder(memory, &analytics.Options{Flush: -1})),
		"write timeout": second(analytics.NewRecorder(memory, &analytics.Options{WriteTimeout: -1})),
		"own counts":    second(analytics.NewRecorder(memory, &analytics.Options{Counts: []string{"a", "a"}})),
		"no sink":       second(analytics.NewRecorder(nil, nil)),
		"interval":      second(analytics.NewKeeper(memory, cat, &analytics.KeeperOptions{Interval: -1})),
		"limits":        second(analytics.NewKeeper(memory, cat, &analytics.KeeperOptions{Limits: map[string]string{"in_flight": "x"}})),
		"no catalog":    second(analytics.NewKeeper(memory, nil, nil)),
		"span":          second(analytics.NewReports(memory, &analytics.ReportsOptions{Span: -1})),
		"top":           second(analytics.NewReports(memory, &analytics.ReportsOptions{Top: -1})),
		"live tenants":  second(analytics.NewReports(memory, &analytics.ReportsOptions{LiveTenants: -1})),
		"no source":     second(analytics.NewReports(nil, nil)),
		"rows":          second(analytics.NewMemory(&analytics.MemoryOptions{MaxRows: -1})),
		"activities":    second(analytics.NewMemory(&analytics.MemoryOptions{MaxActivities: -1})),
		"timeout":       second(analytics.NewSQL(db, &analytics.SQLOptions{Timeout: -1})),
		"no database":   second(analytics.NewSQL(nil, nil)),
		"Redis":         second(analytics.NewRedisFeed(client, namespace, &analytics.RedisFeedOptions{Timeout: -1})),
		"no namespace":  second(analytics.NewRedisFeed(client, "", nil)),
	} {
		if !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, tenancy.ErrInvalid)
		}
	}
	opts := &analytics.KeeperOptions{}
	if _, err := analytics.NewKeeper(memory, cat, opts); err != nil || opts.Interval != 0 || opts.Limits != nil {
		t.Errorf("got %+v, %v, want it as it was", opts, err)
	}
}

func second[T any](_ T, err error) error { return err }
