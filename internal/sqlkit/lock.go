package sqlkit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3/lock"
)

// unlockTimeout bounds giving a lock up, which happens in nobody's context: that of the
// work may have ended. A session that gives no answer ends, and its locks with it.
const unlockTimeout = 5 * time.Second

// newLocker returns the lock that lets one session at a time migrate a
// database. A process that dies gives it up: it belongs to a session of the
// server, or to an open file.
func newLocker(drv driver.Driver, d Dialect, table string) lock.SessionLocker {
	switch d {
	case Postgres:
		return postgresLocker{LockKey("tenancy:" + table)}
	case MySQL:
		return mysqlLocker{table: table}
	default:
		return &sqliteLocker{drv: drv, suffix: LockSuffix}
	}
}

// exclusiveLocker returns the lock of [Exclusive]. Its holder may take the
// others: it is outside of them.
func exclusiveLocker(db *sql.DB, d Dialect, database string) lock.SessionLocker {
	switch d {
	case MySQL:
		return mysqlLocker{database, "tenancy_exclusive"}
	case SQLite:
		return &sqliteLocker{drv: db.Driver(), suffix: ExclusiveSuffix}
	default:
		return newLocker(db.Driver(), d, "tenancy_exclusive")
	}
}

// LockKey returns the key of an advisory lock of PostgreSQL with that name.
func LockKey(name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return int64(h.Sum64()) // any 64 bits will do
}

// Poll calls try until it reports true or fails, with growing pauses.
func Poll(ctx context.Context, try func() (bool, error)) error {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		if ok, err := try(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the database's lock: %w", ctx.Err())
		case <-time.After(pause):
		}
	}
}

// postgresLocker is an advisory lock of the session, which holds in one
// database. It polls: a session that waits in pg_advisory_lock keeps a snapshot
// open, and CREATE INDEX CONCURRENTLY waits for that snapshot to end.
type postgresLocker struct{ key int64 }

func (l postgresLocker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	if err := checkSession(ctx, conn); err != nil {
		return err
	}
	return Poll(ctx, func() (ok bool, err error) {
		err = conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, l.key).Scan(&ok)
		return ok, err
	})
}

func (l postgresLocker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, unlockTimeout)
	defer cancel()
	return released(conn.QueryRowContext(ctx, `SELECT pg_advisory_unlock($1)`, l.key))
}

// mysqlLocker is a named lock of the session. Its names hold on the whole
// server, so the name has a hash of the database in it, and are limited to 64
// characters.
type mysqlLocker struct {
	database string // "": the session's
	table    string
}

const mysqlLockName = `CONCAT('tenancy:', SHA1(CONCAT(COALESCE(NULLIF(?, ''), DATABASE()), '.', ?)))`

func (l mysqlLocker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	return Poll(ctx, func() (bool, error) {
		var got sql.NullBool
		err := conn.QueryRowContext(ctx, `SELECT GET_LOCK(`+mysqlLockName+`, 0)`, l.database, l.table).Scan(&got)
		return got.Bool, err
	})
}

func (l mysqlLocker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, unlockTimeout)
	defer cancel()
	return released(conn.QueryRowContext(ctx, `SELECT RELEASE_LOCK(`+mysqlLockName+`)`, l.database, l.table))
}

// free reports whether nobody holds the lock.
func (l mysqlLocker) free(ctx context.Context, db *sqlx.DB) (bool, error) {
	var free sql.NullBool
	err := db.GetContext(ctx, &free, `SELECT IS_FREE_LOCK(`+mysqlLockName+`)`, l.database, l.table)
	return free.Bool, err
}

func released(row *sql.Row) error {
	var ok sql.NullBool
	if err := row.Scan(&ok); err != nil {
		return err
	}
	if !ok.Bool {
		return errors.New("the migration lock was lost")
	}
	return nil
}

// sqliteLocker holds an exclusive transaction on a database file of its own beside
// the one that is migrated. A transaction on that one itself would be the same
// that the migrations run in, and file locks of our own would clash with
// SQLite's. The lock's file stays until the database is dropped. A database in
// memory needs no lock, for it has a single connection.
type sqliteLocker struct {
	drv    driver.Driver
	suffix string
	db     *sql.DB
	conn   *sql.Conn
}

// What SQLite's lock files have behind the database's name: that of migrations,
// and that of [Exclusive].
const (
	LockSuffix      = "-migrate"
	ExclusiveSuffix = "-exclusive"
)

func (l *sqliteLocker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	var path string
	if err := conn.QueryRowContext(ctx, `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&path); err != nil {
		return err
	}
	if path == "" {
		return nil
	}
	return l.beside(ctx, path)
}

// beside takes the lock of the database in that file.
func (l *sqliteLocker) beside(ctx context.Context, path string) error {
	for {
		err := l.lock(ctx, path+l.suffix)
		switch sqliteCode(err) {
		case sqliteMoved, sqliteNoStat, sqliteNoEntry:
		default:
			return err
		}
	}
}

// lock opens the lock's file and waits for it. The error is sqliteMoved, sqliteNoStat
// or sqliteNoEntry when the file was removed meanwhile, with the database: the next
// one makes a lock file of its own. SQLite looks where a file is before it writes,
// unless the file is empty.
func (l *sqliteLocker) lock(ctx context.Context, path string) error {
	db := sql.OpenDB(dsnConnector{SQLiteURI(path), l.drv})
	conn, err := db.Conn(ctx)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	err = Poll(ctx, func() (bool, error) {
		var version int
		err := conn.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version)
		if err == nil && version == 0 {
			_, err = conn.ExecContext(ctx, `PRAGMA user_version = 1`)
		}
		if err == nil {
			_, err = conn.ExecContext(ctx, `BEGIN EXCLUSIVE`)
		}
		if IsBusy(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err == nil {
		_, err = conn.ExecContext(ctx, `PRAGMA user_version = 2`)
	}
	if err != nil {
		return errors.Join(err, conn.Close(), db.Close())
	}
	l.db, l.conn = db, conn
	return nil
}

func (l *sqliteLocker) SessionUnlock(ctx context.Context, _ *sql.Conn) error {
	if l.db == nil {
		return nil
	}
	_, err := l.conn.ExecContext(ctx, `ROLLBACK`)
	return errors.Join(err, l.conn.Close(), l.db.Close())
}

// Codes of SQLite for a file that was removed or replaced while it is open.
const (
	sqliteMoved   = 1032 // SQLITE_READONLY_DBMOVED
	sqliteNoStat  = 1802 // SQLITE_IOERR_FSTAT
	sqliteNoEntry = 5898 // SQLITE_IOERR_DELETE_NOENT: its journal was removed with it
)

// IsBusy reports SQLITE_BUSY and its extended codes.
func IsBusy(err error) bool { return sqliteCode(err)&0xff == 5 }

// dsnConnector opens connections with a driver that has no connector itself.
type dsnConnector struct {
	dsn string
	drv driver.Driver
}

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.drv.Open(c.dsn) }
func (c dsnConnector) Driver() driver.Driver                        { return c.drv }
