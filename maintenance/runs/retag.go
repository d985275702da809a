package runs

import (
	"context"
	"fmt"
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

// retag gives the tenants of runs that are in the scope by the tags that the runs keep those
// that they have in the catalog now, and reports whether some had others. Tenants that are
// gone keep theirs. present has the tags that were read before, and gets those that are read.
func (r *Runner) retag(ctx context.Context, present map[tenancy.ID]string, ids ...string) (changed bool, err error) {
	if len(r.scope.Tags()) == 0 {
		return false, nil
	}
	for _, id := range ids {
		if !isID(id) {
			return changed, fmt.Errorf("%w: run %.40q", tenancy.ErrNotFound, id)
		}
		for more, after := true, int64(0); more; {
			var rows []itemRow
			in, args := r.inScope()
			args = append([]any{id}, args...)
			if after != 0 {
				in, args = in+` AND seq > ?`, append(args, after)
			}
			err := r.selects(ctx, r.db, &rows, `SELECT seq, tenant_id, tags FROM tenancy_run_tenants WHERE run_id = ? AND `+in+` ORDER BY seq LIMIT ?`, append(args, maxPage)...)
			if err != nil {
				return changed, err
			}
			if more = len(rows) == maxPage; more {
				after = rows[len(rows)-1].Seq
			}
			other, err := r.retagRows(ctx, present, id, rows)
			if changed = changed || other; err != nil {
				return changed, err
			}
		}
	}
	return changed, nil
}

func (r *Runner) retagRows(ctx context.Context, present map[tenancy.ID]string, id string, rows []itemRow) (changed bool, err error) {
	var unread []tenancy.ID
	for _, row := range rows {
		if _, read := present[row.Tenant]; !read {
			unread = append(unread, row.Tenant)
		}
	}
	if len(unread) > 0 {
		page, err := r.catalog.List(ctx, tenancy.Filter{IDs: unread, Limit: len(unread)})
		if err != nil {
			return false, err
		}
		for _, t := range page {
			present[t.ID] = tagsText(t)
		}
	}
	byTags := map[string][]int64{}
	for _, row := range rows {
		if tags, is := present[row.Tenant]; is && tags != row.Tags {
			byTags[tags] = append(byTags[tags], row.Seq)
		}
	}
	for tags, numbers := range byTags {
		query, args, err := sqlx.In(`UPDATE tenancy_run_tenants SET tags = ? WHERE run_id = ? AND seq IN (?)`, tags, id, numbers)
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
