package runs

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/listing"
)

// selectBatch is how many tenants are read again that a selector has chosen.
const selectBatch = 500

// parseFilter reads the text of a filter.
func (r *Runner) parseFilter(text string) (tenancy.Filter, error) {
	f, err := tenancy.ParseFilter(text, r.opts.Fields...)
	if err == nil && len(f.Terms) > 0 && r.opts.Selector == nil {
		err = fmt.Errorf("%w: the filter has a condition that only a Selector can check, and Options.Selector is not set", tenancy.ErrInvalid)
	}
	return f, err
}

// inCatalog returns the conditions of a filter that the catalog checks, about one of
// these tenants.
func inCatalog(f tenancy.Filter, ids ...tenancy.ID) (conditions tenancy.Filter, some bool) {
	if len(f.IDs) > 0 {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id tenancy.ID) bool { return !slices.Contains(f.IDs, id) })
	}
	f.IDs, f.Terms, f.After, f.Limit = ids, nil, "", len(ids)
	return f, len(ids) > 0
}

// selected returns the tenant with that ID if the filter selects it, and the record
// otherwise beside false. Only the catalog's conditions count.
func (r *Runner) selected(ctx context.Context, f tenancy.Filter, id tenancy.ID) (t *tenancy.Tenant, is bool, err error) {
	if conditions, some := inCatalog(f, id); some {
		page, err := r.catalog.List(ctx, conditions)
		if err != nil || len(page) == 1 {
			return first(page), err == nil, err
		}
	}
	t, err = r.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
	return t, false, err
}

func first(page []*tenancy.Tenant) *tenancy.Tenant {
	if len(page) == 0 {
		return nil
	}
	return page[0]
}

// records yields the tenants that the filter selects, in its order. Those that a
// selector has chosen are read again from the catalog, and the catalog's conditions are
// checked there.
func (r *Runner) records(ctx context.Context, f tenancy.Filter) iter.Seq2[*tenancy.Tenant, error] {
	if r.opts.Selector == nil {
		f.Limit = 0
		return listing.All(ctx, r.catalog.List, f, maxPage)
	}
	return func(yield func(*tenancy.Tenant, error) bool) {
		var batch []tenancy.ID
		flush := func() bool {
			conditions, some := inCatalog(f, batch...)
			order := batch
			batch = nil
			if !some {
				return true
			}
			page, err := r.catalog.List(ctx, conditions)
			if err != nil {
				yield(nil, err)
				return false
			}
			byID := make(map[tenancy.ID]*tenancy.Tenant, len(page))
			for _, t := range page {
				byID[t.ID] = t
			}
			for _, id := range order {
				if t := byID[id]; t != nil && !yield(t, nil) {
					return false
				}
			}
			return true
		}
		for id, err := range r.opts.Selector.Select(ctx, f) {
			if err != nil {
				yield(nil, err)
				return
			}
			if batch = append(batch, id); len(batch) == selectBatch && !flush() {
				return
			}
		}
		flush()
	}
}
