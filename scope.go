package tenancy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Scope says which tenants somebody may see or work on: all, those with one of
// some tags, or those with one of some IDs. The zero Scope includes nobody.
// A Scope is immutable and may be used by many goroutines.
type Scope struct {
	all  bool
	tags []string
	ids  []ID
}

// AllTenants returns the scope that includes every tenant.
func AllTenants() Scope { return Scope{all: true} }

// ByTags returns the scope of the tenants that have at least one of the tags.
// Without tags it includes nobody.
func ByTags(tags ...string) Scope { return Scope{tags: sorted(tags)} }

// ByIDs returns the scope of the tenants with these IDs. Without IDs it includes
// nobody.
func ByIDs(ids ...ID) Scope { return Scope{ids: sorted(ids)} }

// sorted returns the values in ascending order, each once; nil for none.
func sorted[T ~string](values []T) []T {
	if len(values) == 0 {
		return nil
	}
	values = slices.Clone(values)
	slices.Sort(values)
	return slices.Compact(values)
}

// IsAll reports whether the scope includes every tenant.
func (s Scope) IsAll() bool { return s.all }

// IsZero reports whether the scope includes nobody.
func (s Scope) IsZero() bool { return !s.all && len(s.tags) == 0 && len(s.ids) == 0 }

// Tags returns the tags of [ByTags] in ascending order.
func (s Scope) Tags() []string { return slices.Clone(s.tags) }

// IDs returns the IDs of [ByIDs] in ascending order.
func (s Scope) IDs() []ID { return slices.Clone(s.ids) }

// Includes reports whether the tenant is in the scope. A nil tenant is in none.
func (s Scope) Includes(t *Tenant) bool {
	if t == nil {
		return false
	}
	if s.all {
		return true
	}
	if _, ok := slices.BinarySearch(s.ids, t.ID); ok {
		return true
	}
	return slices.ContainsFunc(t.Tags, func(tag string) bool {
		_, ok := slices.BinarySearch(s.tags, tag)
		return ok
	})
}

// String returns the scope for logs.
func (s Scope) String() string {
	switch {
	case s.all:
		return "all tenants"
	case len(s.tags) > 0:
		return fmt.Sprintf("tags %q", s.tags)
	case len(s.ids) > 0:
		return fmt.Sprintf("tenants %q", s.ids)
	}
	return "no tenants"
}

// scopeJSON is a scope as JSON; at most one of its fields is set.
type scopeJSON struct {
	All  bool     `json:"all,omitempty"`
	Tags []string `json:"tags,omitempty"`
	IDs  []ID     `json:"ids,omitempty"`
}

// MarshalJSON returns {"all":true}, {"tags":[…]}, {"ids":[…]}, or {} for the
// scope of nobody.
func (s Scope) MarshalJSON() ([]byte, error) {
	return json.Marshal(scopeJSON{s.all, s.tags, s.ids})
}

// UnmarshalJSON reads the form of [Scope.MarshalJSON]. Anything else, such as an
// unknown field, two fields, or a malformed tag or ID, is an error that wraps
// [ErrInvalid], and the scope stays as it is: a scope is never wider than it was
// written.
func (s *Scope) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var in *scopeJSON
	if err := dec.Decode(&in); err != nil {
		return fmt.Errorf("%w: scope: %w", ErrInvalid, err)
	}
	if in == nil {
		return fmt.Errorf("%w: scope: null, want an object", ErrInvalid)
	}
	set := 0
	for _, is := range []bool{in.All, len(in.Tags) > 0, len(in.IDs) > 0} {
		if is {
			set++
		}
	}
	if set > 1 {
		return fmt.Errorf("%w: scope: want one of all, tags and ids", ErrInvalid)
	}
	for _, tag := range in.Tags {
		if err := ValidateTag(tag); err != nil {
			return err
		}
	}
	for _, id := range in.IDs {
		if err := id.Validate(); err != nil {
			return err
		}
	}
	*s = Scope{in.All, sorted(in.Tags), sorted(in.IDs)}
	return nil
}
