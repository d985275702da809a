package audit

import (
	"context"

	"github.com/artflow-studio/tenancy"
)

// Seen reports whether something was done to the tenant that the trail still has an
// entry of. It tells a tenant of this catalog that is gone from one of another.
func (t *Trail) Seen(ctx context.Context, id tenancy.ID) (bool, error) {
	for _, err := range t.Entries(ctx, Filter{Tenant: id, Results: []tenancy.AuditResult{tenancy.AuditDone}, Limit: 1}) {
		return err == nil, wrap("audit.Trail.Seen", err)
	}
	return false, nil
}
