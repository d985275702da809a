package analytics

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// CreateViews makes, or makes again, two views for other programs to read: tenant_usage_logs
// with a row for each tenant, hour and metric (memory, cpu, storage, requests), and
// tenant_activities. Their times are UTC, whatever the connection's zone is. A table of one
// of these names is an error that wraps [tenancy.ErrExists], and stays.
func (s *SQL) CreateViews(ctx context.Context) error {
	err := s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		for _, view := range []struct{ name, query string }{{"tenant_usage_logs", s.usageView()}, {"tenant_activities", s.activitiesView()}} {
			if err := s.dropView(ctx, tx, view.name); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `CREATE VIEW `+view.name+` AS `+view.query); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, tenancy.ErrExists) {
		return tenancy.Wrap("analytics.SQL.CreateViews", "", err)
	}
	return wrap("analytics.SQL.CreateViews", err)
}

// dropView removes the view of that name, if there is one.
func (s *SQL) dropView(ctx context.Context, tx *sqlx.Tx, name string) error {
	var kind string
	err := sqlx.GetContext(ctx, tx, &kind, s.dialect.Rebind(map[sqlkit.Dialect]string{
		sqlkit.Postgres: `SELECT CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END FROM pg_class WHERE oid = to_regclass(?)`,
		sqlkit.MySQL:    `SELECT CASE TABLE_TYPE WHEN 'VIEW' THEN 'view' ELSE 'table' END FROM information_schema.TABLES WHERE TABLE_SCHEMA = CAST(DATABASE() AS BINARY) AND TABLE_NAME = CAST(? AS BINARY)`,
		sqlkit.SQLite:   `SELECT type FROM sqlite_master WHERE name = ? COLLATE NOCASE`,
	}[s.dialect]), name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case kind != "view":
		return fmt.Errorf("%w: a table is called %s", tenancy.ErrExists, name)
	}
	_, err = tx.ExecContext(ctx, `DROP VIEW `+name)
	return err
}

// utc returns the expression for the time of microseconds since 1970.
func (s *SQL) utc(micros string) string {
	return fmt.Sprintf(map[sqlkit.Dialect]string{
		sqlkit.Postgres: `(TIMESTAMP '1970-01-01 00:00:00' + %s * INTERVAL '1 microsecond')`,
		sqlkit.MySQL:    `TIMESTAMPADD(MICROSECOND, %s, '1970-01-01 00:00:00')`,
		sqlkit.SQLite:   `strftime('%%Y-%%m-%%d %%H:%%M:%%f', %s / 1000000.0, 'unixepoch')`,
	}[s.dialect], micros)
}

// number returns the expression as a decimal that is wide enough.
func (s *SQL) number(expression string) string {
	if s.dialect == sqlkit.SQLite {
		return expression
	}
	return `CAST(` + expression + ` AS DECIMAL(30,2))`
}

// usageView returns the query of tenant_usage_logs. Its ids are made of the tenant's key,
// the hour and the metric.
func (s *SQL) usageView() string {
	const hour = 3_600_000_000
	hours := fmt.Sprintf(`(u.bucket - u.bucket %% %d) / %d`, int64(hour), int64(hour))
	if s.dialect == sqlkit.MySQL {
		hours = fmt.Sprintf(`u.bucket DIV %d`, int64(hour))
	}
	var all []string
	for i, m := range []struct{ metric, column, unit string }{
		{"memory", "memory_bytes", UnitBytes}, {"cpu", "cpu_time", UnitMicroseconds}, {"requests", "requests", UnitCount},
	} {
		all = append(all, fmt.Sprintf(`SELECT (u.tenant_key * 2097152 + %s) * 4 + %d AS id, t.id AS tenant_id, '%s' AS metric_type, %s AS value, '%s' AS unit, %s AS recorded_at
			FROM tenancy_usage_1h u JOIN tenancy_usage_tenants t ON t.tenant_key = u.tenant_key WHERE u.%s IS NOT NULL AND t.tenant_key > %d`,
			hours, i, m.metric, s.number(`u.`+m.column), m.unit, s.utc(`u.bucket`), m.column, lastOwnKey))
	}
	all = append(all, fmt.Sprintf(`SELECT t.tenant_key * 2097152 * 4 + 3 AS id, t.id AS tenant_id, 'storage' AS metric_type, %s AS value, '%s' AS unit, %s AS recorded_at
		FROM tenancy_usage_tenants t WHERE t.storage IS NOT NULL`, s.number(`t.storage`), UnitBytes, s.utc(`t.sized_at`)))
	return strings.Join(all, ` UNION ALL `)
}

func (s *SQL) activitiesView() string {
	return `SELECT a.id AS id, t.id AS tenant_id, a.activity_type AS activity_type, a.description AS description, a.user_agent AS user_agent, a.address AS ip_address, ` +
		s.utc(`a.created_at`) + fmt.Sprintf(` AS created_at FROM tenancy_activities a JOIN tenancy_usage_tenants t ON t.tenant_key = a.tenant_key WHERE t.tenant_key > %d`, lastOwnKey)
}
