// Package resolver answers one question: which tenant does this request name?
//
// Each strategy is a type in a file of its own: [Host], [Subdomain], [Path], [Header], [Query], [Cookie],
// [Origin], [Claim] and [APIKey]. [First] and [Agree] combine them. A strategy reads the request alone; it does
// not know which tenants exist. The middleware looks the tenant up.
//
// A strategy has three answers:
//   - The request names a tenant: a [Match].
//   - As far as this strategy can see the request names none: [tenancy.ErrUnresolved]. The next strategy may be asked.
//   - The request is malformed or contradicts itself: an error that wraps [tenancy.ErrInvalid], or [tenancy.ErrUnauthenticated] for a credential. Nobody guesses.
//
// No strategy authenticates. A request that names a tenant proves nothing about its sender:
// middleware.Authenticate and middleware.Authorize decide whether the sender may use the tenant.
package resolver

import (
	"fmt"
	"net/http"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
	"github.com/artflow-studio/tenancy/internal/hostname"
)

// Resolver finds out which tenant a request names.
//
// An implementation returns [tenancy.ErrUnresolved] when the request names none, and an error that wraps
// [tenancy.ErrInvalid] when the request is malformed. It does not modify the request and avoids I/O. Many
// goroutines call it at once.
type Resolver interface {
	Resolve(r *http.Request) (Match, error)
}

// Func is a [Resolver] made of a function.
type Func func(r *http.Request) (Match, error)

// Resolve calls f.
func (f Func) Resolve(r *http.Request) (Match, error) { return f(r) }

// Match is what a strategy found in a request.
type Match struct {
	Ref tenancy.Ref
	// Prefix is the part of the URL's path that named the tenant, such as "/t/acme", or empty. The middleware
	// takes it off the path that the handler sees.
	Prefix string
}

// Unresolved reports whether err says that the request names no tenant, and nothing else. It reports false for
// an error that also wraps another sentinel, such as one that says that something is malformed or unavailable: otherwise a request that names a tenant
// could pass as one that names none.
func Unresolved(err error) bool { return failure.Only(err, tenancy.ErrUnresolved) }

// newMatch validates what a client sent and makes a match of it.
func newMatch(where string, kind tenancy.RefKind, value string) (Match, error) {
	ref, err := tenancy.NewRef(kind, value)
	if err != nil {
		return Match{}, fmt.Errorf("%s: %w: %s %q", where, tenancy.ErrInvalid, kind, hostname.Clip(value))
	}
	return Match{Ref: ref}, nil
}

// kindOr returns kind or, if it is zero, the default. Only IDs and slugs are allowed.
func kindOr(kind, otherwise tenancy.RefKind) (tenancy.RefKind, error) {
	switch kind {
	case tenancy.RefNone:
		return otherwise, nil
	case tenancy.RefID, tenancy.RefSlug:
		return kind, nil
	}
	return 0, fmt.Errorf("%w: kind %v, want RefID or RefSlug", tenancy.ErrInvalid, kind)
}
