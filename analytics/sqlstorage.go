package analytics

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// storageTable has the last size of each day.
const storageTable = "tenancy_usage_storage"

// writeStorage keeps the sizes as those of their days.
func (s *SQL) writeStorage(ctx context.Context, tx *sqlx.Tx, sizes []Size) error {
	of := map[tenancy.ID]Size{}
	ids := make([]tenancy.ID, 0, len(sizes))
	for _, size := range sizes {
		if size.Bytes >= 0 {
			of[size.Tenant] = size
			ids = append(ids, size.Tenant)
		}
	}
	var rows [][]any
	query := fmt.Sprintf(`SELECT tenant_key, id FROM tenancy_usage_tenants WHERE id IN (?) AND tenant_key > %d ORDER BY tenant_key`, lastOwnKey)
	err := in(ctx, s, tx, query, ids, func(r *sql.Rows) error {
		var key int64
		var id tenancy.ID
		err := r.Scan(&key, &id)
		rows = append(rows, []any{key, of[id].At.UTC().Truncate(day).UnixMicro(), of[id].Bytes})
		return err
	})
	if err != nil {
		return err
	}
	head, tail := s.upsert(storageTable, []string{"tenant_key", "bucket"}, []string{"bytes"})
	return s.insert(ctx, tx, head, tail, rows)
}

var _ StorageSource = (*SQL)(nil)

// Storage implements [StorageSource].
func (s *SQL) Storage(ctx context.Context, q *StorageQuery) ([]StorageRow, error) {
	c := scoped(q.Scope, q.Tenants)
	if c.none || c.err != nil {
		return nil, wrap("analytics.SQL.Storage", c.err)
	}
	c.and(`u.bucket >= ?`, q.Period.From.UTC().Truncate(day).UnixMicro())
	c.and(`u.bucket < ?`, q.Period.To.UnixMicro())
	id, group := `''`, `u.bucket`
	if q.ByTenant {
		id, group = `t.id`, `t.id, u.bucket`
	}
	var rows []StorageRow
	err := s.each(ctx, s.db, `SELECT `+id+`, u.bucket, SUM(u.bytes), COUNT(*) FROM `+storageTable+` u JOIN tenancy_usage_tenants t ON t.tenant_key = u.tenant_key
		WHERE `+c.String()+` GROUP BY `+group+` ORDER BY `+group, c.args, func(r *sql.Rows) error {
		var row StorageRow
		var at int64
		err := r.Scan(&row.Tenant, &at, (*orZero)(&row.Bytes), &row.Tenants)
		row.Day = fromMicros(at)
		rows = append(rows, row)
		return err
	})
	return rows, wrap("analytics.SQL.Storage", err)
}
