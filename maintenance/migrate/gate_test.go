package migrate_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func gate(t *testing.T, m *migrate.Migrator, opts migrate.GateOptions) *migrate.Gate {
	t.Helper()
	opts.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	g, err := migrate.NewGate(m, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// ask sends a request of the tenant through the gate.
func ask(t *testing.T, g *migrate.Gate, tenant *tenancy.Tenant) *httptest.ResponseRecorder {
	t.Helper()
	return askIn(t.Context(), g, tenant)
}

func askIn(ctx context.Context, g *migrate.Gate, tenant *tenancy.Tenant) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	if tenant != nil {
		r = r.WithContext(tenancy.NewContext(r.Context(), tenant))
	}
	w := httptest.NewRecorder()
	g.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })).ServeHTTP(w, r)
	return w
}

func TestGateRefuses(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		tenant := s.Tenant(t, "acme")
		m := migrator(t, pool, tables(3, 0))
		latest := gate(t, m, migrate.GateOptions{RetryAfter: time.Hour})
		second := gate(t, m, migrate.GateOptions{Required: 2, RetryAfter: time.Nanosecond})
		if w := ask(t, latest, nil); w.Code != http.StatusTeapot {
			t.Errorf("no tenant: got %d, want it served", w.Code)
		}
		if w := ask(t, latest, tenant); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "3600" {
			t.Errorf("an empty database: got %d, Retry-After %q, want 503 and an hour", w.Code, w.Header().Get("Retry-After"))
		}
		var old *migrate.OldSchemaError
		if err := latest.Admit(t.Context(), tenant); !errors.As(err, &old) || old.Pending != 3 || !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("got %v, want an OldSchemaError", err)
		}
		if _, err := m.UpTo(t.Context(), tenant, 2); err != nil {
			t.Fatal(err)
		}
		if w := ask(t, second, tenant); w.Code != http.StatusTeapot {
			t.Errorf("at the required version: got %d, want it served", w.Code)
		}
		if w := ask(t, gate(t, m, migrate.GateOptions{}), tenant); w.Code != http.StatusServiceUnavailable {
			t.Errorf("below the latest version: got %d, want 503", w.Code)
		}
		elsewhere := tenant.Clone()
		elsewhere.Placement.Server = "nowhere"
		if w := ask(t, second, elsewhere); w.Code != http.StatusServiceUnavailable {
			t.Errorf("a tenant that moved to a server that is not there: got %d, want 503", w.Code)
		}
	})
}

// Of many requests at many instances, one migrates and all are served; a request that
// gives up does not take the migration with it.
func TestGateMigrates(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		m := migrator(t, s.Pool(t, nil), tables(5, 0))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		first := gate(t, m, migrate.GateOptions{Migrate: true})
		if err := first.Admit(gone, tenant); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("a request that gave up: got %v", err)
		}
		var wg sync.WaitGroup
		for range 3 {
			g := gate(t, m, migrate.GateOptions{Migrate: true})
			for range 5 {
				wg.Go(func() {
					if w := ask(t, g, tenant); w.Code != http.StatusTeapot {
						t.Errorf("got %d, want it served", w.Code)
					}
				})
			}
		}
		wg.Wait()
		if err := first.Admit(t.Context(), tenant); err != nil {
			t.Errorf("after a request that gave up: %v", err)
		}
		if st, err := m.Status(t.Context(), tenant); err != nil || st.Version != 5 {
			t.Errorf("got %+v, %v, want version 5", st, err)
		}
	})
}

func TestGateOptionsRefused(t *testing.T) {
	t.Parallel()
	m := migrator(t, tenancytest.NewServer(t, "sqlite").Pool(t, nil), tables(1, 0))
	for name, opts := range map[string]*migrate.GateOptions{"version": {Required: -1}, "timeout": {Timeout: -1}, "retry": {RetryAfter: -1}} {
		if _, err := migrate.NewGate(m, opts); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := migrate.NewGate(nil, nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no migrator: got %v, want ErrInvalid", err)
	}
}

// A tenant that was made again under its ID and in a database of the same name is asked
// again.
func TestGateOfATenantMadeAgain(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		tenant := s.Tenant(t, "acme")
		m := migrator(t, pool, tables(1, 0))
		if err := m.Up(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
		g := gate(t, m, migrate.GateOptions{})
		if err := g.Admit(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
		gone := tenant.Clone()
		gone.Status = tenancy.StatusArchived
		if err := pool.Drop(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		again := tenant.Clone()
		again.CreatedAt = tenant.CreatedAt.Add(time.Hour)
		if err := pool.Create(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		var old *migrate.OldSchemaError
		if err := g.Admit(t.Context(), again); !errors.As(err, &old) {
			t.Errorf("got %v, want an OldSchemaError", err)
		}
	})
}

// A migration that fails is not tried again for each request.
func TestGateWhoseMigrationFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int64
		broken := migrate.GoMigration{Version: 9, Up: func(context.Context, *sql.Tx) error {
			tries.Add(1)
			return errors.New("the migration is broken")
		}}
		s := tenancytest.NewServer(t, "sqlite")
		m, err := migrate.New(s.Pool(t, nil), tables(1, 0), &migrate.Options{Go: []migrate.GoMigration{broken}})
		if err != nil {
			t.Fatal(err)
		}
		g := gate(t, m, migrate.GateOptions{Migrate: true, RetryAfter: time.Minute})
		tenant := s.Tenant(t, "acme")
		for range 3 {
			for range 3 {
				if err := g.Admit(t.Context(), tenant); err == nil || !strings.Contains(err.Error(), "is broken") {
					t.Errorf("got %v, want the migration's error", err)
				}
			}
			time.Sleep(time.Minute)
		}
		if n := tries.Load(); n != 3 {
			t.Errorf("got %d attempts, want one a minute", n)
		}
	})
}

// watchedPool counts who asks for tenants' databases.
type watchedPool struct {
	*dbpool.Pool
	asked atomic.Int64
}

func (p *watchedPool) For(ctx context.Context, t *tenancy.Tenant) (*sqlx.DB, error) {
	p.asked.Add(1)
	return p.Pool.For(ctx, t)
}

// A request that must not change anything does not migrate, and does not keep those that may from it.
func TestGateInReadOnlyMaintenance(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		pool := &watchedPool{Pool: s.Pool(t, nil)}
		m := migrator(t, pool, tables(2, 0))
		g := gate(t, m, migrate.GateOptions{Migrate: true, RetryAfter: time.Hour})
		reading := tenancy.WithReadOnly(t.Context())
		for range 2 {
			if w := askIn(reading, g, tenant); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "3600" {
				t.Errorf("read-only, and old: got %d, Retry-After %q, want 503 and an hour", w.Code, w.Header().Get("Retry-After"))
			}
		}
		var old *migrate.OldSchemaError
		if err := g.Admit(reading, tenant); !errors.As(err, &old) || old.Pending != 2 {
			t.Errorf("read-only, and old: got %v, want an OldSchemaError", err)
		}
		if n := pool.asked.Load(); n != 1 {
			t.Errorf("read-only, and old: got the database asked %d times for three requests, want once", n)
		}
		if w := ask(t, g, tenant); w.Code != http.StatusTeapot {
			t.Errorf("one that may write: got %d, want it migrated and served", w.Code)
		}
		for _, g := range []*migrate.Gate{g, gate(t, m, migrate.GateOptions{Migrate: true})} {
			if w := askIn(reading, g, tenant); w.Code != http.StatusTeapot {
				t.Errorf("read-only, and new enough: got %d, want it served", w.Code)
			}
		}
	})
}

// Whatever keeps a schema from being migrated, the client is to come back later, and the cause is there for the log.
func TestGateAnswersOfFailures(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	for name, cause := range map[string]error{
		"a statement that fails": errors.New("the migration is broken"),
		"half a migration":       &migrate.HalfError{Version: 1, File: "1_notes.sql", Statement: 2},
		"not found":              tenancy.ErrNotFound,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := s.Tenant(t, "acme")
			m, err := migrate.New(s.Pool(t, nil), tables(1, 0), &migrate.Options{Go: []migrate.GoMigration{{Version: 9, Up: func(context.Context, *sql.Tx) error { return cause }}}})
			if err != nil {
				t.Fatal(err)
			}
			g := gate(t, m, migrate.GateOptions{Migrate: true, RetryAfter: time.Hour})
			for range 2 { // the second is answered with what was kept
				if w := ask(t, g, tenant); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "3600" {
					t.Errorf("got %d, Retry-After %q, want 503 and an hour", w.Code, w.Header().Get("Retry-After"))
				}
				if err := g.Admit(t.Context(), tenant); !errors.Is(err, cause) || !errors.Is(err, tenancy.ErrUnavailable) {
					t.Errorf("got %v, want the cause and ErrUnavailable", err)
				}
			}
		})
	}
	broken := gate(t, migrator(t, unreadable{}, tables(1, 0)), migrate.GateOptions{RetryAfter: time.Hour})
	if w := ask(t, broken, s.Tenant(t, "other")); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "3600" {
		t.Errorf("a version that cannot be read: got %d, Retry-After %q, want 503 and an hour", w.Code, w.Header().Get("Retry-After"))
	}
}

// unreadable are databases that cannot be opened.
type unreadable struct{}

func (unreadable) For(context.Context, *tenancy.Tenant) (*sqlx.DB, error) {
	return nil, errors.New("no driver")
}
