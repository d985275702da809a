package admin

import (
	"context"
	"database/sql"
	"errors"

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

// stateError is about the state that a thing is in. It wraps [tenancy.ErrConflict].
type stateError struct {
	text string // for the client
	err  error
}

func (e *stateError) Error() string   { return e.err.Error() }
func (e *stateError) Unwrap() []error { return []error{tenancy.ErrConflict, e.err} }

// conflict makes an error about the state that a thing is in, which the input cannot correct, a conflict. The text tells the client what is
// in the way; without it nobody could tell that from a change that somebody else made.
func conflict(err error, text string) error {
	if errors.Is(err, tenancy.ErrInvalid) {
		return &stateError{text, err}
	}
	return err
}
