package analytics_test

import (
	"errors"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// SQLite calls tables without regard to case.
func TestCreateViewsBesideATableOfAnotherCase(t *testing.T) {
	t.Parallel()
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	store := migratedIn(t, db)
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE Tenant_Usage_Logs (id INT)`); err != nil {
		t.Fatal(err)
	}
	if err := store.CreateViews(t.Context()); !errors.Is(err, tenancy.ErrExists) {
		t.Errorf("got %v, want %v", err, tenancy.ErrExists)
	}
}
