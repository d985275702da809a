package wire

import (
	"context"
	"fmt"

	"github.com/artflow-studio/tenancy"
)

// Allows returns an error if the context belongs to another tenant than the
// connection, or allows reading only and the connection can write. A handle that an
// application keeps for one tenant must not answer in a request of another.
func (d *Database) Allows(ctx context.Context) error {
	if d.Tenant == "" { // the pool's own, to the server itself
		return nil
	}
	if of, ok := tenancy.FromContext(ctx); ok && of.ID != d.Tenant {
		return d.wrongContext("a context of tenant %q", of.ID)
	}
	if !d.ReadOnly && tenancy.IsReadOnly(ctx) {
		return d.wrongContext("a read-only context, want the handle that the pool returns in it")
	}
	return nil
}

func (d *Database) wrongContext(in string, args ...any) error {
	return tenancy.Wrap("dbpool.use", d.Tenant, fmt.Errorf("%w: a handle of this tenant in "+in, append([]any{tenancy.ErrForbidden}, args...)...))
}
