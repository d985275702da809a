// Package failure gives errors without a sentinel one: about an error of a driver a caller can do no more than try again later, as
// [tenancy.ErrUnavailable] says.
package failure

import (
	"context"
	"errors"
	"fmt"

	"github.com/artflow-studio/tenancy"
)

// sentinels are the errors that already say what to do.
var sentinels = []error{
	context.Canceled, context.DeadlineExceeded, tenancy.ErrNoTenant, tenancy.ErrUnresolved, tenancy.ErrNotFound, tenancy.ErrExists,
	tenancy.ErrConflict, tenancy.ErrNotActive, tenancy.ErrInvalid, tenancy.ErrUnauthenticated, tenancy.ErrForbidden, tenancy.ErrLimited,
	tenancy.ErrUnavailable, tenancy.ErrClosed,
}

// Known reports whether err wraps a sentinel of the root, or is the end of a context.
func Known(err error) bool {
	for _, each := range sentinels {
		if errors.Is(err, each) {
			return true
		}
	}
	return false
}

// Only reports whether err wraps the sentinel, and no other.
func Only(err, sentinel error) bool {
	for _, each := range sentinels {
		if errors.Is(err, each) != (each == sentinel) { //nolint:errorlint // one of the list
			return false
		}
	}
	return true
}

// Type returns the text of the sentinel that err wraps, or "_OTHER": a text that may be shown.
func Type(err error) string {
	for _, each := range sentinels {
		if errors.Is(err, each) {
			return each.Error()
		}
	}
	return "_OTHER"
}

// Named returns err, or if it wraps no sentinel, such as an error of a driver, one that also wraps [tenancy.ErrUnavailable]. Nil stays nil.
func Named(err error) error {
	if err == nil || Known(err) {
		return err
	}
	return fmt.Errorf("%w: %w", tenancy.ErrUnavailable, err)
}

// Inner returns err, or if it is the end of a context that is not the caller's, such as one with a timeout of our own, an error that wraps
// [tenancy.ErrUnavailable] and not the context's error.
func Inner(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %v", tenancy.ErrUnavailable, err) //nolint:errorlint // another context's
	}
	return err
}

// Wrap is [tenancy.Wrap] of [Named].
func Wrap(op string, id tenancy.ID, err error) error { return tenancy.Wrap(op, id, Named(err)) }
