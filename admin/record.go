package admin

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/audited"
)

// recorded does something that has no transaction of the audit's database. The entry is written first: what cannot be recorded is not
// done. If it fails, a second entry says so. It is an entry of the tenant in the path, and has the fields, which are in order.
func (a *Admin) recorded(c *call, object string, do func() error, fields ...tenancy.FieldChange) error {
	w := audited.Work{Action: c.row.action, Object: object, Logger: a.opts.Logger}
	if c.tenant != nil {
		w.Tenant = c.tenant.ID
	}
	if a.opts.Audit != nil {
		w.Audit = withFields{a.opts.Audit, fields}
	}
	return w.Do(c.ctx(), do)
}

// withFields adds fields to the entries that it writes.
type withFields struct {
	tenancy.Auditor
	fields []tenancy.FieldChange
}

// Audit implements [tenancy.Auditor].
func (w withFields) Audit(ctx context.Context, tx *sql.Tx, e tenancy.Entry) error {
	e.Changes = append(e.Changes, w.fields...)
	return w.Auditor.Audit(ctx, tx, e)
}

// conflict makes an error about the state that a thing is in, which the input cannot correct, a conflict.
func conflict(err error) error {
	if errors.Is(err, tenancy.ErrInvalid) {
		return fmt.Errorf("%w: %w", tenancy.ErrConflict, err)
	}
	return err
}
