// Package migrate brings the schemas of tenants' databases up to date, with the
// SQL files of goose.
package migrate

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Databases opens tenants' databases. A *dbpool.Pool is one.
type Databases interface {
	For(ctx context.Context, t *tenancy.Tenant) (*sqlx.DB, error)
}

// Renewer is the optional ability of [Databases] to replace a tenant's connections, whose
// prepared statements are of the old schema. A *dbpool.Pool has it. Connections of other
// processes are replaced once they see [tenancy.Tenant.SchemaVersion] change, for which see
// [Options.Records].
type Renewer interface {
	Renew(id tenancy.ID)
}

// Records is the record of tenants, which keeps the version of each one's schema. A
// *catalog.Catalog is one.
type Records interface {
	Edit(ctx context.Context, id tenancy.ID, change func(*tenancy.Tenant) error) (*tenancy.Tenant, error)
}

// Locker keeps work apart that must not be done for one tenant at the same time. A
// *lifecycle.Locks is one.
type Locker interface {
	// Lock runs fn while nobody else is in Lock with the tenant, and returns fn's error as
	// it is. A context that fn was given holds the lock already.
	Lock(ctx context.Context, id tenancy.ID, purpose string, fn func(context.Context) error) error
}

// Latest is the version that stands for all migrations.
const Latest = int64(math.MaxInt64)

// Change is one migration that was applied or taken back, or would be.
type Change struct {
	Version int64         `json:"version"`
	File    string        `json:"file"`
	Took    time.Duration `json:"took,omitempty"`
}

// Result says what was done to a tenant's database.
type Result struct {
	// Version is the version that the database has now.
	Version int64 `json:"version"`
	// Up and Down are what was applied and what was taken back, in order.
	Up   []Change `json:"up,omitempty"`
	Down []Change `json:"down,omitempty"`
}

// Status says how a tenant's database stands.
type Status struct {
	// Version is the latest that is applied, Target the latest that there is.
	Version int64 `json:"version"`
	Target  int64 `json:"target"`
	// Pending are the migrations that the database lacks, in order.
	Pending []Change `json:"pending,omitempty"`
	// Unknown are versions that are applied and have no file here: of a newer
	// program, or of a file that was removed.
	Unknown []int64 `json:"unknown,omitempty"`
	// Half is the migration that was cut off, if there is one. While somebody works on the
	// database there is none.
	Half *HalfError `json:"half,omitempty"`
}

// UpToDate reports whether the database lacks nothing, and is not on a way back that was cut off.
func (s *Status) UpToDate() bool { return len(s.Pending) == 0 && s.Half == nil }

// Migrator applies one lineage of migrations to tenants' databases. Its methods
// may be called by many goroutines and many processes at once: per database, one
// works and the others wait.
type Migrator struct {
	databases Databases
	files     fs.FS
	opts      Options
	inGo      []sqlkit.GoMigration
}

// Options are the options of [New].
type Options struct {
	// Table is the table in each tenant's database that records what was
	// applied: a-z, 0-9 and _, no digit first, and no word that an engine
	// reserves. Default: tenancy_schema_version.
	Table string
	// Go are migrations in Go, beside the files. Default: none.
	Go []GoMigration
	// OutOfOrder applies files with lower versions than the latest applied one, such as those of a branch that
	// was merged late. Default: false; they are an error.
	OutOfOrder bool
	// Records is where [tenancy.Tenant.SchemaVersion] is corrected by what the database
	// says, when a migration was applied or taken back, or when the two differ. The
	// change is made by the actor of the context, or by the system if there is none.
	// Default: records keep no version.
	Records Records
	// Locks is asked before anything is applied or taken back. A database that lacks
	// nothing is found before that. Default: only the lock in the tenant's own database
	// keeps migrations of one tenant apart.
	Locks Locker
	// Audit keeps an entry of what the record of a tenant does not show: "schema.fresh", "schema.redo",
	// "schema.resume" and "schema.mark". It is written before the work, which is not done if that
	// fails. When the work fails, a second entry says so: that it was denied, or that it may have been
	// carried out in part. Default: none.
	Audit tenancy.Auditor
}

// New returns a migrator for the files in the root of fsys. They have the format of goose
// (https://pressly.github.io/goose/documentation/annotations/) and names like 00001_make_notes.sql. If fsys has
// a folder postgres, mysql or sqlite, tenants on that engine get the files in the folder instead. For an
// embed.FS with the files in a folder use [fs.Sub].
//
// An fsys without files, a .sql file whose name has no version or the version of another file, and a file
// without "-- +goose Up" are errors that wrap [tenancy.ErrInvalid].
func New(databases Databases, fsys fs.FS, opts *Options) (*Migrator, error) {
	m := &Migrator{databases: databases, files: fsys}
	if opts != nil {
		m.opts = *opts
	}
	err := m.opts.complete()
	if databases == nil || fsys == nil {
		err = fmt.Errorf("%w: want databases and files", tenancy.ErrInvalid)
	}
	if err == nil {
		err = sqlkit.CheckFiles(fsys)
	}
	if err == nil {
		m.inGo, err = checkGo(m.opts.Go, fsys)
	}
	if err != nil {
		return nil, tenancy.Wrap("migrate.New", "", err)
	}
	return m, nil
}

func (o *Options) complete() error {
	o.Table = cmp.Or(o.Table, "tenancy_schema_version")
	return sqlkit.ValidateTable(o.Table)
}

// Up applies the migrations that the tenant's database lacks. It is [Migrator.UpTo] with
// [Latest].
func (m *Migrator) Up(ctx context.Context, t *tenancy.Tenant) error {
	_, err := m.change(ctx, "migrate.Migrator.Up", t, m.upTo(Latest))
	return err
}

// UpTo applies the migrations of at most that version that the tenant's database lacks.
// Those before one that fails stay applied, and are in the result beside the error. A
// statement that the server refuses is an error; which file it was is in the text. A
// database that lacks none costs one query.
func (m *Migrator) UpTo(ctx context.Context, t *tenancy.Tenant, version int64) (*Result, error) {
	return m.change(ctx, "migrate.Migrator.UpTo", t, m.upTo(version))
}

// Down takes the last migration back, the one with the highest version, with what its file has
// below "-- +goose Down". A database without migrations is left as it is.
func (m *Migrator) Down(ctx context.Context, t *tenancy.Tenant) (*Result, error) {
	return m.change(ctx, "migrate.Migrator.Down", t, m.down())
}

// DownTo takes back all migrations that are later than that version, the last that was
// applied first.
func (m *Migrator) DownTo(ctx context.Context, t *tenancy.Tenant, version int64) (*Result, error) {
	return m.change(ctx, "migrate.Migrator.DownTo", t, m.downTo(version))
}

// Redo takes the last migration back and applies it again, which is for development.
func (m *Migrator) Redo(ctx context.Context, t *tenancy.Tenant) (*Result, error) {
	down := m.down()
	return m.change(ctx, "migrate.Migrator.Redo", t, work{"a migration redone", false, down.idle,
		func(ctx context.Context, s *schema) (up, undone []sqlkit.Migration, err error) {
			half, err := sqlkit.AtRest(ctx, s.db, s.dialect, m.opts.Table)
			if half != nil { // nothing is done, so there is no entry
				err = half
			}
			if err != nil {
				return nil, nil, err
			}
			err = m.audited(ctx, t, "schema.redo", fmt.Sprintf("version %d", s.version()), func() (err error) {
				if _, undone, err = down.do(ctx, s); err == nil && len(undone) > 0 {
					up, err = m.apply(ctx, s, undone[0].Version)
				}
				return err
			})
			return up, undone, err
		}})
}

// Status says how a tenant's database stands, in one query, or two on MySQL. A
// migration that runs or was cut off costs some more, and up to a tenth of a second.
func (m *Migrator) Status(ctx context.Context, t *tenancy.Tenant) (*Status, error) {
	s, err := m.open(tenancy.NewContext(ctx, t), t)
	if err != nil {
		return nil, tenancy.Wrap("migrate.Migrator.Status", t.ID, err)
	}
	out := &Status{Version: s.version(), Target: s.target()}
	for _, v := range s.applied {
		if !slices.ContainsFunc(s.sources, func(f sqlkit.Migration) bool { return f.Version == v }) {
			out.Unknown = append(out.Unknown, v)
		}
	}
	for _, f := range s.pending(Latest) {
		out.Pending = append(out.Pending, Change{Version: f.Version, File: f.File})
	}
	half, err := sqlkit.AtRest(ctx, s.db, s.dialect, m.opts.Table)
	if err != nil {
		return nil, tenancy.Wrap("migrate.Migrator.Status", t.ID, err)
	}
	if half != nil {
		out.Half = halfError(s, half)
	}
	return out, nil
}

// SchemaVersion returns the version that the tenant's database has, in one query, and
// whether it should be that of the record: whether there are [Options.Records].
func (m *Migrator) SchemaVersion(ctx context.Context, t *tenancy.Tenant) (version int64, recorded bool, err error) {
	s, err := m.open(tenancy.NewContext(ctx, t), t)
	if err != nil {
		return 0, false, tenancy.Wrap("migrate.Migrator.SchemaVersion", t.ID, err)
	}
	return s.version(), m.opts.Records != nil, nil
}

// schema is what is known of a tenant's database.
type schema struct {
	db      *sqlx.DB
	dialect sqlkit.Dialect
	files   fs.FS
	sources []sqlkit.Migration
	applied []int64
	half    *sqlkit.Half // what was cut off, once work begins
}

// open asks the tenant's database what is applied.
func (m *Migrator) open(ctx context.Context, t *tenancy.Tenant) (*schema, error) {
	db, err := m.databases.For(ctx, t)
	if err != nil {
		return nil, err
	}
	dialect, err := sqlkit.FromDriver(db.DriverName())
	if err != nil {
		return nil, err
	}
	files := m.files
	if info, err := fs.Stat(m.files, string(dialect)); err == nil && info.IsDir() {
		files, err = fs.Sub(m.files, string(dialect))
		if err != nil {
			return nil, err
		}
	}
	s := &schema{db: db, dialect: dialect, files: files}
	if s.sources, err = sqlkit.Sources(files); err != nil {
		return nil, err
	}
	if s.sources = m.withGo(s.sources); len(s.sources) == 0 { // those of other engines are none of its
		return nil, fmt.Errorf("%w: there are no migrations for %s", tenancy.ErrInvalid, dialect)
	}
	s.applied, err = sqlkit.Applied(ctx, db, dialect, m.opts.Table)
	return s, err
}

// version returns the latest that is applied.
func (s *schema) version() int64 {
	if n := len(s.applied); n > 0 {
		return s.applied[n-1]
	}
	return 0
}

// before returns the latest that is applied without the last one.
func (s *schema) before() int64 {
	if n := len(s.applied); n > 1 {
		return s.applied[n-2]
	}
	return 0
}

// pending returns the files of at most that version that are not applied.
func (s *schema) pending(version int64) (out []sqlkit.Migration) {
	for _, f := range s.sources {
		if _, is := slices.BinarySearch(s.applied, f.Version); !is && f.Version <= version {
			out = append(out, f)
		}
	}
	return out
}

// target returns the version of the last file.
func (s *schema) target() int64 {
	if n := len(s.sources); n > 0 {
		return s.sources[n-1].Version
	}
	return 0
}
