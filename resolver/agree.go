package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/artflow-studio/tenancy"
)

// Agree asks all resolvers. All of them that find a tenant must name the same one, or the request is refused
// with an error that wraps [tenancy.ErrInvalid]. An unknown tenant agrees with nothing but itself. Agree
// compares refs of different kinds, such as a domain and a slug, by looking both up with find; it does not look
// up equal refs.
//
// A nil finder and a nil resolver are errors that wrap [tenancy.ErrInvalid].
func Agree(find tenancy.Finder, resolvers ...Resolver) (Resolver, error) {
	if find == nil {
		return nil, tenancy.Wrap("resolver.Agree", "", fmt.Errorf("%w: no finder", tenancy.ErrInvalid))
	}
	if slices.ContainsFunc(resolvers, func(each Resolver) bool { return each == nil }) {
		return nil, tenancy.Wrap("resolver.Agree", "", fmt.Errorf("%w: a resolver is nil", tenancy.ErrInvalid))
	}
	resolvers = slices.Clone(resolvers)
	return Func(func(r *http.Request) (Match, error) {
		var got Match
		for _, each := range resolvers {
			m, err := each.Resolve(r)
			if Unresolved(err) {
				continue
			}
			if err != nil {
				return Match{}, err
			}
			if got.Ref == (tenancy.Ref{}) {
				got = m
				continue
			}
			if got.Prefix != "" && m.Prefix != "" && got.Prefix != m.Prefix {
				return Match{}, fmt.Errorf("%w: two path prefixes match", tenancy.ErrInvalid)
			}
			if err := sameTenant(r.Context(), find, got.Ref, m.Ref); err != nil {
				return Match{}, err
			}
			if m.Prefix != "" {
				got.Prefix = m.Prefix
			}
		}
		if got.Ref == (tenancy.Ref{}) {
			return Match{}, tenancy.ErrUnresolved
		}
		return got, nil
	}), nil
}

func sameTenant(ctx context.Context, find tenancy.Finder, a, b tenancy.Ref) error {
	if a == b {
		return nil
	}
	differ := fmt.Errorf("%w: the request names %v and %v", tenancy.ErrInvalid, a, b)
	if a.Kind == b.Kind && a.Kind != tenancy.RefDomain {
		return differ // one tenant has one ID and one slug
	}
	var ids [2]tenancy.ID
	for i, ref := range []tenancy.Ref{a, b} {
		t, err := find.Find(ctx, ref)
		if errors.Is(err, tenancy.ErrNotFound) && !errors.Is(err, tenancy.ErrUnavailable) {
			return differ
		}
		if Unresolved(err) { // the request named something all the same
			return fmt.Errorf("%w: finder: %v", tenancy.ErrUnavailable, err) //nolint:errorlint // not unresolved
		}
		if err != nil {
			return err
		}
		if t == nil {
			return fmt.Errorf("the finder returned no tenant and no error for %v", ref)
		}
		ids[i] = t.ID
	}
	if ids[0] != ids[1] {
		return differ
	}
	return nil
}
