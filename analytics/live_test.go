package analytics_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestFeedConforms(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		tenancytest.TestFeed(t, func(*testing.T) (analytics.Feed, analytics.Feed) {
			f := analytics.NewMemoryFeed()
			return f, f
		})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		tenancytest.TestFeed(t, func(t *testing.T) (analytics.Feed, analytics.Feed) {
			var ends [2]analytics.Feed
			client, namespace := tenancytest.Redis(t)
			for i := range ends {
				var err error
				if ends[i], err = analytics.NewRedisFeed(client, namespace, &analytics.RedisFeedOptions{Timeout: 10 * time.Minute}); err != nil {
					t.Fatal(err)
				}
			}
			return ends[0], ends[1]
		})
	})
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenancytest.TestFeed(t, func(t *testing.T) (analytics.Feed, analytics.Feed) {
			db := s.Database(t)
			migratedIn(t, db)
			var ends [2]analytics.Feed
			for i := range ends {
				end, err := analytics.NewSQLFeed(db, patient(0))
				if err != nil {
					t.Fatal(err)
				}
				ends[i] = end
			}
			return ends[0], ends[1]
		})
	})
}

func TestFeedsRefuse(t *testing.T) {
	t.Parallel()
	if _, err := analytics.NewSQLFeed(nil, nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no database: got %v", err)
	}
	if _, err := analytics.NewRedisFeed(nil, "n", nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no client: got %v", err)
	}
}

// liveService is some instances of a service, and somebody who watches them.
type liveService struct {
	feed      analytics.Feed
	store     *analytics.Memory
	reports   *analytics.Reports
	recorders []*analytics.Recorder
}

func newLiveService(t *testing.T, instances int) *liveService {
	t.Helper()
	store, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &liveService{feed: analytics.NewMemoryFeed(), store: store}
	if s.reports, err = analytics.NewReports(store, &analytics.ReportsOptions{Feed: s.feed}); err != nil {
		t.Fatal(err)
	}
	for i := range instances {
		s.recorders = append(s.recorders, newRecorder(t, store, &analytics.Options{Feed: s.feed, Instance: string(rune('a' + i))}))
	}
	return s
}

// serve answers ten requests a second of the tenant, each after 20 ms, until ctx ends.
func serve(ctx context.Context, rec *analytics.Recorder, tenant *tenancy.Tenant, status int) {
	h := rec.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(20 * time.Millisecond)
		w.WriteHeader(status)
		_, _ = w.Write(make([]byte, 100))
	}))
	for ctx.Err() == nil {
		r := httptest.NewRequestWithContext(tenancy.NewContext(ctx, tenant), "GET", "/", nil)
		h.ServeHTTP(httptest.NewRecorder(), r)
		time.Sleep(80 * time.Millisecond)
	}
}

// Whoever watches sees the rates of all instances within a second, those of the scope
// alone, and which instance is missing.
func TestLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLiveService(t, 2)
		acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
		acme.Tags, acme.Version, globex.Version = []string{"eu"}, 1, 1
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		dying, kill := context.WithCancel(ctx)
		go func() { _ = s.recorders[0].Run(ctx) }()
		go func() { _ = s.recorders[1].Run(dying) }()
		go func() { _ = s.reports.Run(ctx) }()
		go serve(ctx, s.recorders[0], acme, 200)
		go serve(ctx, s.recorders[1], acme, 500)
		go serve(ctx, s.recorders[0], globex, 200)
		time.Sleep(11 * time.Second) // the tenants were written
		if watched, err := s.feed.Watched(ctx); err != nil || watched {
			t.Errorf("nobody watches: got %v, %v", watched, err)
		}
		var l *analytics.Live
		var err error
		for range 10 {
			var after int64
			if l != nil {
				after = l.Sequence
			}
			if l, err = s.reports.Live(ctx, tenancy.AllTenants(), after); err != nil {
				t.Fatal(err)
			}
			if l.Sequence <= after || time.Since(l.At) > time.Second {
				t.Errorf("got snapshot %d behind %d of %v, want a new one", l.Sequence, after, l.At)
			}
			if l.Total["requests"].Value == 0 {
				t.Errorf("snapshot %d says that nobody asks, and nobody could know that yet", l.Sequence)
			}
		}
		near := func(what string, f *analytics.Figure, want float64) {
			t.Helper()
			if f == nil || f.Value < 0.9*want || f.Value > 1.1*want {
				t.Errorf("%s: got %+v, want %v", what, f, want)
			}
		}
		near("requests", l.Total["requests"], 30)
		near("errors", l.Total["errors"], 10)
		near("bytes", l.Total["bytes_out"], 3000)
		near("latency", l.Total[analytics.FigureLatencyMean], 20_000)
		if len(l.Tenants) != 2 || l.Tenants[0].ID != acme.ID || l.Tenants[0].Slug != "acme" || len(l.Instances) != 2 || l.Instances[1].Missing || l.Total["requests"].Partial {
			t.Errorf("got %+v, want acme before globex, on two instances", l)
		}
		near("acme", l.Tenants[0].Usage["requests"], 20)

		l, err = s.reports.Live(ctx, tenancy.ByTags("eu"), l.Sequence)
		if err != nil || len(l.Tenants) != 1 || l.Instances != nil || l.Application != nil {
			t.Fatalf("within a scope: got %+v, %v, want acme alone", l, err)
		}
		near("requests of the scope", l.Total["requests"], 20)

		kill()
		for began := time.Now(); time.Since(began) < 4*time.Second; {
			if l, err = s.reports.Live(ctx, tenancy.AllTenants(), l.Sequence); err != nil {
				t.Fatal(err)
			}
		}
		if !l.Instances[1].Missing || l.Instances[0].Missing || !l.Total["requests"].Partial {
			t.Errorf("after one is gone: got %+v, want it named, and the figures partial", l)
		}
		near("requests of the other", l.Total["requests"], 20)
		if now := s.reports.Instances(); len(now) != 2 || !now[1].Missing {
			t.Errorf("got the instances %+v, want those of the newest snapshot", now)
		}

		time.Sleep(20 * time.Second)
		if watched, err := s.feed.Watched(ctx); err != nil || watched {
			t.Errorf("nobody watches any more: got %v, %v", watched, err)
		}
		waiting, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		again, err := s.reports.Live(waiting, tenancy.AllTenants(), l.Sequence)
		if err != nil || again.Sequence <= l.Sequence || again.Total["requests"].Value == 0 || len(again.Instances) != 1 || again.Instances[0].Missing {
			t.Errorf("watching again: got %+v, %v, want a new one with rates, of the instance that is left", again, err)
		}
		cancel()
		if _, err := s.reports.Live(ctx, tenancy.AllTenants(), 1<<60); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that ended: got %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
	})
}

func TestLiveWithoutFeed(t *testing.T) {
	t.Parallel()
	store, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newReports(t, store).Live(t.Context(), tenancy.AllTenants(), 0); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("got %v, want %v", err, tenancy.ErrInvalid)
	}
}
