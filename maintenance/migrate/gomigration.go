package migrate

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"slices"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// GoMigration is a migration in Go, for what SQL cannot say. It has its place among the
// files by its version.
type GoMigration struct {
	// Version is that of no file, in any folder.
	Version int64
	// Name stands in results in place of a file's. Default: the version, and ".go".
	Name string
	// Up and Down run in the transaction in which the version is noted; their context
	// carries the tenant. A panic is that tenant's error. Nil does nothing. What they do
	// in MySQL that cannot be taken back is not tracked: see [HalfError].
	Up, Down func(ctx context.Context, tx *sql.Tx) error
}

// checkGo returns the migrations in order, with their names.
func checkGo(all []GoMigration, files fs.FS) ([]sqlkit.GoMigration, error) {
	versions, err := fileVersions(files)
	if err != nil {
		return nil, err
	}
	var out []sqlkit.GoMigration
	for _, g := range all {
		g.Name = cmp.Or(g.Name, fmt.Sprintf("%05d.go", g.Version))
		if g.Version < 1 {
			return nil, fmt.Errorf("%w: migration %s has version %d, want 1 or more", tenancy.ErrInvalid, g.Name, g.Version)
		}
		if other, ok := versions[g.Version]; ok {
			return nil, fmt.Errorf("%w: migrations %s and %s have the same version", tenancy.ErrInvalid, other, g.Name)
		}
		versions[g.Version] = g.Name
		out = append(out, sqlkit.GoMigration{Version: g.Version, Name: g.Name, Up: safely(g.Up), Down: safely(g.Down)})
	}
	slices.SortFunc(out, func(a, b sqlkit.GoMigration) int { return cmp.Compare(a.Version, b.Version) })
	return out, nil
}

// fileVersions returns the files of all engines by their versions.
func fileVersions(files fs.FS) (map[int64]string, error) {
	versions := map[int64]string{}
	for _, dir := range []string{".", string(sqlkit.Postgres), string(sqlkit.MySQL), string(sqlkit.SQLite)} {
		sub, err := fs.Sub(files, dir)
		if err != nil {
			return nil, err
		}
		found, err := sqlkit.Sources(sub)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			versions[f.Version] = f.File
		}
	}
	return versions, nil
}

// latest returns the highest version that there is, for any engine.
func (m *Migrator) latest() (highest int64, err error) {
	versions, err := fileVersions(m.files)
	for version := range versions {
		highest = max(highest, version)
	}
	for _, g := range m.inGo {
		highest = max(highest, g.Version)
	}
	return highest, err
}

// safely makes a panic an error.
func safely(do func(context.Context, *sql.Tx) error) func(context.Context, *sql.Tx) error {
	if do == nil {
		return nil
	}
	return func(ctx context.Context, tx *sql.Tx) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		return do(ctx, tx)
	}
}

// withGo returns the sources with the migrations in Go, in order.
func (m *Migrator) withGo(sources []sqlkit.Migration) []sqlkit.Migration {
	for _, g := range m.inGo {
		sources = append(sources, sqlkit.Migration{Version: g.Version, File: g.Name})
	}
	slices.SortFunc(sources, func(a, b sqlkit.Migration) int { return cmp.Compare(a.Version, b.Version) })
	return sources
}
