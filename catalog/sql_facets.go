package catalog

import (
	"context"

	"github.com/artflow-studio/tenancy"
)

var _ FacetStore = (*sqlStore)(nil)

// selected returns the conditions of a filter, ready behind a FROM.
func selected(f *tenancy.Filter) (where string, args []any) {
	var parts []string
	for _, c := range conditionsOf(f) {
		parts, args = append(parts, c.plain()), append(args, c.args...)
	}
	return and(parts), args
}

// Count counts with one statement.
func (s *sqlStore) Count(ctx context.Context, f tenancy.Filter) (n int64, err error) {
	where, args := selected(&f)
	err = s.db.GetContext(ctx, &n, s.dialect.Rebind(`SELECT COUNT(*) FROM tenancy_tenants`+where), args...)
	return n, err
}

// Facets counts with two statements, which need not see the same moment.
func (s *sqlStore) Facets(ctx context.Context, f tenancy.Filter) (*Facets, error) {
	where, args := selected(&f)
	var groups []struct {
		Status tenancy.Status `db:"status"`
		Plan   string         `db:"plan"`
		Server string         `db:"server"`
		N      int64          `db:"n"`
	}
	if err := s.db.SelectContext(ctx, &groups, s.dialect.Rebind(
		`SELECT status, plan, server, COUNT(*) AS n FROM tenancy_tenants`+where+` GROUP BY status, plan, server`), args...); err != nil {
		return nil, err
	}
	out := newFacets()
	for _, g := range groups {
		out.Total += g.N
		out.Status[g.Status] += g.N
		if g.Plan != "" {
			out.Plan[g.Plan] += g.N
		}
		if g.Server != "" {
			out.Server[g.Server] += g.N
		}
	}
	var tags []struct {
		Tag string `db:"tag"`
		N   int64  `db:"n"`
	}
	if err := s.db.SelectContext(ctx, &tags, s.dialect.Rebind(`SELECT tag, COUNT(*) AS n FROM tenancy_tags
		WHERE tenant_id IN (SELECT id FROM tenancy_tenants`+where+`) GROUP BY tag ORDER BY n DESC, tag LIMIT ?`), append(args, maxTagFacets)...); err != nil {
		return nil, err
	}
	for _, t := range tags {
		out.Tags[t.Tag] = t.N
	}
	return out, nil
}
