package sqlkit

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/artflow-studio/tenancy"
)

// A tenant's database says itself whose it is: in a table called tenancy_marker
// with a single row, the tenant's ID.

// markerTable returns the marker's table, which no search path can hide.
func (d Dialect) markerTable() string {
	if d == Postgres {
		return "public.tenancy_marker"
	}
	return "tenancy_marker"
}

// hasMarker and userTables are queries for the number of tables: the marker,
// and all others.
func (d Dialect) hasMarker() string {
	return map[Dialect]string{
		Postgres: `SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = 'public' AND tablename = 'tenancy_marker'`,
		MySQL:    `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'tenancy_marker'`,
		SQLite:   `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'tenancy_marker'`,
	}[d]
}

func (d Dialect) userTables() string {
	return map[Dialect]string{
		Postgres: `SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relname <> 'tenancy_marker'
			AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'`,
		MySQL:  `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name <> 'tenancy_marker'`,
		SQLite: `SELECT count(*) FROM sqlite_master WHERE tbl_name <> 'tenancy_marker'`,
	}[d]
}

// Owner returns the tenant that the database is marked as, or "".
func Owner(ctx context.Context, db *sql.DB, d Dialect) (tenancy.ID, error) {
	var n int
	if err := db.QueryRowContext(ctx, d.hasMarker()).Scan(&n); err != nil || n == 0 {
		return "", err
	}
	var id tenancy.ID
	err := db.QueryRowContext(ctx, `SELECT tenant_id FROM `+d.markerTable()).Scan(&id)
	if err == sql.ErrNoRows { //nolint:errorlint // Scan returns exactly this
		return "", nil
	}
	return id, err
}

// Claim marks the database as the tenant's. One that is marked as another's, or
// is not marked and has tables, is tenancy.ErrExists.
func Claim(ctx context.Context, db *sql.DB, d Dialect, tenant tenancy.ID) error {
	owner, err := Owner(ctx, db, d)
	if err != nil || owner == tenant {
		return err
	}
	var tables int
	if err := db.QueryRowContext(ctx, d.userTables()).Scan(&tables); err != nil {
		return err
	}
	if owner != "" || tables > 0 {
		return fmt.Errorf("%w: the database has the owner %q and %d tables", tenancy.ErrExists, string(owner), tables)
	}
	err = mark(ctx, db, d, tenant)
	if IsUnique(err) { // somebody was faster: another step of the same creation, or another tenant's
		if owner, err = Owner(ctx, db, d); err == nil && owner != tenant {
			err = fmt.Errorf("%w: the database has the owner %q", tenancy.ErrExists, string(owner))
		}
	}
	return err
}

// mark writes the marker. Of two at the same moment, one fails on a unique key:
// the marker's own, or that of PostgreSQL's catalog of tables.
func mark(ctx context.Context, db *sql.DB, d Dialect, tenant tenancy.ID) error {
	_, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS `+d.markerTable()+` (
		only_row SMALLINT NOT NULL PRIMARY KEY CHECK (only_row = 1), tenant_id VARCHAR(36) NOT NULL)`)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, d.Rebind(`INSERT INTO `+d.markerTable()+` (only_row, tenant_id) VALUES (1, ?)`), tenant)
	return err
}

// CheckOwner returns tenancy.ErrForbidden unless the database is marked as the
// tenant's.
func CheckOwner(ctx context.Context, db *sql.DB, d Dialect, tenant tenancy.ID) error {
	owner, err := Owner(ctx, db, d)
	if err == nil && (owner != tenant || tenant == "") {
		err = fmt.Errorf("%w: the database is marked as tenant %q's", tenancy.ErrForbidden, string(owner))
	}
	return err
}
