package catalog_test

import (
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

// A record's status has the memory of the constant, whoever read it: a request that
// compares the two looks at neither.
func TestStatusIsTheConstant(t *testing.T) {
	t.Parallel()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	cat, err := catalog.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Status: tenancy.StatusActive}); err != nil {
		t.Fatal(err)
	}
	got, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	if unsafe.StringData(string(got.Status)) != unsafe.StringData(string(tenancy.StatusActive)) {
		t.Errorf("the status %q has memory of its own", got.Status)
	}
}
