package sqlkit

import (
	"context"
	"database/sql"
	"errors"
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
			AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
			AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')`, // of extensions
		MySQL:  `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name <> 'tenancy_marker'`,
		SQLite: `SELECT count(*) FROM sqlite_master WHERE tbl_name <> 'tenancy_marker'`,
	}[d]
}

// Owner returns the tenant that the database is marked as, or "".
func Owner(ctx context.Context, db *sql.DB, d Dialect) (tenancy.ID, error) {
	return readOwner(ctx, db, d)
}

// queryer is a *sql.DB or a *sql.Conn.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readOwner(ctx context.Context, db queryer, d Dialect) (tenancy.ID, error) {
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
	return claim(ctx, db, d, tenant, func(conn *sql.Conn) error {
		var tables int
		err := conn.QueryRowContext(ctx, d.userTables()).Scan(&tables)
		if err == nil && tables > 0 {
			err = fmt.Errorf("%w: the database has no owner and %d tables", tenancy.ErrExists, tables)
		}
		return err
	})
}

// Mark marks a database that was just made, which may have tables of its
// template. One that is marked as another's is tenancy.ErrExists.
func Mark(ctx context.Context, db *sql.DB, d Dialect, tenant tenancy.ID) error {
	return claim(ctx, db, d, tenant, func(*sql.Conn) error { return nil })
}

// claim marks a database that has no owner and that may be taken. One caller at
// a time looks and writes.
func claim(ctx context.Context, db *sql.DB, d Dialect, tenant tenancy.ID, may func(*sql.Conn) error) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	l := newLocker(db.Driver(), d, "tenancy_marker")
	if err := l.SessionLock(ctx, conn); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.SessionUnlock(context.WithoutCancel(ctx), conn)) }()
	owner, err := readOwner(ctx, conn, d)
	if err != nil || owner == tenant {
		return err
	}
	if owner != "" {
		return fmt.Errorf("%w: the database belongs to tenant %q", tenancy.ErrExists, string(owner))
	}
	if err := may(conn); err != nil {
		return err
	}
	return mark(ctx, conn, d, tenant)
}

// mark writes the marker.
func mark(ctx context.Context, db *sql.Conn, d Dialect, tenant tenancy.ID) error {
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
