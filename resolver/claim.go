package resolver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/artflow-studio/tenancy"
)

// Claim resolves by a claim of a token that the application has verified.
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

// NewClaim returns a resolver by the claim of that name. The function claims verifies the request's token and
// returns its claims, or nil if the request has no token. If the token is not valid it returns an error, which
// then wraps [tenancy.ErrUnauthenticated] unless it already wraps a sentinel of package tenancy or an error of
// package context.
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

// Resolve returns what the claim names: a text, a whole number, or a list of exactly one of these. Any other
// claim is an error; so is a list of several tenants.
func (c *Claim) Resolve(r *http.Request) (Match, error) {
	claims, err := c.claims(r)
	if err != nil {
		return Match{}, asUnauthenticated(err)
	}
	value, ok := claims[c.name]
	if !ok {
		return Match{}, tenancy.ErrUnresolved
	}
	text, problem := claimText(value)
	if problem != "" {
		return Match{}, fmt.Errorf("%w: claim %s: %s, want a text, a whole number, or a list of one of these", tenancy.ErrInvalid, c.name, problem)
	}
	return newMatch("claim "+c.name, c.kind, text)
}

// claimText returns the text of a claim in each of the types that JSON decoders and token libraries produce, or
// says what it is instead.
func claimText(value any) (text, problem string) {
	switch list := value.(type) {
	case []any:
		if len(list) != 1 {
			return "", fmt.Sprintf("a list of %d", len(list))
		}
		value = list[0]
	case []string:
		if len(list) != 1 {
			return "", fmt.Sprintf("a list of %d", len(list))
		}
		value = list[0]
	}
	switch v := value.(type) {
	case string:
		return v, ""
	case int:
		return strconv.Itoa(v), ""
	case int64:
		return strconv.FormatInt(v, 10), ""
	case json.Number:
		if strings.Trim(string(v), "0123456789") == "" {
			return string(v), ""
		}
		return "", "no whole number"
	case float64:
		// From 2^53 on, several numbers of JSON are one float64: of two tenants, perhaps.
		if v != math.Trunc(v) || math.Abs(v) >= 1<<53 {
			return "", "no whole number that is exact"
		}
		return strconv.FormatFloat(v, 'f', 0, 64), ""
	case nil:
		return "", "null"
	case bool:
		return "", "a boolean"
	case map[string]any:
		return "", "an object"
	case []any, []string:
		return "", "a list in a list"
	}
	return "", fmt.Sprintf("a %T", value)
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
