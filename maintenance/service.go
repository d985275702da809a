package maintenance

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

//go:embed migrations
var migrations embed.FS

// versionTable records which migrations the package's tables have.
const versionTable = "tenancy_maintenance_version"

// writeTimeout bounds a write.
const writeTimeout = 10 * time.Second

// serviceStore keeps the service's record, in the only row of a table.
type serviceStore struct {
	db      *sqlx.DB
	dialect sqlkit.Dialect
}

func newServiceStore(db *sqlx.DB) (*serviceStore, error) {
	dialect, err := sqlkit.FromDriver(db.DriverName())
	if err != nil {
		return nil, err
	}
	return &serviceStore{db, dialect}, nil
}

func (s *serviceStore) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/"+string(s.dialect))
	if err != nil {
		return err
	}
	_, err = sqlkit.Up(ctx, s.db.DB, s.dialect, files, versionTable)
	return err
}

// read returns the record, nil if there is none, and its version. For a record that
// cannot be read there is one that closes the service, beside an error that unwraps
// to tenancy.ErrInvalid.
func (s *serviceStore) read(ctx context.Context) (*tenancy.Maintenance, int64, error) {
	var row struct {
		Version int64
		Record  string
	}
	err := s.db.GetContext(ctx, &row, `SELECT version, record FROM tenancy_maintenance WHERE id = 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil || row.Record == "" {
		return nil, row.Version, err
	}
	m := new(tenancy.Maintenance)
	if err := json.Unmarshal([]byte(row.Record), m); err != nil {
		closed := &tenancy.Maintenance{Mode: tenancy.MaintenanceClosed, Generation: "unreadable"}
		return closed, row.Version, fmt.Errorf("%w: record: %w", tenancy.ErrInvalid, err)
	}
	return m, row.Version, nil
}

// write replaces the version before with the record. Another version there is
// tenancy.ErrConflict.
func (s *serviceStore) write(ctx context.Context, m *tenancy.Maintenance, version int64) error {
	record := ""
	if m != nil {
		b, err := json.Marshal(m)
		if err != nil {
			return fmt.Errorf("%w: %w", tenancy.ErrInvalid, err)
		}
		record = string(b)
	}
	now := time.Now().UnixMicro()
	if version == 1 {
		_, err := s.db.ExecContext(ctx, s.dialect.Rebind(`INSERT INTO tenancy_maintenance (id, version, record, updated_at) VALUES (1, 1, ?, ?)`), record, now)
		if sqlkit.IsUnique(err) {
			return tenancy.ErrConflict
		}
		return err
	}
	res, err := s.db.ExecContext(ctx, s.dialect.Rebind(`UPDATE tenancy_maintenance SET version = ?, record = ?, updated_at = ? WHERE id = 1 AND version = ?`),
		version, record, now, version-1)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return tenancy.ErrConflict
}

// edit changes the record by what change makes of it, and returns the one that was
// written and its version. Once begun, a write is not cut off by the context: it
// may have been carried out.
func (s *serviceStore) edit(ctx context.Context, change func(*tenancy.Maintenance) (*tenancy.Maintenance, error)) (*tenancy.Maintenance, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	const attempts = 20
	var err error
	for range attempts {
		var old, m *tenancy.Maintenance
		var version int64
		old, version, err = s.read(ctx)
		if err != nil && !errors.Is(err, tenancy.ErrInvalid) {
			break
		}
		if m, err = change(old); err != nil {
			return nil, 0, err
		}
		if m == nil && old == nil && version == 0 {
			return nil, 0, nil
		}
		if m != nil {
			if err := m.Validate(); err != nil {
				return nil, 0, err
			}
		}
		if err = s.write(ctx, m, version+1); err == nil {
			return m, version + 1, nil
		}
		if !errors.Is(err, tenancy.ErrConflict) && !sqlkit.IsDeadlock(err) {
			break
		}
	}
	if errors.Is(err, tenancy.ErrConflict) {
		return nil, 0, err
	}
	return nil, 0, unavailable(err)
}

// unavailable is an error of a database.
func unavailable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %v", tenancy.ErrUnavailable, err) //nolint:errorlint // another context's
	}
	return fmt.Errorf("%w: %w", tenancy.ErrUnavailable, err)
}
