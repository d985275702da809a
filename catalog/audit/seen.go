package audit

import (
	"context"

	"github.com/artflow-studio/tenancy"
)

// Seen reports whether the trail has an entry about the tenant. It tells a tenant of this catalog that no
// longer exists from a tenant of another catalog.
func (t *Trail) Seen(ctx context.Context, id tenancy.ID) (bool, error) {
	for _, err := range t.Entries(ctx, Filter{Tenant: id, Results: []tenancy.AuditResult{tenancy.AuditDone}, Limit: 1}) {
		return err == nil, wrap("audit.Trail.Seen", err)
	}
	return false, nil
}
