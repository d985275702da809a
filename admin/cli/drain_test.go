package cli_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/cli"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Where instances do not tell each other, the command waits long enough unless it is told otherwise, also for more tenants than it drains at a
// time.
func TestDrainSettles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cat := tenancy.Must(catalog.NewWithStore(tenancytest.NewStore(), nil))
		gate := tenancy.Must(maintenance.NewGate(cat, nil))
		const tenants = 40
		for i := range tenants {
			tenant, err := cat.Create(t.Context(), tenancytest.NewTenant(fmt.Sprintf("t-%02d", i)))
			if err == nil {
				err = gate.Tenant(tenant.ID).Begin(t.Context(), tenancy.Maintenance{})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		l := &line{t: t, app: &cli.App{Catalog: cat, Gate: gate}}
		if code, out, errs := l.call("", "maintenance", "drain", "--all"); code != 0 || strings.Count(out, "Drained") != tenants {
			t.Errorf("got %d %s%s, want all drained", code, out, errs)
		}
		if code, out, errs := l.call("", "maintenance", "drain", "t-00", "--timeout", "59s"); code != 1 || !strings.Contains(errs, "deadline exceeded") {
			t.Errorf("less than the settling takes: got %d %s%s, want it to end", code, out, errs)
		}
	})
}
