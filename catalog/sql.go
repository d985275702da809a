package catalog

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/intern"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

//go:embed migrations
var migrations embed.FS

// versionTable records which migrations the catalog's tables have.
const versionTable = "tenancy_catalog_version"

// sqlStore is the [Store] in a SQL database.
//
// Times are kept as microseconds since 1970, because what a driver makes of a
// timestamp depends on its DSN and the session's time zone. The words that the text
// filter looks for are in a table of their own, in lower case, because the engines
// fold case each in their way.
type sqlStore struct {
	db      *sqlx.DB
	dialect sqlkit.Dialect
	few     int
}

func newSQLStore(db *sqlx.DB) (*sqlStore, error) {
	if db == nil {
		return nil, fmt.Errorf("%w: no database", tenancy.ErrInvalid)
	}
	dialect, err := sqlkit.FromDriver(db.DriverName())
	if err != nil {
		return nil, err
	}
	return &sqlStore{db, dialect, few}, nil
}

// Migrate makes the tables or brings them up to date.
func (s *sqlStore) Migrate(ctx context.Context) error {
	if err := sqlkit.Migrate(ctx, s.db.DB, s.dialect, migrations, versionTable); err != nil {
		return err
	}
	return s.fillWords(ctx)
}

const columns = `id, slug, name, status, server, database_name, plan, limits, settings, guards, tags, schema_version, version, created_at, updated_at`

func (s *sqlStore) Insert(ctx context.Context, t *tenancy.Tenant, within Within) error {
	r, err := newRow(t)
	if err != nil {
		return err
	}
	return s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.dialect.Rebind(
			`INSERT INTO tenancy_tenants (`+columns+`, search_text, words_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),
			t.ID, t.Slug, t.Name, t.Status, t.Placement.Server, t.Placement.Database, t.Plan, r.limits, r.settings, r.guards, r.tags,
			t.SchemaVersion, t.Version, t.CreatedAt.UnixMicro(), t.UpdatedAt.UnixMicro(), r.search, t.Version)
		if err != nil {
			return exists(err, "ID %q or slug %q", t.ID, t.Slug)
		}
		if err := s.insertAllNames(ctx, tx, t); err != nil {
			return err
		}
		return within.call(ctx, tx.Tx)
	})
}

func (s *sqlStore) Replace(ctx context.Context, t *tenancy.Tenant, within Within) error {
	r, err := newRow(t)
	if err != nil {
		return err
	}
	return s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx, s.dialect.Rebind(
			`UPDATE tenancy_tenants SET slug = ?, name = ?, status = ?, server = ?, database_name = ?, plan = ?, limits = ?,
			settings = ?, guards = ?, tags = ?, schema_version = ?, version = ?, updated_at = ?, search_text = ?, words_version = ? WHERE id = ? AND version = ? AND created_at = ?`),
			t.Slug, t.Name, t.Status, t.Placement.Server, t.Placement.Database, t.Plan, r.limits,
			r.settings, r.guards, r.tags, t.SchemaVersion, t.Version, t.UpdatedAt.UnixMicro(), r.search, t.Version, t.ID, t.Version-1, t.CreatedAt.UnixMicro())
		if err != nil {
			return exists(err, "slug %q", t.Slug)
		}
		if err := s.oneRow(ctx, tx, res, t.ID); err != nil {
			return err
		}
		if err := s.changeNames(ctx, tx, t); err != nil {
			return err
		}
		return within.call(ctx, tx.Tx)
	})
}

func (s *sqlStore) Delete(ctx context.Context, t *tenancy.Tenant, within Within) error {
	return s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := s.changeNames(ctx, tx, &tenancy.Tenant{ID: t.ID}); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, s.dialect.Rebind(`DELETE FROM tenancy_key_uses WHERE tenant_id = ?`), t.ID); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, s.dialect.Rebind(`DELETE FROM tenancy_tenants WHERE id = ? AND version = ? AND created_at = ?`),
			t.ID, t.Version, t.CreatedAt.UnixMicro())
		if err != nil {
			return err
		}
		if err := s.oneRow(ctx, tx, res, t.ID); err != nil {
			return err
		}
		return within.call(ctx, tx.Tx)
	})
}

// tx runs fn in a transaction, and again if the server ended it in favour of
// another: InnoDB locks the gaps between domains too.
func (s *sqlStore) tx(ctx context.Context, fn func(context.Context, *sqlx.Tx) error) error {
	return sqlkit.Write(ctx, s.db, fn)
}

// oneRow tells why a statement with a version in its condition met no row.
func (s *sqlStore) oneRow(ctx context.Context, tx *sqlx.Tx, res sql.Result, id tenancy.ID) error {
	n, err := res.RowsAffected()
	if err != nil || n == 1 {
		return err
	}
	query := `SELECT version FROM tenancy_tenants WHERE id = ?`
	if s.dialect == sqlkit.MySQL {
		query += ` LOCK IN SHARE MODE` // what is there now, and not when the transaction first read
	}
	var version int64
	err = tx.GetContext(ctx, &version, s.dialect.Rebind(query), id)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: tenant %q", tenancy.ErrNotFound, id)
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: the record has version %d now, or the tenant was made again", tenancy.ErrConflict, version)
}

// exists names what was taken when err is the violation of a unique key.
func exists(err error, format string, args ...any) error {
	if !sqlkit.IsUnique(err) {
		return err
	}
	return fmt.Errorf("%w: "+format, append([]any{tenancy.ErrExists}, args...)...)
}

func (s *sqlStore) Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	where := map[tenancy.RefKind]string{
		tenancy.RefID:     `id = ?`,
		tenancy.RefSlug:   `slug = ?`,
		tenancy.RefDomain: `id = (SELECT tenant_id FROM tenancy_domains WHERE domain = ?)`,
	}[ref.Kind]
	if where == "" {
		return nil, fmt.Errorf("%w: %v", tenancy.ErrNotFound, ref)
	}
	found, err := s.query(ctx, `id`, `SELECT `+columns+` FROM tenancy_tenants WHERE `+where, ref.Value)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: tenant %v", tenancy.ErrNotFound, ref)
	}
	return found[0], nil
}

// row holds the columns that are not fields of the record.
type row struct {
	limits, settings, guards, tags, search string
}

func newRow(t *tenancy.Tenant) (row, error) {
	limits, err := encode(t.Limits)
	if err != nil {
		return row{}, err
	}
	settings, err := encode(t.Settings)
	if err != nil {
		return row{}, err
	}
	guards := ""
	if !reflect.ValueOf(t.Access).IsZero() {
		b, err := json.Marshal(t.Access)
		if err != nil {
			return row{}, err
		}
		guards = string(b)
	}
	return row{limits, settings, guards, strings.Join(t.Tags, " "), searchText(t)}, nil
}

// searchText is where the version of the library without a table of words looks.
func searchText(t *tenancy.Tenant) string {
	return strings.ToLower(t.Slug + "\n" + t.Name + "\n" + strings.Join(t.Domains, "\n"))
}

func encode[V any](m map[string]V) (string, error) {
	if len(m) == 0 {
		return "", nil
	}
	b, err := json.Marshal(m)
	return string(b), err
}

func decode[V any](s string) (m map[string]V, err error) {
	if s != "" {
		err = json.Unmarshal([]byte(s), &m)
	}
	return m, err
}

func scan(rows *sql.Rows) (*tenancy.Tenant, sql.NullString, error) {
	var (
		t                              tenancy.Tenant
		limits, settings, guards, tags string
		created, updated               int64
		domain                         sql.NullString
	)
	err := rows.Scan(&t.ID, &t.Slug, &t.Name, &t.Status, &t.Placement.Server, &t.Placement.Database, &t.Plan,
		&limits, &settings, &guards, &tags, &t.SchemaVersion, &t.Version, &created, &updated, &domain)
	if err == nil {
		t.Limits, err = decode[int64](limits)
	}
	if err == nil {
		t.Settings, err = decode[string](settings)
	}
	if err == nil && guards != "" {
		err = json.Unmarshal([]byte(guards), &t.Access)
	}
	if tags != "" {
		t.Tags = strings.Split(tags, " ")
	}
	t.Status = intern.Status(t.Status)
	t.CreatedAt, t.UpdatedAt = time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
	return &t, domain, err
}
