package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/artflow-studio/tenancy"
)

// Claim resolves by a claim of a token that the host has verified.
type Claim struct {
	name   string
	claims func(*http.Request) (map[string]any, error)
	kind   tenancy.RefKind
}

// ClaimOptions are the options of [NewClaim].
type ClaimOptions struct {
	// Kind is what the claim is: RefID or RefSlug. Default: RefID.
	Kind tenancy.RefKind
}

// NewClaim returns a resolver by the claim of that name. The function returns
// the claims of the request's token after it has verified the token, nil if
// the request has none, and an error if it is not valid; that error then
// unwraps to [tenancy.ErrUnauthenticated] unless it unwraps to another of
// package tenancy's or of package context's itself.
func NewClaim(name string, claims func(*http.Request) (map[string]any, error), opts *ClaimOptions) (*Claim, error) {
	const op = "resolver.NewClaim"
	if opts == nil {
		opts = &ClaimOptions{}
	}
	kind, err := kindOr(opts.Kind, tenancy.RefID)
	if err == nil && (name == "" || claims == nil) {
		err = fmt.Errorf("%w: want the name of a claim and a function that returns claims", tenancy.ErrInvalid)
	}
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return &Claim{name, claims, kind}, nil
}

// Resolve returns what the claim names. A claim that is not a string is an error.
func (c *Claim) Resolve(r *http.Request) (Match, error) {
	claims, err := c.claims(r)
	if err != nil {
		return Match{}, asUnauthenticated(err)
	}
	value, ok := claims[c.name]
	if !ok {
		return Match{}, tenancy.ErrUnresolved
	}
	text, ok := value.(string)
	if !ok {
		return Match{}, fmt.Errorf("%w: claim %s is a %T", tenancy.ErrInvalid, c.name, value)
	}
	return newMatch("claim "+c.name, c.kind, text)
}

func asUnauthenticated(err error) error {
	for _, known := range []error{
		context.Canceled, context.DeadlineExceeded, tenancy.ErrNoTenant, tenancy.ErrUnresolved, tenancy.ErrNotFound, tenancy.ErrExists, tenancy.ErrConflict,
		tenancy.ErrNotActive, tenancy.ErrInvalid, tenancy.ErrUnauthenticated, tenancy.ErrForbidden, tenancy.ErrLimited, tenancy.ErrUnavailable, tenancy.ErrClosed,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", tenancy.ErrUnauthenticated, err)
}
