// Package resolver answers one question: which tenant does this request name?
//
// Each strategy is a type in a file of its own: [Host], [Subdomain], [Path],
// [Header], [Query], [Cookie], [Origin], [Claim] and [APIKey]. [First] and [Agree]
// combine them. A strategy reads the request and nothing else; it does not know
// which tenants there are. Looking the tenant up is the middleware's part.
//
// A strategy tells three cases apart. The request names a tenant: a [Match].
// It names none as far as this strategy can see: [tenancy.ErrUnresolved], and
// the next one may be asked. It is malformed or contradicts itself: an error
// that wraps [tenancy.ErrInvalid], and nobody guesses; of a credential, one
// that wraps [tenancy.ErrUnauthenticated].
//
// No strategy proves who is asking. That a request names a tenant says nothing
// about whether its sender may see it: that is for middleware.Authenticate and
// middleware.Authorize to find out.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/hostname"
)

// Resolver finds out which tenant a request names.
//
// An implementation returns [tenancy.ErrUnresolved] when the request names
// none, and an error that wraps [tenancy.ErrInvalid] when it is malformed;
// it does not modify the request, does no I/O that it could avoid, and is
// called by many goroutines at once.
type Resolver interface {
	Resolve(r *http.Request) (Match, error)
}

// Func is a function that is a [Resolver].
type Func func(r *http.Request) (Match, error)

// Resolve calls f.
func (f Func) Resolve(r *http.Request) (Match, error) { return f(r) }

// Match is what a strategy found in a request.
type Match struct {
	Ref tenancy.Ref
	// Prefix is the part of the URL's path that named the tenant, such as
	// "/t/acme", or empty. The middleware takes it off for the handler.
	Prefix string
}

// Unresolved reports whether err says that the request names no tenant, and
// nothing else. An error that also says that something is malformed or does not
// answer is no such statement: who takes it for one lets a request pass that
// names a tenant.
func Unresolved(err error) bool {
	if !errors.Is(err, tenancy.ErrUnresolved) {
		return false
	}
	for _, other := range []error{
		tenancy.ErrUnavailable, tenancy.ErrInvalid, tenancy.ErrUnauthenticated, tenancy.ErrForbidden, tenancy.ErrLimited,
		tenancy.ErrNotActive, tenancy.ErrNotFound, tenancy.ErrClosed, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// newMatch checks what a client sent and makes a match of it.
func newMatch(where string, kind tenancy.RefKind, value string) (Match, error) {
	ref, err := tenancy.NewRef(kind, value)
	if err != nil {
		return Match{}, fmt.Errorf("%s: %w: %s %q", where, tenancy.ErrInvalid, kind, hostname.Clip(value))
	}
	return Match{Ref: ref}, nil
}

// kindOr returns kind, or the default of the strategies that carry a value of
// the application's own choice. Only IDs and slugs may be chosen.
func kindOr(kind, otherwise tenancy.RefKind) (tenancy.RefKind, error) {
	switch kind {
	case tenancy.RefNone:
		return otherwise, nil
	case tenancy.RefID, tenancy.RefSlug:
		return kind, nil
	}
	return 0, fmt.Errorf("%w: kind %v, want RefID or RefSlug", tenancy.ErrInvalid, kind)
}
