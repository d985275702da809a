package audit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// cutting is a writer during whose first call the audit is cut.
type cutting struct {
	t     *testing.T
	trail *audit.Trail
	err   error
	done  bool
}

func (w *cutting) Write(p []byte) (int, error) {
	if !w.done {
		w.done = true
		_, w.err = w.trail.Cut(w.t.Context(), time.Now().Add(time.Hour))
	}
	return len(p), nil
}

// An export that lacks what was removed meanwhile says so.
func TestExportWhileItIsCut(t *testing.T) {
	t.Parallel()
	db, trail, _ := signed(t, tenancytest.NewServer(t, "sqlite"), audit.Options{})
	for _, n := range []int{3000, 100} { // a page and a half, the end of which is not removed
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := trail.Audit(t.Context(), tx, tenancy.NewEntry(t.Context(), "tenant.status", "acme")); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if n == 3000 {
			if err := trail.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := &cutting{t: t, trail: trail}
	err := trail.Export(t.Context(), w)
	if w.err != nil {
		t.Fatal(w.err)
	}
	if !errors.Is(err, tenancy.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	if err := trail.Export(t.Context(), w); err != nil {
		t.Errorf("again: got %v, want nil", err)
	}
}
