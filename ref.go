package tenancy

import (
	"context"
	"fmt"
)

// RefKind says by which field a [Ref] names a tenant.
type RefKind uint8

const (
	// RefNone is the kind of the zero Ref, which names nothing.
	RefNone RefKind = iota
	// RefID names a tenant by its [ID].
	RefID
	// RefSlug names a tenant by its slug.
	RefSlug
	// RefDomain names a tenant by one of its domains.
	RefDomain
)

// String returns the kind's name, as logs show it.
func (k RefKind) String() string {
	switch k {
	case RefNone:
		return "none"
	case RefID:
		return "id"
	case RefSlug:
		return "slug"
	case RefDomain:
		return "domain"
	}
	return fmt.Sprintf("RefKind(%d)", uint8(k))
}

// Ref is what a request named: a kind and a value in canonical form. Refs are
// comparable; two that are equal name the same tenant, and two that differ may.
type Ref struct {
	Kind  RefKind
	Value string
}

// NewRef returns the Ref of the given kind after checking that value has the
// form of that kind: an ID, a slug, or a domain in lower-case ASCII. A value
// that has not is an error that wraps [ErrInvalid].
func NewRef(kind RefKind, value string) (Ref, error) {
	var err error
	switch kind {
	case RefID:
		err = ID(value).Validate()
	case RefSlug:
		err = ValidateSlug(value)
	case RefDomain:
		err = ValidateDomain(value)
	default:
		err = fmt.Errorf("%w: %v is no kind of ref", ErrInvalid, kind)
	}
	if err != nil {
		return Ref{}, err
	}
	return Ref{kind, value}, nil
}

// String returns the ref for logs, such as "slug:acme".
func (r Ref) String() string { return r.Kind.String() + ":" + r.Value }

// Finder looks a tenant up by what a request named.
//
// An implementation returns an error that wraps [ErrNotFound] when there
// is no such tenant, and one that wraps [ErrUnavailable] when it cannot
// tell. It returns tenants in every [Status]. The record is shared: neither
// side modifies it afterwards. Find is called by many goroutines at once.
type Finder interface {
	Find(ctx context.Context, ref Ref) (*Tenant, error)
}
