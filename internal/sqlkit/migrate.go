package sqlkit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
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
// The caller keeps db, and a connection limit of 1 is enough.
func Up(ctx context.Context, db *sql.DB, d Dialect, fsys fs.FS, table string) ([]Migration, error) {
	p, err := provider(db, d, fsys, table)
	if err != nil {
		return nil, err
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

func provider(db *sql.DB, d Dialect, fsys fs.FS, table string) (*goose.Provider, error) {
	dialects := map[Dialect]goose.Dialect{
		Postgres: goose.DialectPostgres, MySQL: goose.DialectMySQL, SQLite: goose.DialectSQLite3,
	}
	return goose.NewProvider(dialects[d], db, fsys,
		goose.WithDisableGlobalRegistry(true), // or the host's own Go migrations run here
		goose.WithTableName(table),            // or the host's own versions count as ours
		goose.WithSessionLocker(newLocker(db.Driver(), d, table)),
	)
}
