// Package migrate brings the schemas of tenants' databases up to date, with the
// SQL files of goose.
package migrate

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Databases opens tenants' databases. A *dbpool.Pool is one.
type Databases interface {
	For(ctx context.Context, t *tenancy.Tenant) (*sqlx.DB, error)
}

// Migrator applies one lineage of migrations to tenants' databases. Its methods
// may be called by many goroutines and many processes at once: per database, one
// works and the others wait.
type Migrator struct {
	databases Databases
	files     fs.FS
	table     string
}

// Options are the options of [New].
type Options struct {
	// Table is the table in each tenant's database that records what was
	// applied. Default: tenancy_schema_version.
	Table string
}

// New returns a migrator for the files in the root of fsys, in the format of
// goose (https://pressly.github.io/goose/documentation/annotations/) and with
// names like 00001_make_notes.sql. Where fsys has a folder called postgres, mysql
// or sqlite, tenants on such an engine get the files in there instead. An
// embed.FS has its files in a folder: take [fs.Sub].
//
// No files at all, a .sql file whose name has no version or the version of
// another, and one without "-- +goose Up" are errors that unwrap to
// [tenancy.ErrInvalid].
func New(databases Databases, fsys fs.FS, opts *Options) (*Migrator, error) {
	m := &Migrator{databases: databases, files: fsys, table: "tenancy_schema_version"}
	if opts != nil && opts.Table != "" {
		m.table = opts.Table
	}
	var err error
	switch {
	case databases == nil || fsys == nil:
		err = fmt.Errorf("%w: want databases and files", tenancy.ErrInvalid)
	case tenancy.ValidateDatabaseName(m.table) != nil:
		err = fmt.Errorf("%w: table %q, want a-z, 0-9 and _", tenancy.ErrInvalid, m.table)
	}
	if err == nil {
		err = sqlkit.CheckFiles(fsys)
	}
	if err != nil {
		return nil, tenancy.Wrap("migrate.New", "", err)
	}
	return m, nil
}

// Up applies the migrations that the tenant's database lacks. Those before one
// that fails stay applied. No files, or a malformed one, and a statement that
// the server refuses are errors; which file it was is in the text.
func (m *Migrator) Up(ctx context.Context, t *tenancy.Tenant) error {
	return tenancy.Wrap("migrate.Up", t.ID, m.up(ctx, t))
}

func (m *Migrator) up(ctx context.Context, t *tenancy.Tenant) error {
	ctx = tenancy.NewContext(ctx, t) // the caller's may be of another tenant
	db, err := m.databases.For(ctx, t)
	if err != nil {
		return err
	}
	dialect, err := sqlkit.FromDriver(db.DriverName())
	if err != nil {
		return err
	}
	files := m.files
	if info, err := fs.Stat(m.files, string(dialect)); err == nil && info.IsDir() {
		files, err = fs.Sub(m.files, string(dialect))
		if err != nil {
			return err
		}
	}
	_, err = sqlkit.Up(ctx, db.DB, dialect, files, m.table)
	return err
}
