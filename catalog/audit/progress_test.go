package audit_test

import (
	"errors"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A verification says how far it is, from the beginning to the end, and ends when nobody listens any more.
func TestVerifyEach(t *testing.T) {
	t.Parallel()
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	trail, err := audit.New(db, nil)
	if err == nil {
		err = trail.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	const n = 4100 // three pages
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
	var seen []audit.Progress
	report, err := trail.VerifyEach(t.Context(), func(p audit.Progress) error { seen = append(seen, p); return nil })
	if err != nil || report.Fault != nil || report.Number != n {
		t.Fatalf("got %+v, %v, want %d entries, whole", report, err, n)
	}
	if len(seen) != 3 || seen[0] != (audit.Progress{Number: 0, Last: n}) || seen[1].Number != 2000 || seen[2].Number != 4000 {
		t.Errorf("got %+v, want the beginning of three pages", seen)
	}
	gone := errors.New("the client has gone")
	if _, err := trail.VerifyEach(t.Context(), func(audit.Progress) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
}
