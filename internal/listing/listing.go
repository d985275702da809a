// Package listing reads whole listings of tenants, page by page.
package listing

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/artflow-studio/tenancy"
)

// List returns a page of the tenants that a filter selects, as catalogs do.
type List func(context.Context, tenancy.Filter) ([]*tenancy.Tenant, error)

// All yields all tenants that the filter selects, each once, in the filter's order: from its position on, and at most its limit, if it
// has one. Pages have so many tenants. After an error it yields nothing more.
//
// A tenant whose name or time changes meanwhile moves in an order by these, over the border of two pages perhaps. So such listings are
// read in the order of IDs, and sorted here.
func All(ctx context.Context, list List, f tenancy.Filter, page int) iter.Seq2[*tenancy.Tenant, error] {
	if field, _ := f.Sort.Field(); field == tenancy.SortID || field == tenancy.SortCreated {
		return pages(ctx, list, f, page)
	}
	return sorted(ctx, list, f, page)
}

func pages(ctx context.Context, list List, f tenancy.Filter, page int) iter.Seq2[*tenancy.Tenant, error] {
	return func(yield func(*tenancy.Tenant, error) bool) {
		for left := f.Limit; ; {
			f.Limit = page
			if left > 0 {
				f.Limit = min(left, page)
			}
			found, err := list(ctx, f)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, t := range found {
				if !yield(t, nil) {
					return
				}
			}
			if len(found) < f.Limit || len(found) == left {
				return
			}
			left = max(left-len(found), 0)
			f.After = f.Next(found[len(found)-1])
		}
	}
}

func sorted(ctx context.Context, list List, f tenancy.Filter, page int) iter.Seq2[*tenancy.Tenant, error] {
	return func(yield func(*tenancy.Tenant, error) bool) {
		key, id, err := f.Position()
		if err != nil {
			yield(nil, err)
			return
		}
		type placed struct {
			key    string
			tenant *tenancy.Tenant
		}
		_, descending := f.Sort.Field()
		order := func(a, b placed) int {
			n := cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.tenant.ID, b.tenant.ID))
			if descending {
				return -n
			}
			return n
		}
		after := placed{key, &tenancy.Tenant{ID: id}}
		byID := f
		byID.Sort, byID.After, byID.Limit = tenancy.SortID, "", 0
		var all []placed
		for t, err := range pages(ctx, list, byID, page) {
			if err != nil {
				yield(nil, err)
				return
			}
			if p := (placed{f.Sort.Key(t), t}); f.After == "" || order(p, after) > 0 {
				all = append(all, p)
			}
		}
		slices.SortFunc(all, order)
		if f.Limit > 0 {
			all = all[:min(f.Limit, len(all))]
		}
		for _, p := range all {
			if !yield(p.tenant, nil) {
				return
			}
		}
	}
}
