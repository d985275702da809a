package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
)

// recorded does something that has no transaction of the audit's database. The entry is written first: what cannot be recorded is not
// done. If it fails, a second entry says so.
func (a *Admin) recorded(c *call, object string, do func() error) error {
	if a.opts.Audit == nil {
		return do()
	}
	e := tenancy.NewEntry(c.ctx(), c.row.action, "")
	e.Object = object
	if err := a.opts.Audit.Audit(c.ctx(), nil, e); err != nil {
		return unavailable(err)
	}
	err := do()
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), 5*time.Second) // the client may be gone
		defer cancel()
		failed := tenancy.NewEntry(ctx, c.row.action, "")
		failed.Object, failed.Result = object, tenancy.AuditFailed
		if e := a.opts.Audit.Audit(ctx, nil, failed); e != nil {
			a.opts.Logger.WarnContext(c.ctx(), "admin: the entry of a failure is lost; the one before says that it was done", "object", object, "error", e)
		}
	}
	return err
}

// conflict makes an error about the state that a thing is in, which the input cannot correct, a conflict.
func conflict(err error) error {
	if errors.Is(err, tenancy.ErrInvalid) {
		return fmt.Errorf("%w: %w", tenancy.ErrConflict, err)
	}
	return err
}
