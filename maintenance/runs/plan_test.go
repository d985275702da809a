package runs_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A plan that is made slowly grows all the same, or others would take whoever makes it for dead.
func TestSlowPlan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tenancytest.NewServer(t, "sqlite"), 504) // the plan is written 500 at a time
		var written []int
		r := b.with(&runs.Options{Tasks: runs.Tasks{"work": {Do: nothing, Eligible: func(t *tenancy.Tenant) error {
			if t.ID < "id-0500" {
				return nil
			}
			var n int
			err := b.db.Get(&n, `SELECT COUNT(*) FROM tenancy_run_tenants`)
			written = append(written, n)
			time.Sleep(40 * time.Second)
			return err
		}}}})
		if _, err := r.Plan(t.Context(), "work", runs.Spec{}); err != nil {
			t.Fatal(err)
		}
		if len(written) != 4 || written[0] != 500 || written[3] != 503 {
			t.Errorf("got %d tenants written, want one more each 40 seconds", written)
		}
	})
}
