package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Who is slow to drop a database looks whose it is once nobody else drops it: it may be the next one of
// that name.
func TestDropLooksUnderTheLock(t *testing.T) {
	t.Parallel()
	engine := func(owner tenancy.ID) *Engine {
		t.Helper()
		e, err := New(t.TempDir())
		if err == nil {
			err = e.Create(t.Context(), "acme", owner)
		}
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	ctx := t.Context()
	e, next := engine("old"), engine("next")
	path := filepath.Join(e.dir, "acme"+extension)
	got := make(chan error, 1)
	err := e.in("acme", func(db *sql.DB) error {
		return sqlkit.Marking(ctx, db, sqlkit.SQLite, func(*sql.Conn) error {
			go func() { got <- e.Drop(ctx, "acme", "old") }()
			short, cancel := context.WithTimeout(ctx, 300*time.Millisecond) // where it does not wait, it is done by then
			defer cancel()
			<-short.Done()
			return errors.Join(removeAll(path, journals[:]), os.Remove(path), os.Rename(filepath.Join(next.dir, "acme"+extension), path))
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, tenancy.ErrForbidden) {
		t.Errorf("got %v, want ErrForbidden", err)
	}
	if err := e.Drop(ctx, "acme", "next"); err != nil {
		t.Errorf("the next one: %v", err)
	}
	if err := e.Drop(ctx, "acme", "next"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("once more: got %v, want ErrNotFound", err)
	}
	if left, err := os.ReadDir(e.dir); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v, want an empty folder", left, err)
	}
}

// Of many that drop one database at once one does, and no file is left.
func TestDropAtOnce(t *testing.T) {
	t.Parallel()
	e, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := e.Create(t.Context(), "acme", "acme"); err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 4)
		for range cap(errs) {
			go func() { errs <- e.Drop(t.Context(), "acme", "acme") }()
		}
		dropped := 0
		for range cap(errs) {
			switch err := <-errs; {
			case err == nil:
				dropped++
			case !errors.Is(err, tenancy.ErrNotFound):
				t.Errorf("got %v, want ErrNotFound", err)
			}
		}
		if dropped != 1 {
			t.Errorf("got %d that dropped it, want 1", dropped)
		}
		if left, err := os.ReadDir(e.dir); err != nil || len(left) != 0 {
			t.Errorf("got %v, %v, want an empty folder", left, err)
		}
	}
}
