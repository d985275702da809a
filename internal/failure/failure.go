// Package failure gives a name to errors that have none.
package failure

import (
	"context"
	"errors"
	"fmt"

	"github.com/artflow-studio/tenancy"
)

// Wrap is [tenancy.Wrap], after an error that wraps no sentinel, such as a driver's,
// became [tenancy.ErrUnavailable].
func Wrap(op string, id tenancy.ID, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return tenancy.Wrap(op, id, err)
	}
	for _, known := range []error{
		tenancy.ErrNotFound, tenancy.ErrExists, tenancy.ErrConflict, tenancy.ErrInvalid, tenancy.ErrForbidden, tenancy.ErrUnavailable, tenancy.ErrClosed,
	} {
		if errors.Is(err, known) {
			return tenancy.Wrap(op, id, err)
		}
	}
	return tenancy.Wrap(op, id, fmt.Errorf("%w: %w", tenancy.ErrUnavailable, err))
}
