// Package sqlite is the [dbpool.Engine] for SQLite, a file per tenant in one
// folder, with modernc.org/sqlite: no cgo, no server, no configuration.
//
// Every connection uses a write-ahead log, so that readers and the one writer
// do not wait for each other; takes its turn among the writers of the pool, and
// waits up to five seconds for one of another process; enforces foreign keys; and
// begins transactions as writers, so that none fails half way for want of the lock.
// Those of a connection that only reads wait for nobody.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
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
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

const (
	extension = ".db"
	settings  = "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)"
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
	_ dbpool.Engine    = (*Engine)(nil)
	_ dbpool.Databases = (*Engine)(nil)
	_ dbpool.Files     = (*Engine)(nil)
	_ dbpool.ReadOnly  = (*Engine)(nil)
	_ dbpool.Failures  = (*Engine)(nil)
	_ dbpool.Settings  = (*Engine)(nil)

	_ dbpool.SingleWriter = (*Engine)(nil)
)

// New returns the engine for the files in a folder, which is made when it is
// missing. An empty path is an error that unwraps to [tenancy.ErrInvalid].
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
// catalog's, with the settings that tenants' files have. The file and its folder
// are made when they are missing. The caller closes the handle.
func Open(path string) (*sqlx.DB, error) {
	if path == "" || strings.Contains(path, ":memory:") {
		return nil, tenancy.Wrap("sqlite.Open", "", fmt.Errorf("%w: path %q, want a file", tenancy.ErrInvalid, path))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, tenancy.Wrap("sqlite.Open", "", err)
	}
	return sqlx.NewDb(sql.OpenDB(connector{path, params}), driverName), nil
}

const driverName = "sqlite"

// connector opens connections to one file.
type connector struct{ path, params string }

func (c connector) Driver() driver.Driver { return &sqlite.Driver{} }

// Connect opens the file. Switching a new one to the write-ahead log does not
// wait for others who do the same, so that is tried again.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	dsn := sqlkit.SQLiteURI(c.path) + c.params
	conn, err := c.Driver().Open(dsn)
	for until := time.Now().Add(busyTime); sqlkit.IsBusy(err) && time.Now().Before(until) && ctx.Err() == nil; {
		time.Sleep(5 * time.Millisecond)
		conn, err = c.Driver().Open(dsn)
	}
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code()&0xff == sqliteCantOpen {
		if _, missing := os.Stat(c.path); errors.Is(missing, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s: %w", tenancy.ErrNotFound, c.path, err)
		}
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	return conn, err
}

const (
	sqliteCantOpen = 14 // SQLITE_CANTOPEN
	busyTime       = 5 * time.Second
)

// DriverName returns "sqlite".
func (e *Engine) DriverName() string { return driverName }

// Connector returns what opens connections to the database's file.
func (e *Engine) Connector(database string) (driver.Connector, error) {
	path, err := e.path(database)
	if err != nil {
		return nil, err
	}
	return connector{path, params + "&mode=rw"}, nil
}

// ReadOnlyConnector returns what opens connections that refuse to write.
func (e *Engine) ReadOnlyConnector(database string) (driver.Connector, error) {
	path, err := e.path(database)
	if err != nil {
		return nil, err
	}
	return connector{path, reading}, nil
}

// path returns the file of a database, whose name cannot lead out of the folder.
func (e *Engine) path(database string) (string, error) {
	if err := tenancy.ValidateDatabaseName(database); err != nil {
		return "", err
	}
	return filepath.Join(e.dir, database+extension), nil
}

// Identify asks SQLite which file it has open.
func (e *Engine) Identify(ctx context.Context, conn driver.Conn) (dbpool.Identity, error) {
	const from = ` FROM pragma_database_list WHERE name = 'main'`
	row, err := sqlkit.Strings(ctx, conn, `SELECT file, (SELECT tenant_id FROM tenancy_marker)`+from)
	if err != nil { // SQLite has no code for a missing table
		missing, e := sqlkit.Strings(ctx, conn, `SELECT file, CAST((SELECT count(*) FROM sqlite_master WHERE name = 'tenancy_marker') AS TEXT)`+from)
		if e != nil || missing[1] != "0" {
			return dbpool.Identity{}, err
		}
		row = []string{missing[0], ""}
	}
	return dbpool.Identity{Database: strings.TrimSuffix(filepath.Base(row[0]), extension), Tenant: tenancy.ID(row[1])}, nil
}

// CheckSettings asks for the write-ahead log and foreign keys, and whether a
// connection that only reads refuses to write.
func (e *Engine) CheckSettings(ctx context.Context, conn driver.Conn, readOnly bool) error {
	row, err := sqlkit.Strings(ctx, conn, `SELECT (SELECT journal_mode FROM pragma_journal_mode),
		(SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys), (SELECT CAST(query_only AS TEXT) FROM pragma_query_only)`)
	if err != nil {
		return err
	}
	for i, want := range []dbpool.SettingError{{Name: "journal_mode", Want: "wal"}, {Name: "foreign_keys", Want: "1"}, {Name: "query_only", Want: "1"}} {
		if want.Got = row[i]; want.Got != want.Want && (readOnly || want.Name != "query_only") {
			return &want
		}
	}
	return nil
}

// Create makes the file and marks it as the tenant's.
func (e *Engine) Create(ctx context.Context, database string, tenant tenancy.ID) error {
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
	mark := func(ctx context.Context) error {
		return e.in(database, func(db *sql.DB) error { return sqlkit.Mark(ctx, db, sqlkit.SQLite, tenant) })
	}
	drop := func(context.Context) error { return remove(path) }
	return sqlkit.Make(ctx, create, mark, drop)
}

// Claim marks a database that exists.
func (e *Engine) Claim(ctx context.Context, database string, tenant tenancy.ID) error {
	return e.in(database, func(db *sql.DB) error { return sqlkit.Claim(ctx, db, sqlkit.SQLite, tenant) })
}

// Drop removes the tenant's file and those beside it. A connection that is
// still open goes on without a file, and what it writes is lost.
func (e *Engine) Drop(ctx context.Context, database string, tenant tenancy.ID) error {
	err := e.in(database, func(db *sql.DB) error { return sqlkit.CheckOwner(ctx, db, sqlkit.SQLite, tenant) })
	if err != nil {
		return err
	}
	path, err := e.path(database)
	if err != nil {
		return err
	}
	return remove(path)
}

// beside are the endings of the files that SQLite and the migrations' lock keep
// beside a database.
var beside = [...]string{"-wal", "-shm", "-journal", sqlkit.LockSuffix}

func remove(path string) error {
	err := os.Remove(path)
	for _, ending := range beside {
		if e := os.Remove(path + ending); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
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
	c, err := e.Connector(database)
	if err != nil {
		return err
	}
	return sqlkit.On(c, fn)
}
