package audit_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db, trail, cat := open(t, s)
		if _, err := cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme"}); err != nil {
			t.Fatal(err)
		}
		if err := trail.Check(t.Context()); err != nil {
			t.Errorf("an entry that was written now: got %v, want nil", err)
		}
		// One that counts what was refused is as old as its counting took.
		execute(t, db, `UPDATE tenancy_audit SET time = ?`, time.Now().Add(-90*time.Second).UnixMicro())
		if err := trail.Check(t.Context()); err != nil {
			t.Errorf("an entry that was counted for a minute: got %v, want nil", err)
		}
		// Nobody seals, and the entry is made to look old.
		old := time.Now().Add(-time.Hour).UnixMicro()
		if _, err := db.Exec(db.Rebind(`UPDATE tenancy_audit SET time = ?`), old); err != nil {
			t.Fatal(err)
		}
		if err := trail.Check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) || !strings.Contains(err.Error(), "1 entries are not sealed") {
			t.Errorf("an old entry: got %v, want ErrUnavailable that counts it", err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := trail.Check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("a closed database: got %v, want ErrUnavailable", err)
		}
	})
}
