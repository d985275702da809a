package analytics

import (
	"cmp"
	"context"
	"database/sql"
	"log/slog"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

const patternsTable = "tenancy_usage_patterns"

// writePatterns writes those that are newer than what is there.
func (s *SQL) writePatterns(ctx context.Context, tx *sqlx.Tx, parts []PatternPart, keys map[tenancy.ID]int64) error {
	rows := make([][]any, 0, len(parts))
	for i := range parts {
		p := &parts[i]
		rows = append(rows, []any{keys[p.Tenant], p.Start.UnixMicro(), p.Source, p.Pattern, p.Revision, p.Requests, p.Errors, p.Latency.pack()})
	}
	slices.SortFunc(rows, func(a, b []any) int {
		return cmp.Or(cmp.Compare(a[0].(int64), b[0].(int64)), cmp.Compare(a[1].(int64), b[1].(int64)), cmp.Compare(a[2].(int64), b[2].(int64)), cmp.Compare(a[3].(string), b[3].(string)))
	})
	head, tail := s.upsert(patternsTable, []string{"tenant_key", "bucket", "source", "pattern"}, []string{"revision", "requests", "errors", "latency"}, "revision")
	return s.insert(ctx, tx, head, tail, rows)
}

var _ PatternSource = (*SQL)(nil)

// Patterns implements [PatternSource].
func (s *SQL) Patterns(ctx context.Context, q *PatternsQuery) ([]PatternRow, error) {
	c := scoped(q.Scope, q.Tenants)
	if c.none || c.err != nil {
		return nil, wrap("analytics.SQL.Patterns", c.err)
	}
	found := map[string]*PatternRow{}
	err := s.each(ctx, s.db, `SELECT u.pattern, u.requests, u.errors, u.latency FROM `+patternsTable+` u JOIN tenancy_usage_tenants t ON t.tenant_key = u.tenant_key
		WHERE `+c.String()+` AND u.bucket >= ? AND u.bucket < ?`, append(c.args, q.Period.From.UnixMicro(), q.Period.To.UnixMicro()), func(r *sql.Rows) error {
		var pattern string
		var requests, errors int64
		var latency []byte
		if err := r.Scan(&pattern, &requests, &errors, &latency); err != nil {
			return err
		}
		row := found[pattern]
		if row == nil {
			row = &PatternRow{Pattern: pattern}
			found[pattern] = row
		}
		row.Requests, row.Errors = add(row.Requests, requests), add(row.Errors, errors)
		if err := row.Latency.unpack(latency); err != nil {
			s.opts.Logger.Error("analytics: a row of usage has a part that cannot be read; it is left out", slog.Any("error", err))
		}
		return nil
	})
	rows := make([]PatternRow, 0, len(found))
	for _, row := range found {
		rows = append(rows, *row)
	}
	return rows, wrap("analytics.SQL.Patterns", err)
}
