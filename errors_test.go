package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestSentinelsAreDistinct(t *testing.T) {
	t.Parallel()
	all := []error{
		tenancy.ErrNoTenant, tenancy.ErrUnresolved, tenancy.ErrNotFound, tenancy.ErrExists, tenancy.ErrConflict,
		tenancy.ErrNotActive, tenancy.ErrInvalid, tenancy.ErrUnauthenticated, tenancy.ErrForbidden, tenancy.ErrLimited,
		tenancy.ErrUnavailable, tenancy.ErrClosed,
	}
	for i, a := range all {
		for j, b := range all {
			if got, want := errors.Is(a, b), i == j; got != want {
				t.Errorf("errors.Is(%v, %v) = %v, want %v", a, b, got, want)
			}
		}
	}
}

func TestWrapPassesAsItIs(t *testing.T) {
	t.Parallel()
	done := &tenancy.Error{Op: "catalog.Get", Tenant: "t1", Err: tenancy.ErrNotFound}
	for _, err := range []error{
		nil, context.Canceled, context.DeadlineExceeded, io.EOF, done, fmt.Errorf("again: %w", done), errors.Join(io.EOF, done),
	} {
		if got := tenancy.Wrap("catalog.Catalog.Create", "t2", err); got != err { //nolint:errorlint // the same one
			t.Errorf("Wrap(%v) = %v, want it as it is", err, got)
		}
	}
}

// many is an error that cannot be compared with ==.
type many []error

func (many) Error() string     { return "many" }
func (m many) Unwrap() []error { return m }

func TestWrap(t *testing.T) {
	t.Parallel()
	suspended := &tenancy.StatusError{Status: tenancy.StatusSuspended}
	for _, tt := range []struct {
		err    error
		tenant tenancy.ID
		text   string
		is     []error
	}{
		{tenancy.ErrExists, "t1", "catalog.Catalog.Create: tenant t1: exists already", []error{tenancy.ErrExists}},
		{tenancy.ErrExists, "", "catalog.Catalog.Create: exists already", []error{tenancy.ErrExists}},
		{fmt.Errorf("read: %w", io.EOF), "", "catalog.Catalog.Create: read: EOF", []error{io.EOF}},
		{fmt.Errorf("ask: %w", context.Canceled), "", "catalog.Catalog.Create: ask: context canceled", []error{context.Canceled}},
		{many{tenancy.ErrClosed, io.EOF}, "", "catalog.Catalog.Create: many", []error{tenancy.ErrClosed, io.EOF}},
		{suspended, "t1", "catalog.Catalog.Create: tenant t1: tenant is suspended", []error{suspended, tenancy.ErrNotActive}},
	} {
		got := tenancy.Wrap("catalog.Catalog.Create", tt.tenant, tt.err)
		var e *tenancy.Error
		if !errors.As(got, &e) || e.Op != "catalog.Catalog.Create" || e.Tenant != tt.tenant {
			t.Errorf("Wrap(%v) = %#v, want an *Error of catalog.Create and %q", tt.err, got, tt.tenant)
			continue
		}
		if got.Error() != tt.text {
			t.Errorf("Wrap(%v): got text %q, want %q", tt.err, got, tt.text)
		}
		for _, want := range tt.is {
			if !errors.Is(got, want) {
				t.Errorf("errors.Is(Wrap(%v), %v) = false, want true", tt.err, want)
			}
		}
	}
}

func TestStatusError(t *testing.T) {
	t.Parallel()
	err := tenancy.Wrap("catalog.Catalog.Find", "t1", fmt.Errorf("closed: %w", &tenancy.StatusError{Status: tenancy.StatusBlocked}))
	var got *tenancy.StatusError
	if !errors.As(err, &got) || got.Status != tenancy.StatusBlocked {
		t.Errorf("errors.As(%v) = %v, want a StatusError that is blocked", err, got)
	}
	if !errors.Is(err, tenancy.ErrNotActive) || errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("got %v, want ErrNotActive and nothing else", err)
	}
}
