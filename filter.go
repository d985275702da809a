package tenancy

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// Filter selects tenants from a listing. A zero field does not restrict.
// [ParseFilter] reads one from text, and [Filter.String] writes it.
type Filter struct {
	// Status lists the statuses to include.
	Status []Status
	// Plan is matched exactly.
	Plan string
	// Tags selects tenants that have at least one of the tags.
	Tags []string
	// IDs lists the tenants to include. At most 1,000.
	IDs []ID
	// Server is the server of the placement, matched exactly.
	Server string
	// Text holds words, in any case, of which each begins a word of slug, name or domains:
	// see [Tenant.Words].
	Text string
	// CreatedFrom and CreatedBefore bound CreatedAt: from ≤ t < before.
	CreatedFrom, CreatedBefore time.Time
	// SchemaFrom and SchemaBefore bound SchemaVersion: from ≤ v < before.
	SchemaFrom, SchemaBefore int64
	// Terms are conditions on fields that are not the tenant's record's, for those
	// who know them. Others refuse them with an error that wraps [ErrInvalid].
	Terms []Term
	// Scope is what may be seen at all. Nil is everything; the zero Scope is
	// nothing.
	Scope *Scope
	// Sort is the order of the listing. Default: [SortID].
	Sort Sort
	// After continues a listing behind a page: see [Filter.Next].
	After Cursor
	// Limit is the size of a page: at most 1,000; default 100.
	Limit int
}

// Selector selects tenants: a catalog, or what adds fields of its own to one.
type Selector interface {
	// Select yields the IDs of the tenants that the filter selects, each once, in
	// the filter's order, page by page; Limit is how many there are at most, and
	// none is all. After an error it yields nothing more. A filter with fields that
	// the selector does not know is an error that wraps [ErrInvalid].
	Select(ctx context.Context, f Filter) iter.Seq2[ID, error]
}

// Sort is the order of a listing. Tenants that are equal in it are in the order of
// their IDs, ascending or descending as the listing.
type Sort string

// The orders of listings. With a hyphen in front, such as "-created", each is
// descending.
const (
	SortID      Sort = "id"
	SortSlug    Sort = "slug"
	SortName    Sort = "name"
	SortCreated Sort = "created"
	SortUpdated Sort = "updated"
)

// Sorts returns the ascending orders.
func Sorts() []Sort { return []Sort{SortID, SortSlug, SortName, SortCreated, SortUpdated} }

// Field returns the order without its direction, and whether it is descending. The
// empty order is that of IDs.
func (s Sort) Field() (field Sort, descending bool) {
	if s == "" {
		return SortID, false
	}
	rest, descending := strings.CutPrefix(string(s), "-")
	return Sort(rest), descending
}

// Key returns what the tenant is sorted by, as a text. Keys compare byte by byte as
// the tenants do.
func (s Sort) Key(t *Tenant) string {
	field, _ := s.Field()
	switch field {
	case SortSlug:
		return t.Slug
	case SortName:
		return t.Name
	case SortCreated:
		return timeKey(t.CreatedAt)
	case SortUpdated:
		return timeKey(t.UpdatedAt)
	}
	return string(t.ID)
}

// timeKey returns the microseconds since 1970 in as many digits as any have.
func timeKey(t time.Time) string { return fmt.Sprintf("%019d", max(t.UnixMicro(), 0)) }

// Longest and largest values of a filter.
const (
	maxFilterText   = 4096 // bytes of ParseFilter's text
	maxSearch       = 256  // bytes of Filter.Text
	maxFilterValues = 1000 // of each list
	maxFilterPage   = 1000
)

// Validate reports a malformed filter with an error that wraps [ErrInvalid].
func (f *Filter) Validate() error {
	for _, list := range [...]struct {
		what string
		n    int
	}{
		{"statuses", len(f.Status)}, {"tags", len(f.Tags)}, {"IDs", len(f.IDs)}, {"terms", len(f.Terms)},
	} {
		if list.n > maxFilterValues {
			return fmt.Errorf("%w: filter with %d %s, want at most %d", ErrInvalid, list.n, list.what, maxFilterValues)
		}
	}
	for _, s := range f.Status {
		if !s.valid() {
			return fmt.Errorf("%w: status %.40q", ErrInvalid, string(s))
		}
	}
	for _, tag := range f.Tags {
		if err := ValidateTag(tag); err != nil {
			return err
		}
	}
	for _, id := range f.IDs {
		if err := id.Validate(); err != nil {
			return err
		}
	}
	for _, text := range []struct {
		what, value string
		most        int
	}{
		{"plan", f.Plan, maxPlan}, {"server", f.Server, maxServer}, {"text of the filter", strings.TrimSpace(f.Text), maxSearch},
	} {
		if err := validateText(text.what, text.value, text.most); err != nil {
			return err
		}
	}
	if err := f.validateWords(); err != nil {
		return err
	}
	if !f.CreatedFrom.IsZero() && !f.CreatedBefore.IsZero() && !f.CreatedFrom.Before(f.CreatedBefore) {
		return fmt.Errorf("%w: created from %v to before %v is an empty range", ErrInvalid, f.CreatedFrom, f.CreatedBefore)
	}
	if f.SchemaFrom < 0 || f.SchemaBefore < 0 {
		return fmt.Errorf("%w: schema below 0", ErrInvalid)
	}
	if f.SchemaBefore > 0 && f.SchemaFrom >= f.SchemaBefore {
		return fmt.Errorf("%w: schema from %d to before %d is an empty range", ErrInvalid, f.SchemaFrom, f.SchemaBefore)
	}
	if field, _ := f.Sort.Field(); !slices.Contains(Sorts(), field) {
		return fmt.Errorf("%w: sort %.40q, want one of %q", ErrInvalid, string(f.Sort), Sorts())
	}
	if f.Limit < 0 || f.Limit > maxFilterPage {
		return fmt.Errorf("%w: page of %d tenants, want 1 to %d", ErrInvalid, f.Limit, maxFilterPage)
	}
	_, _, err := f.Position()
	return err
}

// Next returns the cursor that continues the listing behind the tenant, the last
// of a page. It counts for this filter, scope and order alone, in pages of any
// size.
func (f *Filter) Next(last *Tenant) Cursor {
	return NewCursor(f.query(), f.Sort.Key(last), string(last.ID))
}

// Position returns the key of [Sort.Key] and the ID behind which the listing
// continues; both are empty at the beginning. A cursor that is malformed, or of
// another filter, is an error that wraps [ErrInvalid].
func (f *Filter) Position() (key string, id ID, err error) {
	if f.After == "" {
		return "", "", nil
	}
	values, err := f.After.Values(f.query(), 2)
	if err != nil {
		return "", "", err
	}
	key, id = values[0], ID(values[1])
	if err := id.Validate(); err != nil {
		return "", "", fmt.Errorf("cursor: %w", err)
	}
	field, _ := f.Sort.Field()
	if isTime := field == SortCreated || field == SortUpdated; isTime && (len(key) != 19 || strings.Trim(key, "0123456789") != "") {
		return "", "", fmt.Errorf("%w: malformed cursor: %.40q, want a time", ErrInvalid, key)
	}
	if err := validateText("cursor", key, maxName); err != nil {
		return "", "", err
	}
	return key, id, nil
}

// query is what cursors belong to.
func (f *Filter) query() string {
	same := *f
	same.Text = strings.ToLower(f.Text)
	scope := ""
	if f.Scope != nil {
		scope = f.Scope.String()
	}
	return same.String() + "\n" + scope
}
