package catalog

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/listing"
)

// maxTagFacets is how many tags [Facets] has at most: the most common ones.
const maxTagFacets = 200

// Facets count the tenants that a filter selects by the fields of their records.
type Facets struct {
	Total  int64                    `json:"total"`
	Status map[tenancy.Status]int64 `json:"status"`
	// Plan and Server leave out tenants without a plan or a server.
	Plan   map[string]int64 `json:"plan"`
	Server map[string]int64 `json:"server"`
	// Tags are the 200 most common tags.
	Tags map[string]int64 `json:"tags"`
}

// FacetStore is the optional ability of a [Store] to count. Without it the catalog reads
// the records.
type FacetStore interface {
	// Facets counts what [Store.List] would return without limit and cursor.
	Facets(ctx context.Context, f tenancy.Filter) (*Facets, error)
	// Count returns Facets.Total alone.
	Count(ctx context.Context, f tenancy.Filter) (int64, error)
}

// Facets counts the tenants that the filter selects. It ignores order, cursor and limit. The errors are those
// of [Catalog.List].
func (c *Catalog) Facets(ctx context.Context, f tenancy.Filter) (*Facets, error) {
	out, err := c.facets(ctx, f, false)
	return out, wrap("catalog.Catalog.Facets", "", err)
}

// Count returns the number of tenants that the filter selects. It ignores order, cursor and limit. The errors
// are those of [Catalog.List].
func (c *Catalog) Count(ctx context.Context, f tenancy.Filter) (int64, error) {
	out, err := c.facets(ctx, f, true)
	if err != nil {
		return 0, wrap("catalog.Catalog.Count", "", err)
	}
	return out.Total, nil
}

func (c *Catalog) facets(ctx context.Context, f tenancy.Filter, totalOnly bool) (*Facets, error) {
	f.Sort, f.After, f.Limit = "", "", 0
	if err := f.Validate(); err != nil {
		return nil, err
	}
	for _, term := range f.Terms {
		return nil, fmt.Errorf("%w: the catalog has no field %q", tenancy.ErrInvalid, term.Field)
	}
	out := newFacets()
	if f.Scope != nil && f.Scope.IsZero() {
		return out, nil
	}
	if s, ok := c.store.(FacetStore); ok {
		if totalOnly {
			n, err := s.Count(ctx, f)
			out.Total = n
			return out, err
		}
		return s.Facets(ctx, f)
	}
	f.Sort, f.After, f.Limit = "", "", 0 // all of them, in any order
	for t, err := range listing.All(ctx, c.store.List, f, selectPage) {
		if err != nil {
			return nil, err
		}
		out.add(t)
	}
	out.Tags = mostCommon(out.Tags)
	return out, nil
}

func newFacets() *Facets {
	return &Facets{Status: map[tenancy.Status]int64{}, Plan: map[string]int64{}, Server: map[string]int64{}, Tags: map[string]int64{}}
}

// mostCommon returns the most common tags, of which a store without the ability to count may have read any number.
func mostCommon(tags map[string]int64) map[string]int64 {
	names := slices.SortedFunc(maps.Keys(tags), func(a, b string) int {
		return cmp.Or(cmp.Compare(tags[b], tags[a]), strings.Compare(a, b))
	})
	out := map[string]int64{}
	for _, name := range names[:min(len(names), maxTagFacets)] {
		out[name] = tags[name]
	}
	return out
}

func (f *Facets) add(t *tenancy.Tenant) {
	f.Total++
	f.Status[t.Status]++
	if t.Plan != "" {
		f.Plan[t.Plan]++
	}
	if t.Placement.Server != "" {
		f.Server[t.Placement.Server]++
	}
	for _, tag := range t.Tags {
		f.Tags[tag]++
	}
}
