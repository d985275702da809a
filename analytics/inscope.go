package analytics

import (
	"context"
	"slices"

	"github.com/artflow-studio/tenancy"
)

// inScope returns the rows of tenants that are in the scope as their records are now. What a
// source knows of tags is as old as the keeper's last round, so tenants that lost a tag since
// would be in a scope of tags; other scopes do not depend on records. It asks
// [ReportsOptions.Catalog] once for 500 tenants, and believes the source if there is none.
func inScope[T any](ctx context.Context, r *Reports, scope tenancy.Scope, rows []T, of func(*T) tenancy.ID) ([]T, error) {
	if r.opts.Catalog == nil || len(scope.Tags()) == 0 || len(rows) == 0 {
		return rows, nil
	}
	ids := make([]tenancy.ID, 0, len(rows))
	for i := range rows {
		if id := of(&rows[i]); id.Validate() == nil { // others are in no catalog
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	included := map[tenancy.ID]bool{}
	for chunk := range slices.Chunk(slices.Compact(ids), 500) {
		found, err := r.opts.Catalog.List(ctx, tenancy.Filter{IDs: chunk, Limit: len(chunk)})
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			included[t.ID] = scope.Includes(t)
		}
	}
	out := make([]T, 0, len(rows))
	for i := range rows {
		if included[of(&rows[i])] {
			out = append(out, rows[i])
		}
	}
	return out, nil
}

func (a *Activity) tenant() tenancy.ID { return a.Tenant }

func (s *LoginSummary) tenant() tenancy.ID { return s.Tenant }

func (s *StatementRow) tenant() tenancy.ID { return s.Tenant }

func (t *LiveTenant) tenant() tenancy.ID { return t.ID }

func (row *TenantRow) tenant() tenancy.ID { return row.ID }
