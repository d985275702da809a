package catalog

import (
	"context"
	"fmt"
	"iter"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/listing"
)

// selectPage is how many tenants Select reads at a time.
const selectPage = 500

var _ tenancy.Selector = (*Catalog)(nil)

// List returns a page of the tenants that the filter selects, in the filter's order. For the next page set
// [tenancy.Filter.After] to the filter's Next of the last tenant. A page shorter than the limit is the last. In an order by
// what changes, such as the name, a tenant that changes between two pages may be in both, or in neither: see [Catalog.Select]. A
// malformed filter, a cursor of another filter, and a filter with terms, which the catalog does not know, are
// errors that wrap [tenancy.ErrInvalid].
func (c *Catalog) List(ctx context.Context, f tenancy.Filter) ([]*tenancy.Tenant, error) {
	page, err := c.list(ctx, f)
	return page, wrap("catalog.Catalog.List", "", err)
}

func (c *Catalog) list(ctx context.Context, f tenancy.Filter) ([]*tenancy.Tenant, error) {
	if f.Limit == 0 {
		f.Limit = 100
	}
	if err := f.Validate(); err != nil {
		return nil, err
	}
	for _, term := range f.Terms {
		return nil, fmt.Errorf("%w: the catalog has no field %q", tenancy.ErrInvalid, term.Field)
	}
	if f.Scope != nil && f.Scope.IsZero() {
		return nil, nil
	}
	return c.store.List(ctx, f)
}

// Select yields the IDs of the tenants that the filter selects, each once, also while they change. It implements
// [tenancy.Selector]; the errors are those of [Catalog.List].
func (c *Catalog) Select(ctx context.Context, f tenancy.Filter) iter.Seq2[tenancy.ID, error] {
	return func(yield func(tenancy.ID, error) bool) {
		if f.Limit < 0 {
			yield("", wrap("catalog.Catalog.Select", "", fmt.Errorf("%w: at most %d tenants", tenancy.ErrInvalid, f.Limit)))
			return
		}
		for t, err := range listing.All(ctx, c.list, f, selectPage) {
			if err != nil {
				yield("", wrap("catalog.Catalog.Select", "", err))
				return
			}
			if !yield(t.ID, nil) {
				return
			}
		}
	}
}
