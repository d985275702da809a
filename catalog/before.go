package catalog

import (
	"context"
	"errors"
	"fmt"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
)

// askBefore asks the hooks of [Options.Before] whether the change may be made.
func (c *Catalog) askBefore(ctx context.Context, old, t *tenancy.Tenant) error {
	for _, hook := range c.before {
		change := Change{}
		if old != nil {
			change.Before = old.Clone()
		}
		if t != nil {
			change.After = t.Clone()
		}
		if err := ask(ctx, hook, change); err != nil {
			return err
		}
	}
	return nil
}

func ask(ctx context.Context, hook func(context.Context, Change) error, change Change) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &refusedError{fmt.Errorf("%w: panic: %v", tenancy.ErrUnavailable, p)}
		}
	}()
	err = hook(ctx, change)
	switch {
	case err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case failure.Known(err):
		return &refusedError{err}
	}
	return &refusedError{fmt.Errorf("%w: %w", tenancy.ErrForbidden, err)}
}

// refusedError is the error of a hook. Nothing was written.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return "a hook before changes: " + e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// byHook reports whether a hook refused the change.
func byHook(err error) bool {
	var refused *refusedError
	return errors.As(err, &refused)
}
