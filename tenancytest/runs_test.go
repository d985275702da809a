package tenancytest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// RunTask shows what becomes of tenants, with a second attempt for those that failed.
func TestRunTask(t *testing.T) {
	t.Parallel()
	archived := tenancytest.NewTenant("gone")
	archived.Status = tenancy.StatusArchived
	task := tenancy.Task{
		Eligible: func(t *tenancy.Tenant) error {
			if t.Status == tenancy.StatusArchived {
				return errors.New("archived")
			}
			return nil
		},
		Validate: func(p tenancy.Params) error { return nil },
		Do: func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
			switch {
			case t.Slug == "globex" && a.Checkpoint == "":
				return errors.Join(a.SaveCheckpoint(ctx, "half"), errors.New("first"))
			case t.Slug == "initech":
				panic("always")
			}
			return nil
		},
	}
	got := tenancytest.RunTask(t, task, tenancy.Params{"x": "y"}, tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex"), tenancytest.NewTenant("initech"), archived)
	for slug, want := range map[string]struct {
		state   runs.TenantState
		attempt int
		text    string
	}{
		"acme": {runs.TenantDone, 1, ""}, "globex": {runs.TenantDone, 2, ""},
		"initech": {runs.TenantFailed, 2, "panic: always"}, "gone": {runs.TenantSkipped, 0, "archived"},
	} {
		if each := got[slug]; each.State != want.state || each.Attempt != want.attempt || each.Text != want.text {
			t.Errorf("%s: got %+v, want %+v", slug, each, want)
		}
	}
}
