package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Reservation is a name that is kept from other tenants for a time.
type Reservation struct {
	// Name is the slug or the domain.
	Name tenancy.Ref
	// Tenant is the tenant that had the name.
	Tenant tenancy.ID
	Until  time.Time
}

// NameReserver is the optional ability of a [Store] to keep the names of purged tenants from others. The
// [Within] of a change calls both methods with its tx; what they write is part of the change.
type NameReserver interface {
	// Reserve keeps the names until that time, in place of earlier reservations. It may remove reservations
	// that had ended at now.
	Reserve(ctx context.Context, tx *sql.Tx, names []Reservation, now time.Time) error
	// Reserved returns which of the names are reserved at now. It sees what other
	// transactions have committed before it is called.
	Reserved(ctx context.Context, tx *sql.Tx, names []tenancy.Ref, now time.Time) ([]Reservation, error)
}

// newNames returns the slug and the domains that the record has and old, which may be nil, has not.
func newNames(old, t *tenancy.Tenant) (names []tenancy.Ref) {
	for ref := range RefsOf(t) {
		had := old != nil && (ref.Kind == tenancy.RefSlug && old.Slug == ref.Value || ref.Kind == tenancy.RefDomain && slices.Contains(old.Domains, ref.Value))
		if ref.Kind != tenancy.RefID && !had {
			names = append(names, ref)
		}
	}
	return names
}

// checkNames returns an error that wraps [tenancy.ErrExists] if one of the names is
// reserved for another tenant.
func checkNames(ctx context.Context, tx *sql.Tx, in NameReserver, id tenancy.ID, names []tenancy.Ref) error {
	found, err := in.Reserved(ctx, tx, names, now())
	if err != nil {
		return err
	}
	for _, r := range found {
		if r.Tenant != id {
			return fmt.Errorf("%w: %s %q is reserved until %s: it was that of a tenant that was purged",
				tenancy.ErrExists, r.Name.Kind, r.Name.Value, r.Until.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// reserve keeps the names of a purged tenant.
func reserve(ctx context.Context, tx *sql.Tx, in NameReserver, t *tenancy.Tenant, d time.Duration) error {
	at := now()
	var all []Reservation
	for _, name := range newNames(nil, t) {
		all = append(all, Reservation{name, t.ID, at.Add(d)})
	}
	return in.Reserve(ctx, tx, all, at)
}

// Reserve implements [NameReserver].
func (s *sqlStore) Reserve(ctx context.Context, tx *sql.Tx, names []Reservation, now time.Time) error {
	_, err := tx.ExecContext(ctx, s.dialect.Rebind(`DELETE FROM tenancy_reserved_names WHERE reserved_until <= ?`), now.UnixMicro())
	for _, r := range names {
		if err == nil {
			_, err = tx.ExecContext(ctx, s.dialect.Rebind(`DELETE FROM tenancy_reserved_names WHERE kind = ? AND name = ?`), r.Name.Kind.String(), r.Name.Value)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, s.dialect.Rebind(`INSERT INTO tenancy_reserved_names (kind, name, tenant_id, reserved_until) VALUES (?, ?, ?, ?)`),
				r.Name.Kind.String(), r.Name.Value, r.Tenant, r.Until.UnixMicro())
		}
	}
	return err
}

// Reserved implements [NameReserver]. MySQL shows a transaction what had been committed
// when it first read, unless it locks what it reads.
func (s *sqlStore) Reserved(ctx context.Context, tx *sql.Tx, names []tenancy.Ref, now time.Time) (found []Reservation, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	args := []any{now.UnixMicro()}
	for _, ref := range names {
		args = append(args, ref.Kind.String(), ref.Value)
	}
	query := `SELECT kind, name, tenant_id, reserved_until FROM tenancy_reserved_names WHERE reserved_until > ? AND (` +
		strings.TrimSuffix(strings.Repeat(`kind = ? AND name = ? OR `, len(names)), ` OR `) + `)`
	if s.dialect == sqlkit.MySQL {
		query += ` LOCK IN SHARE MODE`
	}
	rows, err := tx.QueryContext(ctx, s.dialect.Rebind(query), args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var (
			r     Reservation
			kind  string
			until int64
		)
		if err := rows.Scan(&kind, &r.Name.Value, &r.Tenant, &until); err != nil {
			return nil, err
		}
		r.Name.Kind = tenancy.RefDomain
		if kind == tenancy.RefSlug.String() {
			r.Name.Kind = tenancy.RefSlug
		}
		r.Until = time.UnixMicro(until).UTC()
		found = append(found, r)
	}
	return found, rows.Err()
}
