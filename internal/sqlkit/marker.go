package sqlkit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
)

// A tenant's database says itself whose it is: in a table called tenancy_marker
// with a single row, the tenant's ID. While a new one is brought into service it has a
// second table, tenancy_provisioning: what is in there is nobody's data yet.

// markerTable and provisioningTable return the tables' names, which no search path
// can hide.
func (d Dialect) markerTable() string       { return d.public("tenancy_marker") }
func (d Dialect) provisioningTable() string { return d.public("tenancy_provisioning") }

func (d Dialect) public(table string) string {
	if d == Postgres {
		return "public." + table
	}
	return table
}

// hasTable and userTables are queries for the number of tables: those of that name,
// and all that are not ours. MySQL's catalog compares without regard to case, hence
// the binary strings; SQLite's tables are called without regard to case.
func (d Dialect) hasTable() string {
	return map[Dialect]string{
		Postgres: `SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = 'public' AND tablename = $1`,
		MySQL:    `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = CAST(DATABASE() AS BINARY) AND table_name = CAST(? AS BINARY)`,
		SQLite:   `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE`,
	}[d]
}

func (d Dialect) userTables() string {
	return map[Dialect]string{
		Postgres: `SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relname NOT IN ('tenancy_marker', 'tenancy_provisioning')
			AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
			AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')`, // of extensions
		MySQL:  `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = CAST(DATABASE() AS BINARY) AND CAST(table_name AS BINARY) NOT IN ('tenancy_marker', 'tenancy_provisioning')`,
		SQLite: `SELECT count(*) FROM sqlite_master WHERE tbl_name NOT IN ('tenancy_marker', 'tenancy_provisioning')`,
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
	if err := db.QueryRowContext(ctx, d.hasTable(), "tenancy_marker").Scan(&n); err != nil || n == 0 {
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
	return claim(ctx, db, d, tenant, true, func(conn *sql.Conn) error {
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
	return claim(ctx, db, d, tenant, true, func(*sql.Conn) error { return nil })
}

// adopted stands in tenancy_provisioning, in place of the time of a record, while a
// database is adopted: what is in there is somebody's.
const adopted = 0

// Adopt marks a database that has no owner as the tenant's, whatever is in it. One that
// is marked is tenancy.ErrExists, unless it is the tenant's and again is set.
func Adopt(ctx context.Context, db *sql.DB, d Dialect, tenant tenancy.ID, again bool) error {
	return claim(ctx, db, d, tenant, again, func(conn *sql.Conn) error { return d.note(ctx, conn, adopted) })
}

// Release takes the tenant's mark away. A database that is not marked as the tenant's
// is tenancy.ErrForbidden.
func Release(ctx context.Context, db *sql.DB, d Dialect, tenant tenancy.ID) error {
	err := CheckOwner(ctx, db, d, tenant)
	if err == nil {
		_, err = db.ExecContext(ctx, `DROP TABLE `+d.markerTable())
	}
	if err == nil {
		err = EndProvisioning(ctx, db, d)
	}
	return err
}

// Adopted reports whether the database is the tenant's by [Adopt], and the tenant has not been
// in service since: see [EndProvisioning]. A database that is not marked as the tenant's is
// tenancy.ErrForbidden. Adopt writes its note before the mark, so no database is adopted later
// that this tenant owned when Adopted said false.
func Adopted(ctx context.Context, db *sql.DB, d Dialect, tenant tenancy.ID) (bool, error) {
	if err := CheckOwner(ctx, db, d, tenant); err != nil {
		return false, err
	}
	var tables int
	if err := db.QueryRowContext(ctx, d.hasTable(), "tenancy_provisioning").Scan(&tables); err != nil || tables == 0 {
		return false, err
	}
	var noted int64
	err := db.QueryRowContext(ctx, `SELECT record FROM `+d.provisioningTable()).Scan(&noted)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil && noted == adopted, err
}

// note writes the row of tenancy_provisioning.
func (d Dialect) note(ctx context.Context, db execer, record int64) error {
	for _, statement := range []string{
		`CREATE TABLE IF NOT EXISTS ` + d.provisioningTable() + ` (record BIGINT NOT NULL PRIMARY KEY)`,
		`DELETE FROM ` + d.provisioningTable(),
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	_, err := db.ExecContext(ctx, d.Rebind(`INSERT INTO `+d.provisioningTable()+` (record) VALUES (?)`), record)
	return err
}

// execer is a *sql.DB or a *sql.Conn.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Unclaimed reports whether a database whose making failed is still nobody's, so that
// what made it drops it. One that is the tenant's is in use where another process went on
// with it, which is tenancy.ErrExists; another tenant's is none that was made here. The
// caller keeps others from claiming it meanwhile: in [Marking], or in MySQL in [Alone],
// because there the lock on the marker may belong to a session that is lost.
func Unclaimed(ctx context.Context, db queryer, d Dialect, tenant tenancy.ID) (bool, error) {
	owner, err := readOwner(ctx, db, d)
	if err == nil && owner == tenant {
		err = fmt.Errorf("%w: another process went on with the database", tenancy.ErrExists)
	}
	return err == nil && owner == "", err
}

// Marking runs fn on a session of the database while no other is in Marking.
func Marking(ctx context.Context, db *sql.DB, d Dialect, fn func(*sql.Conn) error) (err error) {
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
	return fn(conn)
}

// MarkingFile is [Marking] for the file of an SQLite database, which it does not open: a session
// of a file that is removed meanwhile leaves files behind.
func MarkingFile(ctx context.Context, drv driver.Driver, path string, fn func() error) (err error) {
	l := &sqliteLocker{drv: drv, suffix: LockSuffix}
	if err := l.beside(ctx, path); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.SessionUnlock(context.WithoutCancel(ctx), nil)) }()
	return fn()
}

// claim marks a database that has no owner and that may be taken. One caller at
// a time looks and writes. With again, one that is the tenant's already is none other's.
func claim(ctx context.Context, db *sql.DB, d Dialect, tenant tenancy.ID, again bool, may func(*sql.Conn) error) error {
	return Marking(ctx, db, d, func(conn *sql.Conn) error {
		owner, err := readOwner(ctx, conn, d)
		if err != nil || owner == tenant && again {
			return err
		}
		if owner != "" {
			return fmt.Errorf("%w: the database belongs to tenant %q", tenancy.ErrExists, string(owner))
		}
		if err := may(conn); err != nil {
			return err
		}
		return mark(ctx, conn, d, tenant)
	})
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

// Found says in what state the work on a database was found.
type Found int

// The states.
const (
	FoundNew     Found = iota // nothing was done, or all of it, or it was not made for its tenant
	FoundBroken               // it was begun and cut off: any state, nobody's data
	FoundAdopted              // it was there before its tenant
)

// BeginProvisioning notes in a database that the work on it begins, for the record
// that was created at that time, if the database is new: made says so, or it has no
// tables. It returns what was noted before. The caller is in [Exclusive].
func BeginProvisioning(ctx context.Context, db *sql.DB, d Dialect, created time.Time, made bool) (Found, error) {
	var tables int
	if err := db.QueryRowContext(ctx, d.hasTable(), "tenancy_provisioning").Scan(&tables); err != nil {
		return FoundNew, err
	}
	if tables > 0 {
		var noted int64
		err := db.QueryRowContext(ctx, `SELECT record FROM `+d.provisioningTable()).Scan(&noted)
		switch {
		case errors.Is(err, sql.ErrNoRows): // cut off before anything else was done
		case err == nil && noted == adopted:
			return FoundAdopted, nil
		case err == nil && noted == created.UnixMicro():
			return FoundBroken, nil
		default:
			return FoundNew, err
		}
	}
	if !made && tables == 0 {
		if err := db.QueryRowContext(ctx, d.userTables()).Scan(&tables); err != nil || tables > 0 {
			return FoundNew, err
		}
	}
	return FoundNew, d.note(ctx, db, created.UnixMicro())
}

// EndProvisioning removes the note: the tenant is in service. A note that stays makes an adopted
// database look as if its tenant was never in service; a purge removes it before the status changes.
func EndProvisioning(ctx context.Context, db *sql.DB, d Dialect) error {
	_, err := db.ExecContext(ctx, `DROP TABLE IF EXISTS `+d.provisioningTable())
	return err
}

// CheckOwner returns tenancy.ErrForbidden unless the database is marked as the
// tenant's.
func CheckOwner(ctx context.Context, db *sql.DB, d Dialect, tenant tenancy.ID) error {
	owner, err := Owner(ctx, db, d)
	switch {
	case err != nil:
		return err
	case owner == "":
		return fmt.Errorf("%w: the database is not marked as anybody's", tenancy.ErrForbidden)
	case owner != tenant:
		return fmt.Errorf("%w: the database is marked as tenant %q's", tenancy.ErrForbidden, string(owner))
	}
	return nil
}
