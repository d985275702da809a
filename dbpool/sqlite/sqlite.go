// Package sqlite is the [driver.Engine] for SQLite, a file per tenant in one
// folder, with modernc.org/sqlite: no cgo, no server, no configuration.
//
// Every connection uses a write-ahead log, so that readers and the one writer
// do not wait for each other; takes its turn among the writers of the pool, and
// waits up to five seconds for one of another process; enforces foreign keys; and
// begins transactions as writers, so that none fails half way for want of the lock.
// Those of a connection that only reads wait for nobody.
//
// A time is bound in UTC, in the form of SQLite's own CURRENT_TIMESTAMP with the
// fraction of the second behind it, whatever zone it is in: so texts compare, sort and
// compute as their times do. One outside of the years 0 to 9999 is an error that wraps
// [tenancy.ErrInvalid]. Columns declared as DATE, DATETIME or TIMESTAMP are read as times
// in UTC.
package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

const (
	extension = ".db"
	settings  = "_timezone=UTC&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)"
	params    = "?_txlock=immediate&" + settings
	reading   = "?mode=rw&" + settings + "&_pragma=query_only(1)"
)

// Engine reaches the database files in one folder. Several processes on one
// machine may use a folder; a network file system is not safe (see
// https://sqlite.org/wal.html).
type Engine struct {
	dir string
}

var (
	_ driver.Engine            = (*Engine)(nil)
	_ driver.Databases         = (*Engine)(nil)
	_ driver.Inventory         = (*Engine)(nil)
	_ driver.Adopter           = (*Engine)(nil)
	_ driver.FileBacked        = (*Engine)(nil)
	_ driver.ReadOnly          = (*Engine)(nil)
	_ driver.FailureClassifier = (*Engine)(nil)
	_ driver.SettingsChecker   = (*Engine)(nil)

	_ driver.SingleWriter = (*Engine)(nil)
)

// New returns the engine for the files in a folder, which is made when it is
// missing. An empty path is an error that wraps [tenancy.ErrInvalid].
func New(dir string) (*Engine, error) {
	const op = "sqlite.New"
	if dir == "" {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no folder", tenancy.ErrInvalid))
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return &Engine{dir}, nil
}

// Open opens the database file at a path that belongs to no tenant, such as the
// catalog's, with the settings that tenants' files have. Its writers take turns.
// The file and its folder are made when they are missing. The caller closes the handle.
func Open(path string) (*sqlx.DB, error) {
	if path == "" || strings.Contains(path, ":memory:") {
		return nil, tenancy.Wrap("sqlite.Open", "", fmt.Errorf("%w: path %q, want a file", tenancy.ErrInvalid, path))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, tenancy.Wrap("sqlite.Open", "", err)
	}
	return sqlx.NewDb(sql.OpenDB(connector{path, params, newTurns()}), driverName), nil
}

const driverName = "sqlite"

// connector opens connections to one file.
type connector struct {
	path, params string
	turns        turns // nil: they take none here
}

func (c connector) Driver() sqldriver.Driver { return &sqlite.Driver{} }

// Connect opens the file. Switching a new one to the write-ahead log does not
// wait for others who do the same, so that is tried again.
func (c connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	dsn := sqlkit.SQLiteURI(c.path) + c.params
	inner, err := c.Driver().Open(dsn)
	for until := time.Now().Add(busyTime); sqlkit.IsBusy(err) && time.Now().Before(until) && ctx.Err() == nil; {
		time.Sleep(5 * time.Millisecond)
		inner, err = c.Driver().Open(dsn)
	}
	if err = missing(c.path, err); err != nil {
		return nil, err
	}
	all, ok := inner.(driversConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%w: the driver's connections are %T", tenancy.ErrInvalid, inner), inner.Close())
	}
	if c.turns != nil {
		return &queued{conn: conn{driversConn: all}, turns: c.turns}, nil
	}
	return conn{all, c.params == reading}, nil
}

const (
	sqliteCantOpen = 14   // SQLITE_CANTOPEN
	sqliteNoStat   = 1802 // SQLITE_IOERR_FSTAT: the file is gone
	busyTime       = 5 * time.Second
)

// missing makes an error of SQLite's that comes from a missing file one that wraps
// [tenancy.ErrNotFound].
func missing(path string, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) || e.Code()&0xff != sqliteCantOpen && e.Code() != sqliteNoStat {
		return err
	}
	if _, stat := os.Stat(path); errors.Is(stat, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s: %w", tenancy.ErrNotFound, path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// DriverName returns "sqlite".
func (e *Engine) DriverName() string { return driverName }

// Connector returns what opens connections to the database's file.
func (e *Engine) Connector(database string) (sqldriver.Connector, error) {
	path, err := e.path(database)
	if err != nil {
		return nil, err
	}
	return connector{path: path, params: params + "&mode=rw"}, nil
}

// ReadOnlyConnector returns what opens connections that refuse to write.
func (e *Engine) ReadOnlyConnector(database string) (sqldriver.Connector, error) {
	path, err := e.path(database)
	if err != nil {
		return nil, err
	}
	return connector{path: path, params: reading}, nil
}

// path returns the file of a database, whose name cannot lead out of the folder.
func (e *Engine) path(database string) (string, error) {
	if err := tenancy.ValidateDatabaseName(database); err != nil {
		return "", err
	}
	return filepath.Join(e.dir, database+extension), nil
}

// Identify asks SQLite which file it has open.
func (e *Engine) Identify(ctx context.Context, conn sqldriver.Conn) (driver.Identity, error) {
	const from = ` FROM pragma_database_list WHERE name = 'main'`
	row, err := sqlkit.Strings(ctx, conn, `SELECT file, (SELECT tenant_id FROM tenancy_marker)`+from)
	if err != nil { // SQLite has no code for a missing table
		missing, e := sqlkit.Strings(ctx, conn, `SELECT file, CAST((SELECT count(*) FROM sqlite_master WHERE name = 'tenancy_marker') AS TEXT)`+from)
		if e != nil || missing[1] != "0" {
			return driver.Identity{}, err
		}
		row = []string{missing[0], ""}
	}
	return driver.Identity{Database: strings.TrimSuffix(filepath.Base(row[0]), extension), Tenant: tenancy.ID(row[1])}, nil
}

// CheckSettings asks for the write-ahead log and foreign keys, and whether a
// connection that only reads refuses to write.
func (e *Engine) CheckSettings(ctx context.Context, conn sqldriver.Conn, readOnly bool) error {
	row, err := sqlkit.Strings(ctx, conn, `SELECT (SELECT journal_mode FROM pragma_journal_mode),
		(SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys), (SELECT CAST(query_only AS TEXT) FROM pragma_query_only)`)
	if err != nil {
		return err
	}
	for i, want := range []driver.SettingError{{Name: "journal_mode", Want: "wal"}, {Name: "foreign_keys", Want: "1"}, {Name: "query_only", Want: "1"}} {
		if want.Got = row[i]; want.Got != want.Want && (readOnly || want.Name != "query_only") {
			return &want
		}
	}
	return nil
}

// Create makes the file and marks it as the tenant's.
func (e *Engine) Create(ctx context.Context, database string, tenant tenancy.ID) error {
	return e.make(ctx, database, tenant, func(ctx context.Context) error {
		return e.in(database, func(db *sql.DB) error { return sqlkit.Mark(ctx, db, sqlkit.SQLite, tenant) })
	})
}

func (e *Engine) make(ctx context.Context, database string, tenant tenancy.ID, mark func(context.Context) error) error {
	path, err := e.path(database)
	if err != nil {
		return err
	}
	create := func(context.Context) error {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: database %q", tenancy.ErrExists, database)
		}
		if err != nil {
			return err
		}
		return f.Close()
	}
	undo := func(ctx context.Context) error {
		return sqlkit.MarkingFile(ctx, connector{}.Driver(), path, func() error {
			unclaimed := false
			err := e.in(database, func(db *sql.DB) (err error) {
				unclaimed, err = sqlkit.Unclaimed(ctx, db, sqlkit.SQLite, tenant)
				return err
			})
			if err != nil || !unclaimed {
				return err
			}
			return remove(path)
		})
	}
	return sqlkit.Make(ctx, create, mark, undo)
}

// Claim marks a database that exists.
func (e *Engine) Claim(ctx context.Context, database string, tenant tenancy.ID) error {
	return e.in(database, func(db *sql.DB) error { return sqlkit.Claim(ctx, db, sqlkit.SQLite, tenant) })
}

// Drop removes the tenant's file and those beside it. A connection that is
// still open goes on without a file, and what it writes is lost. Drop waits until
// nobody marks or migrates the database, or drops it.
func (e *Engine) Drop(ctx context.Context, database string, tenant tenancy.ID) error {
	path, err := e.path(database)
	if err != nil {
		return err
	}
	check := func(db *sql.DB) error {
		if err := sqlkit.CheckOwner(ctx, db, sqlkit.SQLite, tenant); err != nil {
			return err
		}
		// The marker must survive the log, should the process die in remove.
		_, err := db.ExecContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`)
		return err
	}
	if _, err := e.Size(ctx, database); err != nil {
		return err
	}
	return sqlkit.MarkingFile(ctx, connector{}.Driver(), path, func() error {
		switch err := e.in(database, check); {
		case errors.Is(err, tenancy.ErrNotFound):
			return errors.Join(err, removeAll(path, markLocks[:])) // the lock may be a new file
		case err != nil:
			return err
		}
		return remove(path)
	})
}

// Names returns the names of all files.
func (e *Engine) Names(context.Context) (names []string, err error) {
	entries, err := os.ReadDir(e.dir)
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), extension); ok && entry.Type().IsRegular() {
			names = append(names, name)
		}
	}
	return sqlkit.Tenantable(names), err
}

// Owner returns the tenant that the file is marked as.
func (e *Engine) Owner(ctx context.Context, database string) (owner tenancy.ID, err error) {
	err = e.in(database, func(db *sql.DB) error {
		owner, err = sqlkit.Owner(ctx, db, sqlkit.SQLite)
		return err
	})
	return owner, err
}

// What SQLite and the locks keep beside a database's file.
var (
	journals  = [...]string{"-wal", "-shm", "-journal"}
	markLocks = [...]string{sqlkit.LockSuffix, sqlkit.LockSuffix + "-journal"}
	locks     = [...]string{sqlkit.ExclusiveSuffix, sqlkit.ExclusiveSuffix + "-journal"}
)

// remove removes a database's file and those beside it. What is left when the
// process dies in the middle is a database that can be removed again, or locks
// without one: a journal without its database would be the next one's. The caller is in
// [sqlkit.Marking], or who makes the next one could lose the lock that it holds.
func remove(path string) error {
	return errors.Join(removeAll(path, journals[:]), os.Remove(path), removeAll(path, locks[:]), removeAll(path, markLocks[:]))
}

// removeAll removes the files with those endings, of those that are there.
func removeAll(path string, endings []string) error {
	var errs []error
	for _, ending := range endings {
		errs = append(errs, missingOK(os.Remove(path+ending)))
	}
	return errors.Join(errs...)
}

func missingOK(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// SingleWriter reports that a file takes one writer at a time.
func (e *Engine) SingleWriter() bool { return true }

// File describes the database's file.
func (e *Engine) File(database string) (os.FileInfo, error) {
	path, err := e.path(database)
	if err != nil {
		return nil, err
	}
	return os.Stat(path)
}

// Exclusive runs fn while it holds the lock on a file beside the database.
func (e *Engine) Exclusive(ctx context.Context, database string, fn func(context.Context) error) error {
	return e.in(database, func(db *sql.DB) error { return sqlkit.Exclusive(ctx, db, sqlkit.SQLite, database, fn) })
}

// Adopt marks a database that exists, with whatever is in it.
func (e *Engine) Adopt(ctx context.Context, database string, tenant tenancy.ID, again bool) error {
	return e.in(database, func(db *sql.DB) error { return sqlkit.Adopt(ctx, db, sqlkit.SQLite, tenant, again) })
}

// Adopted reports whether the tenant's database was adopted, and not in service since.
func (e *Engine) Adopted(ctx context.Context, database string, tenant tenancy.ID) (adopted bool, err error) {
	err = e.in(database, func(db *sql.DB) error {
		adopted, err = sqlkit.Adopted(ctx, db, sqlkit.SQLite, tenant)
		return err
	})
	return adopted, err
}

// Release takes the tenant's mark away.
func (e *Engine) Release(ctx context.Context, database string, tenant tenancy.ID) error {
	return e.in(database, func(db *sql.DB) error { return sqlkit.Release(ctx, db, sqlkit.SQLite, tenant) })
}

// Exists reports whether there is a file of that name.
func (e *Engine) Exists(ctx context.Context, database string) (bool, error) {
	_, err := e.Size(ctx, database)
	if errors.Is(err, tenancy.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Size returns the length of the file and of its write-ahead log, in bytes.
func (e *Engine) Size(_ context.Context, database string) (int64, error) {
	path, err := e.path(database)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%w: database %q", tenancy.ErrNotFound, database)
	}
	if err != nil {
		return 0, err
	}
	size := info.Size()
	if wal, err := os.Stat(path + "-wal"); err == nil {
		size += wal.Size()
	}
	return size, nil
}

// in runs fn on a tenant's database.
func (e *Engine) in(database string, fn func(*sql.DB) error) error {
	path, err := e.path(database)
	if err != nil {
		return err
	}
	return missing(path, sqlkit.On(connector{path: path, params: params + "&mode=rw"}, fn))
}

// connBytes is what BenchmarkConnBytes of package dbpool measured, with the page cache
// of a small database. That of a large one grows to 2 MB.
const connBytes = 144 << 10

// ConnBytes implements [driver.ConnSizer].
func (*Engine) ConnBytes() int64 { return connBytes }
