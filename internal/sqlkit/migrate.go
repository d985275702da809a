package sqlkit

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/artflow-studio/tenancy/internal/probe"
)

// Migration is one migration that was applied or taken back.
type Migration struct {
	Version int64
	File    string
	Took    time.Duration
}

// Up applies the pending migrations of fsys, *.sql files of goose, and keeps
// the record of them in the given table. One caller at a time works on a
// database, over all processes; the others wait, within ctx. A database without
// pending migrations is left as it is. What was applied before an error is
// returned beside it.
//
// A context that ends in the middle of a migration ends it. PostgreSQL and SQLite
// then roll it back; MySQL cannot take back a CREATE TABLE.
//
// The caller keeps db, and a connection limit of 1 is enough.
func Up(ctx context.Context, db *sql.DB, d Dialect, fsys fs.FS, table string) ([]Migration, error) {
	return UpTo(ctx, db, d, fsys, table, math.MaxInt64)
}

// Migrate brings the tables of a package up to date, by its files in the folder migrations/DIALECT. See [Up].
func Migrate(ctx context.Context, db *sql.DB, d Dialect, all fs.FS, table string) error {
	files, err := fs.Sub(all, "migrations/"+string(d))
	if err != nil {
		return err
	}
	_, err = Up(ctx, db, d, files, table)
	return err
}

// UpTo is [Up] for migrations of at most that version.
func UpTo(ctx context.Context, db *sql.DB, d Dialect, fsys fs.FS, table string, version int64) ([]Migration, error) {
	p, err := provider(ctx, db, d, fsys, table, newLocker(db.Driver(), d, table))
	if err != nil {
		return nil, err
	}
	results, err := p.UpTo(ctx, version)
	return migrations(results, err)
}

// DownTo takes back migrations that are later than that version, the last that was
// applied first. What was taken back before an error is returned beside it. See [Up].
func DownTo(ctx context.Context, db *sql.DB, d Dialect, fsys fs.FS, table string, version int64) ([]Migration, error) {
	p, err := provider(ctx, db, d, fsys, table, newLocker(db.Driver(), d, table))
	if err != nil {
		return nil, err
	}
	results, err := p.DownTo(ctx, version)
	return migrations(results, err)
}

var gooseDialects = map[Dialect]goose.Dialect{
	Postgres: goose.DialectPostgres, MySQL: goose.DialectMySQL, SQLite: goose.DialectSQLite3,
}

// provider returns goose for a database, with the table of versions made. goose works under l.
func provider(ctx context.Context, db *sql.DB, d Dialect, fsys fs.FS, table string, l lock.SessionLocker, more ...goose.ProviderOption) (*goose.Provider, error) {
	p, err := goose.NewProvider(gooseDialects[d], db, fsys, append(more,
		goose.WithDisableGlobalRegistry(true), // or the application's own Go migrations run here
		goose.WithTableName(table),            // or the application's own versions count as ours
		goose.WithSessionLocker(l),
	)...)
	if err != nil {
		return nil, err
	}
	if err := ensureTable(ctx, db, gooseDialects[d], newLocker(db.Driver(), d, table), table); err != nil {
		return nil, fmt.Errorf("version table: %w", err)
	}
	return p, nil
}

func migrations(results []*goose.MigrationResult, err error) ([]Migration, error) {
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
		err = fmt.Errorf("migration %s: %w", partial.Failed.Source.Path, partial.Err)
	}
	out := make([]Migration, 0, len(results))
	for _, r := range results {
		out = append(out, Migration{r.Source.Version, r.Source.Path, r.Duration})
	}
	return out, err
}

// Applied returns the versions that are applied according to the table, in ascending
// order, in one query. Without the table there are none.
func Applied(ctx context.Context, db *sqlx.DB, d Dialect, table string) ([]int64, error) {
	versions, err := history(ctx, db, d, table)
	slices.Sort(versions)
	return versions, err
}

// history returns the versions that are applied in the order in which they were.
func history(ctx context.Context, q sqlx.QueryerContext, d Dialect, table string) (versions []int64, err error) {
	var rows []struct {
		Version int64 `db:"version_id"`
		Applied bool  `db:"is_applied"`
	}
	query := `SELECT version_id, is_applied FROM ` + d.Quote(table) + ` ORDER BY id`
	err = sqlx.SelectContext(probe.Context(ctx), q, &rows, query)
	if err != nil && d == SQLite { // which has no code for a missing table
		var n int
		e := sqlx.GetContext(ctx, q, &n, `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?`, table)
		if e == nil && n == 0 {
			return nil, nil
		}
		if e == nil { // it may have been made meanwhile
			err = sqlx.SelectContext(ctx, q, &rows, query)
		}
	}
	if IsNoTable(err) {
		return nil, nil
	}
	is := map[int64]bool{} // the last row of a version counts
	for _, row := range rows {
		if is[row.Version] {
			versions = slices.DeleteFunc(versions, func(v int64) bool { return v == row.Version })
		}
		if is[row.Version] = row.Applied && row.Version > 0; is[row.Version] {
			versions = append(versions, row.Version)
		}
	}
	return versions, err
}

// Sources returns the migrations in the root of fsys, in ascending order of version.
func Sources(fsys fs.FS) ([]Migration, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, err
	}
	out := make([]Migration, 0, len(names))
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, err
		}
		out = append(out, Migration{Version: version, File: name})
	}
	slices.SortFunc(out, func(a, b Migration) int { return cmp.Compare(a.Version, b.Version) })
	return out, nil
}

// ensureTable makes the table of versions, under the lock. goose makes it before
// it takes the lock, and of many processes at once some then find it half made.
func ensureTable(ctx context.Context, db *sql.DB, dialect goose.Dialect, l lock.SessionLocker, table string) (err error) {
	store, err := database.NewStore(dialect, table)
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := store.GetLatestVersion(probe.Context(ctx), conn); err == nil {
		return nil
	}
	if err := l.SessionLock(ctx, conn); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.SessionUnlock(context.WithoutCancel(ctx), conn)) }()
	_, err = store.GetLatestVersion(probe.Context(ctx), conn)
	if err == nil {
		return nil // somebody was faster
	}
	if !errors.Is(err, database.ErrVersionNotFound) { // there is no table, or the next statement says why
		if err := store.CreateVersionTable(ctx, conn); err != nil {
			return err
		}
	}
	return store.Insert(ctx, conn, database.InsertRequest{Version: 0})
}
