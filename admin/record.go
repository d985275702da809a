package admin

import (
	"errors"
	"fmt"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/audited"
)

// recorded does something that has no transaction of the audit's database. The entry is written first: what cannot be recorded is not
// done. If it fails, a second entry says so.
func (a *Admin) recorded(c *call, object string, do func() error) error {
	w := audited.Work{Action: c.row.action, Object: object, Logger: a.opts.Logger}
	if a.opts.Audit != nil {
		w.Audit = a.opts.Audit
	}
	return w.Do(c.ctx(), do)
}

// conflict makes an error about the state that a thing is in, which the input cannot correct, a conflict.
func conflict(err error) error {
	if errors.Is(err, tenancy.ErrInvalid) {
		return fmt.Errorf("%w: %w", tenancy.ErrConflict, err)
	}
	return err
}
