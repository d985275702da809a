package migrate_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// failures are the statements that an observer of the pool saw, and the errors of those that failed.
type failures struct {
	mu         sync.Mutex // guards what follows
	statements int
	errs       []error
}

func (f *failures) ObserveWait(context.Context, tenancy.ID, time.Duration, error) {}
func (f *failures) ObserveRelease(tenancy.ID, time.Duration)                      {}
func (f *failures) ObserveStatement(_ context.Context, _ tenancy.ID, _ time.Duration, _ bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.statements++; err != nil {
		f.errs = append(f.errs, err)
	}
}

// seen returns what was seen since the last call.
func (f *failures) seen() (statements int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	statements, err = f.statements, errors.Join(f.errs...)
	f.statements, f.errs = 0, nil
	return statements, err
}

// A migration that succeeds, also the first one, has no statement that counts as failed; one that fails has.
func TestObservedFailures(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		seen := &failures{}
		pool := s.Pool(t, &dbpool.Options{Observer: seen})
		files := fstest.MapFS{"00001_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (x INTEGER);")}}
		m := tenancy.Must(migrate.New(pool, files, nil))
		acme := s.Tenant(t, "acme")
		if _, err := m.Status(t.Context(), acme); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := m.Up(t.Context(), acme); err != nil {
				t.Fatal(err)
			}
			if n, err := seen.seen(); n == 0 || err != nil {
				t.Errorf("got %d statements, and failed: %v; want none that failed", n, err)
			}
		}
		files["00002_b.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nDROP TABLE nothing;")}
		m = tenancy.Must(migrate.New(pool, files, nil))
		if err := m.Up(t.Context(), acme); err == nil {
			t.Fatal("got no error of the second migration")
		}
		if _, err := seen.seen(); err == nil {
			t.Error("got no statement that failed, want that of the second migration")
		}
	})
}
