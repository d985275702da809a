package dbpool

import (
	"context"
	"fmt"

	"github.com/artflow-studio/tenancy"
)

// allows returns an error if the context belongs to another tenant than the
// connection, or allows reading only and the connection can write. A handle that an
// application keeps for one tenant must not answer in a request of another.
func (l *lane) allows(ctx context.Context) error {
	if l.tenant == "" { // the pool's own, to the server itself
		return nil
	}
	if of, ok := tenancy.FromContext(ctx); ok && of.ID != l.tenant {
		return l.wrongContext("a context of tenant %q", of.ID)
	}
	if !l.readOnly && tenancy.IsReadOnly(ctx) {
		return l.wrongContext("a read-only context, want the handle that the pool returns in it")
	}
	return nil
}

func (l *lane) wrongContext(in string, args ...any) error {
	return tenancy.Wrap("dbpool.use", l.tenant, fmt.Errorf("%w: a handle of this tenant in "+in, append([]any{tenancy.ErrForbidden}, args...)...))
}
