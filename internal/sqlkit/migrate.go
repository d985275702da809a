package sqlkit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

// Migration is one migration that was applied.
type Migration struct {
	Version int64
	File    string
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
	dialect := map[Dialect]goose.Dialect{
		Postgres: goose.DialectPostgres, MySQL: goose.DialectMySQL, SQLite: goose.DialectSQLite3,
	}[d]
	p, err := goose.NewProvider(dialect, db, fsys,
		goose.WithDisableGlobalRegistry(true), // or the host's own Go migrations run here
		goose.WithTableName(table),            // or the host's own versions count as ours
		goose.WithSessionLocker(newLocker(db.Driver(), d, table)),
	)
	if err != nil {
		return nil, err
	}
	if err := ensureTable(ctx, db, dialect, newLocker(db.Driver(), d, table), table); err != nil {
		return nil, fmt.Errorf("version table: %w", err)
	}
	results, err := p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
		err = fmt.Errorf("migration %s: %w", partial.Failed.Source.Path, partial.Err)
	}
	applied := make([]Migration, 0, len(results))
	for _, r := range results {
		applied = append(applied, Migration{r.Source.Version, r.Source.Path})
	}
	return applied, err
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
	if _, err := store.GetLatestVersion(ctx, conn); err == nil {
		return nil
	}
	if err := l.SessionLock(ctx, conn); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.SessionUnlock(context.WithoutCancel(ctx), conn)) }()
	_, err = store.GetLatestVersion(ctx, conn)
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
