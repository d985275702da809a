package tenancy

import (
	"context"
	"errors"
	"io"
	"strings"
)

// Each sentinel answers one question: what should the caller do? Find it with
// [errors.Is]; the text of an error is for logs and never for a client.
var (
	// ErrNoTenant: the context carries no tenant. Wrap the handler in the
	// middleware, or use [NewContext].
	ErrNoTenant = errors.New("no tenant in the context")
	// ErrUnresolved: the request names no tenant. Ask the next strategy, or
	// treat the request as one for the application itself.
	ErrUnresolved = errors.New("the request names no tenant")
	// ErrNotFound: there is no such thing. Do not ask again.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name is taken. Choose another.
	ErrExists = errors.New("exists already")
	// ErrConflict: somebody else changed it meanwhile. Read again, then retry.
	ErrConflict = errors.New("changed meanwhile")
	// ErrNotActive: the tenant exists and is not served. See [StatusError].
	ErrNotActive = errors.New("tenant is not active")
	// ErrInvalid: the input is malformed or contradicts itself. Correct it.
	ErrInvalid = errors.New("invalid")
	// ErrUnauthenticated: who is asking is not known. Authenticate.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrForbidden: who is asking may not. Do not ask again.
	ErrForbidden = errors.New("forbidden")
	// ErrLimited: too much at once. Come back later.
	ErrLimited = errors.New("limit reached")
	// ErrUnavailable: something that is needed does not answer. Retry later.
	ErrUnavailable = errors.New("unavailable")
	// ErrClosed: the thing was closed. The program is ending, or should.
	ErrClosed = errors.New("closed")
)

// Error adds to an error what was being done and for which tenant.
type Error struct {
	// Op is the package and the method, such as "catalog.Catalog.Create".
	Op string
	// Tenant is the tenant's ID, or empty when it is not known.
	Tenant ID
	Err    error
}

// Error returns the text for logs.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Tenant != "" {
		b.WriteString(": tenant ")
		b.WriteString(string(e.Tenant))
	}
	b.WriteString(": ")
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the error underneath.
func (e *Error) Unwrap() error { return e.Err }

// Wrap returns err as an *[Error], for use at the edge of a package. It
// returns nil for nil, and returns [context.Canceled],
// [context.DeadlineExceeded], [io.EOF] and what is an *Error already as they
// are.
func Wrap(op string, tenant ID, err error) error {
	switch err {
	case nil, context.Canceled, context.DeadlineExceeded, io.EOF: //nolint:errorlint // exactly these
		return err
	}
	var done *Error
	if errors.As(err, &done) {
		return err
	}
	return &Error{Op: op, Tenant: tenant, Err: err}
}

// StatusError says why a tenant is not served. It wraps [ErrNotActive].
type StatusError struct {
	Status Status
	// Tenant is the record, for a page that names it. It may be nil, and must
	// not be modified.
	Tenant *Tenant
}

// Error returns the text for logs.
func (e *StatusError) Error() string { return "tenant is " + string(e.Status) }

// Unwrap returns [ErrNotActive].
func (e *StatusError) Unwrap() error { return ErrNotActive }
