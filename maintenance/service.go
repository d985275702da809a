package maintenance

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

//go:embed migrations
var migrations embed.FS

// versionTable records which migrations the package's tables have.
const versionTable = "tenancy_maintenance_version"

// entryTimeout bounds the writing of an entry outside of a write.
const entryTimeout = time.Second

// serviceStore keeps the service's record, in the only row of a table.
type serviceStore struct {
	db      *sqlx.DB
	dialect sqlkit.Dialect
	auditor tenancy.Auditor // nil: there is no audit
}

func newServiceStore(db *sqlx.DB, auditor tenancy.Auditor) (*serviceStore, error) {
	dialect, err := sqlkit.FromDriver(db.DriverName())
	if err == nil && auditor != nil {
		err = tenancy.CheckAuditor(auditor, db.DB)
	}
	if err != nil {
		return nil, err
	}
	return &serviceStore{db, dialect, auditor}, nil
}

func (s *serviceStore) migrate(ctx context.Context) error {
	return sqlkit.Migrate(ctx, s.db.DB, s.dialect, migrations, versionTable)
}

// read returns the record, nil if there is none, and its version. For a record that
// cannot be read there is one that closes the service, beside an error that wraps
// tenancy.ErrInvalid.
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

// write replaces the version before with the record, and writes the entry of that in
// the same transaction. Another version there is tenancy.ErrConflict. It is ready if
// nothing was missing but the commit.
func (s *serviceStore) write(ctx context.Context, m *tenancy.Maintenance, version int64, entry *tenancy.Entry) (ready bool, err error) {
	record := ""
	if m != nil {
		b, err := json.Marshal(m)
		if err != nil {
			return false, fmt.Errorf("%w: %w", tenancy.ErrInvalid, err)
		}
		record = string(b)
	}
	err = sqlkit.Tx(ctx, s.db, nil, func(tx *sqlx.Tx) error {
		if err := s.replace(ctx, tx, record, version); err != nil || s.auditor == nil {
			return err
		}
		if err := s.auditor.Audit(ctx, tx.Tx, *entry); err != nil {
			return fmt.Errorf("%w: the audit: %v", tenancy.ErrUnavailable, err) //nolint:errorlint // about the entry, and not about the record
		}
		ready = true
		return nil
	})
	return ready, err
}

func (s *serviceStore) replace(ctx context.Context, tx *sqlx.Tx, record string, version int64) error {
	now := time.Now().UnixMicro()
	if version == 1 {
		_, err := tx.ExecContext(ctx, s.dialect.Rebind(`INSERT INTO tenancy_maintenance (id, version, record, updated_at) VALUES (1, 1, ?, ?)`), record, now)
		if sqlkit.IsUnique(err) {
			return tenancy.ErrConflict
		}
		return err
	}
	res, err := tx.ExecContext(ctx, s.dialect.Rebind(`UPDATE tenancy_maintenance SET version = ?, record = ?, updated_at = ? WHERE id = 1 AND version = ?`),
		version, record, now, version-1)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return tenancy.ErrConflict
}

// entryOf returns the entry of the service's change from before to after.
func entryOf(ctx context.Context, action string, before, after *tenancy.Maintenance) tenancy.Entry {
	e := tenancy.NewEntry(ctx, action, "")
	change := tenancy.FieldChange{Field: "maintenance"}
	if before != nil {
		change.Before = before.AuditValue()
	}
	if after != nil {
		change.After = after.AuditValue()
	}
	e.Changes = []tenancy.FieldChange{change}
	return e
}

// denied writes the entry of a change that was refused, as far as that is possible.
func (s *serviceStore) denied(ctx context.Context, action string, err error) {
	if s.auditor == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), entryTimeout)
	defer cancel()
	_ = s.auditor.Audit(ctx, nil, tenancy.NewEntry(ctx, action, "").Refused(err)) // which counts what it loses
}

// lost writes the entry of a change of which nobody knows whether it was made, unless
// its own entry is there, as far as that is possible. The context may have ended.
func (s *serviceStore) lost(ctx context.Context, e tenancy.Entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), entryTimeout)
	defer cancel()
	finder, ok := s.auditor.(interface {
		Written(ctx context.Context, id string) (bool, error)
	})
	if ok {
		if found, err := finder.Written(ctx, e.ID); err == nil && found {
			return
		}
	}
	again := tenancy.NewEntry(ctx, e.Action, "")
	again.Changes, again.Result, again.Problem = e.Changes, tenancy.AuditUnknown, "the answer to the commit of entry "+e.ID+" was lost"
	_ = s.auditor.Audit(ctx, nil, again) // which counts what it loses
}

// edit changes the record by what change makes of it, and returns the one that was
// written and its version. Once begun, a write is not cut off by the context: it
// may have been carried out.
func (s *serviceStore) edit(ctx context.Context, action string, change func(*tenancy.Maintenance) (*tenancy.Maintenance, error)) (*tenancy.Maintenance, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	ctx, cancel := sqlkit.Outlast(ctx)
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
		entry := entryOf(ctx, action, old, m)
		var ready bool
		if ready, err = s.write(ctx, m, version+1, &entry); err == nil {
			return m, version + 1, nil
		}
		if !errors.Is(err, tenancy.ErrConflict) && !sqlkit.IsDeadlock(err) {
			if ready {
				s.lost(ctx, entry)
			}
			break
		}
	}
	if errors.Is(err, tenancy.ErrConflict) {
		return nil, 0, err
	}
	return nil, 0, unavailable(err)
}

// unavailable names an error of the database under a context of our own.
func unavailable(err error) error { return failure.Named(failure.Inner(err)) }

// named names an error of the database under the caller's context: if that has ended, the error is the context's.
func named(caller context.Context, err error) error {
	if ended := caller.Err(); ended != nil && err != nil {
		return ended
	}
	return unavailable(err)
}
