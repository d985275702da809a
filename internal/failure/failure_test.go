package failure_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
)

// An error without a sentinel becomes unavailable and stays what it is; one with a sentinel, and the end of a context, stay as they are.
func TestNamed(t *testing.T) {
	t.Parallel()
	driver := errors.New("driver: bad connection")
	if err := failure.Named(driver); !errors.Is(err, tenancy.ErrUnavailable) || !errors.Is(err, driver) {
		t.Errorf("got %v, want it unavailable and the driver's", err)
	}
	for _, err := range []error{tenancy.ErrNotFound, tenancy.ErrLimited, tenancy.ErrNotActive, context.Canceled, context.DeadlineExceeded, nil} {
		if err != nil {
			err = fmt.Errorf("somewhere: %w", err)
		}
		if got := failure.Named(err); got != err { //nolint:errorlint // the same error, not one around it
			t.Errorf("got %v, want %v", got, err)
		}
	}
}

// The end of a context of our own is not the end of the caller's.
func TestInner(t *testing.T) {
	t.Parallel()
	for _, err := range []error{context.Canceled, fmt.Errorf("read: %w", context.DeadlineExceeded)} {
		if got := failure.Inner(err); !errors.Is(got, tenancy.ErrUnavailable) || errors.Is(got, err) || errors.Is(got, context.Canceled) {
			t.Errorf("%v: got %v, want it unavailable alone", err, got)
		}
	}
	if got := failure.Inner(tenancy.ErrNotFound); !errors.Is(got, tenancy.ErrNotFound) {
		t.Errorf("got %v, want it as it is", got)
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	var e *tenancy.Error
	if err := failure.Wrap("p.T.M", "acme", errors.New("x")); !errors.As(err, &e) || e.Op != "p.T.M" || e.Tenant != "acme" || !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("got %v, want the operation, the tenant and ErrUnavailable", err)
	}
	if err := failure.Wrap("p.T.M", "acme", nil); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

// An error of two sentinels is neither's alone.
func TestOnly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{tenancy.ErrUnresolved, true},
		{fmt.Errorf("host: %w", tenancy.ErrUnresolved), true},
		{errors.Join(tenancy.ErrUnresolved, errors.New("another")), true},
		{errors.Join(tenancy.ErrUnresolved, tenancy.ErrConflict), false},
		{errors.Join(tenancy.ErrUnresolved, context.Canceled), false},
		{tenancy.ErrNotFound, false},
		{errors.New("driver"), false},
		{nil, false},
	} {
		if got := failure.Only(tt.err, tenancy.ErrUnresolved); got != tt.want {
			t.Errorf("%v: got %t, want %t", tt.err, got, tt.want)
		}
	}
}

// What a span shows of an error is the text of its sentinel alone.
func TestType(t *testing.T) {
	t.Parallel()
	if got := failure.Type(fmt.Errorf("%w: password planted", tenancy.ErrUnavailable)); got != "unavailable" {
		t.Errorf("got %q, want the sentinel's text", got)
	}
	if got := failure.Type(errors.New("password planted")); got != "_OTHER" {
		t.Errorf("got %q, want _OTHER", got)
	}
}
