package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// nameTable is a table of what tenants are found by: a column of names beside the
// tenant's ID.
type nameTable struct {
	table, column string
	of            func(*tenancy.Tenant) []string
	taken         string // what the names are called, if no two tenants may have one
}

// nameTables are all of them.
func nameTables() []nameTable {
	return []nameTable{
		{"tenancy_domains", "domain", func(t *tenancy.Tenant) []string { return t.Domains }, "domains"},
		{"tenancy_tags", "tag", func(t *tenancy.Tenant) []string { return t.Tags }, ""},
		{"tenancy_words", "word", func(t *tenancy.Tenant) []string { return t.Words() }, ""},
	}
}

// changeNames makes the tenant's names those of the record, and touches no row
// that stays: InnoDB locks what lies between the rows of a range.
func (s *sqlStore) changeNames(ctx context.Context, tx *sqlx.Tx, t *tenancy.Tenant) error {
	tables := nameTables()
	old, err := s.oldNames(ctx, tx, tables, t.ID)
	if err != nil {
		return err
	}
	for i, table := range tables {
		names := table.of(t)
		for _, name := range old[i] {
			if slices.Contains(names, name) {
				continue
			}
			remove := s.dialect.Rebind(`DELETE FROM ` + table.table + ` WHERE ` + table.column + ` = ? AND tenant_id = ?`)
			if _, err := tx.ExecContext(ctx, remove, name, t.ID); err != nil {
				return err
			}
		}
		added := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(old[i], name) })
		if err := s.insertNames(ctx, tx, table, t.ID, added); err != nil {
			return err
		}
	}
	return nil
}

// oldNames returns the tenant's names in each table, in one round trip.
func (s *sqlStore) oldNames(ctx context.Context, tx *sqlx.Tx, tables []nameTable, id tenancy.ID) ([][]string, error) {
	var parts []string
	var args []any
	for i, table := range tables {
		parts = append(parts, fmt.Sprintf(`SELECT %d AS place, %s AS name FROM %s WHERE tenant_id = ?`, i, table.column, table.table))
		args = append(args, id)
	}
	var rows []struct {
		Place int    `db:"place"`
		Name  string `db:"name"`
	}
	if err := tx.SelectContext(ctx, &rows, s.dialect.Rebind(strings.Join(parts, ` UNION ALL `)), args...); err != nil {
		return nil, err
	}
	old := make([][]string, len(tables))
	for _, row := range rows {
		old[row.Place] = append(old[row.Place], row.Name)
	}
	return old, nil
}

// insertAllNames adds the names of a new record.
func (s *sqlStore) insertAllNames(ctx context.Context, tx *sqlx.Tx, t *tenancy.Tenant) error {
	for _, table := range nameTables() {
		if err := s.insertNames(ctx, tx, table, t.ID, table.of(t)); err != nil {
			return err
		}
	}
	return nil
}

func (s *sqlStore) insertNames(ctx context.Context, tx *sqlx.Tx, table nameTable, id tenancy.ID, names []string) error {
	args := make([]any, 0, 2*len(names))
	for _, name := range names {
		args = append(args, name, id)
	}
	err := s.insertPairs(ctx, tx, table.table+` (`+table.column+`, tenant_id)`, args)
	if table.taken == "" {
		return err
	}
	return exists(err, "one of the %s %q", table.taken, names)
}

// insertPairs inserts rows of two values, some hundreds at a time: engines bound the
// number of arguments.
func (s *sqlStore) insertPairs(ctx context.Context, tx *sqlx.Tx, into string, args []any) error {
	for some := range slices.Chunk(args, 2*500) {
		values := strings.TrimSuffix(strings.Repeat("(?, ?), ", len(some)/2), ", ")
		if _, err := tx.ExecContext(ctx, s.dialect.Rebind(`INSERT INTO `+into+` VALUES `+values), some...); err != nil {
			return err
		}
	}
	return nil
}
