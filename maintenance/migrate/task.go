package migrate

import (
	"context"
	"fmt"

	"github.com/artflow-studio/tenancy"
)

// Task returns the task that brings a tenant's schema up to date, for a run over many
// tenants. It takes no parameters. Tenants that are being provisioned, whose
// provisioner migrates them, and those that are archived cannot take part.
func (m *Migrator) Task() tenancy.Task {
	return tenancy.Task{
		Do:       func(ctx context.Context, t *tenancy.Tenant, _ tenancy.Attempt) error { return m.Up(ctx, t) },
		Eligible: eligible,
	}
}

func eligible(t *tenancy.Tenant) error {
	if t.Status == tenancy.StatusProvisioning || t.Status == tenancy.StatusArchived {
		return fmt.Errorf("the tenant is %s", t.Status)
	}
	return nil
}
