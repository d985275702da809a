package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/audited"
)

// Kinds of what dangles: see [Catalog.Dangling].
const (
	DanglingDomain = "domain"
	DanglingTag    = "tag"
	DanglingKeyUse = "key use"
)

// DanglingStore is the optional ability of a [Store] to find rows whose tenant or key no longer exists.
type DanglingStore interface {
	// Dangling calls fn for each such row, and returns its error.
	Dangling(ctx context.Context, fn func(kind string, tenant tenancy.ID, name string) error) error
	// RemoveDangling removes such a row, if it still is one.
	RemoveDangling(ctx context.Context, kind string, tenant tenancy.ID, name string) error
}

// useAge is the age of a key use before it counts as dangling: a new key may be used before its record is read.
const useAge = time.Minute

// Dangling calls fn for each name and each key use in the store whose tenant or key no longer exists. The
// library leaves no such rows; changing the tables by hand, or restoring some of them, may. Without the ability
// [DanglingStore] it finds none. It stops at the first error of fn, and returns it.
func (c *Catalog) Dangling(ctx context.Context, fn func(kind string, tenant tenancy.ID, name string) error) error {
	if s, ok := c.store.(DanglingStore); ok {
		return wrap("catalog.Catalog.Dangling", "", s.Dangling(ctx, fn))
	}
	return nil
}

// RemoveDangling removes a row that [Catalog.Dangling] found, unless its tenant and key exist by now. The entry
// "tenant.remove_dangling" of [Options.Audit] is written before. [Options.RequireActor] holds here, too.
func (c *Catalog) RemoveDangling(ctx context.Context, kind string, tenant tenancy.ID, name string) error {
	const op = "catalog.Catalog.RemoveDangling"
	s, ok := c.store.(DanglingStore)
	if !ok {
		return nil
	}
	if err := c.permit(ctx); err != nil {
		return wrap(op, tenant, err)
	}
	w := audited.Work{Audit: c.auditor, Action: "tenant.remove_dangling", Tenant: tenant, Object: kind + " " + name}
	return wrap(op, tenant, w.Do(ctx, func() error { return s.RemoveDangling(ctx, kind, tenant, name) }))
}

// danglingTables are the tables of names, by kind.
func danglingTables() map[string]nameTable {
	out := map[string]nameTable{}
	for _, table := range nameTables() {
		switch table.column {
		case "domain":
			out[DanglingDomain] = table
		case "tag":
			out[DanglingTag] = table
		}
	}
	return out
}

const noTenant = `NOT EXISTS (SELECT 1 FROM tenancy_tenants t WHERE t.id = tenant_id)`

// danglingRow is what was found of one row.
type danglingRow struct {
	Kind   string
	Tenant tenancy.ID
	Name   string
}

// Dangling reads names and uses of keys.
func (s *sqlStore) Dangling(ctx context.Context, fn func(kind string, tenant tenancy.ID, name string) error) error {
	for kind, table := range danglingTables() {
		var found []danglingRow
		err := s.db.SelectContext(ctx, &found, `SELECT tenant_id AS tenant, `+table.column+` AS name FROM `+table.table+` WHERE `+noTenant)
		if err != nil {
			return err
		}
		for _, row := range found {
			if err := fn(kind, row.Tenant, row.Name); err != nil {
				return err
			}
		}
	}
	found, err := s.danglingUses(ctx, `u.used_at < ?`, time.Now().Add(-useAge).UnixMicro())
	if err != nil {
		return err
	}
	for _, row := range found {
		if err := fn(row.Kind, row.Tenant, row.Name); err != nil {
			return err
		}
	}
	return nil
}

// danglingUses returns the uses whose tenant or key is gone. Only these are kept: those of
// keys that exist are many.
func (s *sqlStore) danglingUses(ctx context.Context, where string, args ...any) (found []danglingRow, err error) {
	rows, err := s.db.QueryContext(ctx, s.dialect.Rebind(`SELECT u.tenant_id, u.key_id, t.guards FROM tenancy_key_uses u
		LEFT JOIN tenancy_tenants t ON t.id = u.tenant_id WHERE `+where+` ORDER BY u.tenant_id`), args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, rows.Close()) }()
	var guards tenancy.Access
	of, known := tenancy.ID(""), ""
	for rows.Next() {
		row := danglingRow{Kind: DanglingKeyUse}
		var text sql.NullString
		if err := rows.Scan(&row.Tenant, &row.Name, &text); err != nil {
			return nil, err
		}
		if of != row.Tenant || known != text.String {
			guards = tenancy.Access{}
			if text.String != "" {
				if err := json.Unmarshal([]byte(text.String), &guards); err != nil {
					return nil, err
				}
			}
			of, known = row.Tenant, text.String
		}
		if guards.Key(row.Name) == nil {
			found = append(found, row)
		}
	}
	return found, rows.Err()
}

// RemoveDangling removes one row.
func (s *sqlStore) RemoveDangling(ctx context.Context, kind string, tenant tenancy.ID, name string) error {
	if kind == DanglingKeyUse {
		found, err := s.danglingUses(ctx, `u.tenant_id = ? AND u.key_id = ?`, tenant, name)
		if err != nil || len(found) == 0 {
			return err
		}
		return s.ForgetUses(ctx, tenant, []string{name})
	}
	table, ok := danglingTables()[kind]
	if !ok {
		return fmt.Errorf("%w: nothing dangles that is called %.40q", tenancy.ErrInvalid, kind)
	}
	_, err := s.db.ExecContext(ctx, s.dialect.Rebind(`DELETE FROM `+table.table+` WHERE `+table.column+` = ? AND tenant_id = ?
		AND NOT EXISTS (SELECT 1 FROM tenancy_tenants WHERE id = ?)`), name, tenant, tenant)
	return err
}
