package admin_test

import (
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Over HTTP, a verification names the entry that somebody altered in the database.
func TestVerifyNamesTheRow(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := newConsole(t, s, nil)
		cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
		type report struct {
			Whole bool
			UpTo  int64 `json:"up_to"`
			Fault *struct {
				Kind   string
				Number int64
			}
		}
		var before, after report
		cl.do(t, "POST", "audit/verify", "").into(t, &before)
		if !before.Whole || before.UpTo < 3 || before.Fault != nil {
			t.Fatalf("got %+v, want it whole", before)
		}
		if _, err := c.db.Exec(`UPDATE tenancy_audit SET action = 'tenant.purge' WHERE number = 2`); err != nil {
			t.Fatal(err)
		}
		cl.do(t, "POST", "audit/verify", "").into(t, &after)
		if after.Whole || after.Fault == nil || after.Fault.Kind != "altered" || after.Fault.Number != 2 || after.UpTo != 1 {
			t.Errorf("got %+v, want entry 2 altered", after)
		}
	})
}
