package runs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// tagsText is a tenant's tags as tenancy_run_tenants keeps them.
func tagsText(t *tenancy.Tenant) string {
	if len(t.Tags) == 0 {
		return ""
	}
	return " " + strings.Join(t.Tags, " ") + " "
}

// keptTags are the tags of a tenant that some runs keep.
type keptTags struct {
	tenant tenancy.ID
	tags   string
}

// retag replaces the tags that runs keep of tenants in the scope by those in the catalog, and
// reports whether any differed. Tenants that are gone keep theirs.
func (r *Runner) retag(ctx context.Context, ids ...string) (changed bool, err error) {
	if len(r.scope.Tags()) == 0 || len(ids) == 0 {
		return false, nil
	}
	for _, id := range ids {
		if !isID(id) {
			return false, fmt.Errorf("%w: run %.40q", tenancy.ErrNotFound, id)
		}
	}
	in, args := r.inScope()
	query, runs, err := sqlx.In(`SELECT tenant_id, tags FROM tenancy_run_tenants WHERE run_id IN (?) AND `, ids)
	if err != nil {
		return false, err
	}
	rows, err := r.db.QueryContext(ctx, r.query(query+in), append(runs, args...)...)
	if err != nil {
		return false, err
	}
	defer func() { _ = rows.Close() }()
	seen := map[keptTags]bool{} // not DISTINCT, for which MariaDB writes a table to its disk
	for rows.Next() {
		var row keptTags
		if err := rows.Scan(&row.tenant, &row.tags); err != nil {
			return false, err
		}
		seen[row] = true
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	for batch := range slices.Chunk(slices.Collect(maps.Keys(seen)), maxPage) {
		other, err := r.retagSome(ctx, ids, batch)
		if changed = changed || other; err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// retagSome is retag for some of the tenants, with the tags that the runs keep.
func (r *Runner) retagSome(ctx context.Context, ids []string, kept []keptTags) (changed bool, err error) {
	tenants := make([]tenancy.ID, len(kept))
	for i, row := range kept {
		tenants[i] = row.tenant
	}
	slices.Sort(tenants)
	tenants = slices.Compact(tenants)
	page, err := r.catalog.List(ctx, tenancy.Filter{IDs: tenants, Limit: len(tenants)})
	if err != nil {
		return false, err
	}
	present := make(map[tenancy.ID]string, len(page))
	for _, t := range page {
		present[t.ID] = tagsText(t)
	}
	byTags := map[string][]tenancy.ID{}
	for _, row := range kept {
		if tags, is := present[row.tenant]; is && tags != row.tags {
			byTags[tags] = append(byTags[tags], row.tenant)
		}
	}
	for tags, tenants := range byTags {
		query, args, err := sqlx.In(`UPDATE tenancy_run_tenants SET tags = ? WHERE run_id IN (?) AND tenant_id IN (?)`, tags, ids, tenants)
		if err != nil {
			return false, err
		}
		err = sqlkit.Write(ctx, r.db, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := r.exec(ctx, tx, query, args...)
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return len(byTags) > 0, nil
}
