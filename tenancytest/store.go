// Package tenancytest helps applications and the library itself to test:
// a catalog in memory, tenants and contexts, fresh databases on real servers,
// conformance suites for what can be replaced (catalogs with their events and reserved
// names, engines, lenders, limiters, executors and bells of runs, feeds and stores of usage),
// runs of an application's own tasks, [TestSessions] for services that sign people in by a
// cookie, an audit in memory, and [TestIsolation], which shows whether a handler ever
// answers one tenant with another's data. It is for tests only.
package tenancytest

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

// Store is a [catalog.Store] in memory.
type Store struct {
	mu      sync.Mutex // guards what follows
	tenants map[tenancy.ID]*tenancy.Tenant
	uses    map[tenancy.ID]map[string]time.Time // of API keys
	name    string

	reserved map[tenancy.Ref]catalog.Reservation
}

var (
	_ catalog.Store          = (*Store)(nil)
	_ catalog.UseStore       = (*Store)(nil)
	_ catalog.NamespaceStore = (*Store)(nil)
	_ catalog.NameReserver   = (*Store)(nil)
	_ catalog.DanglingStore  = (*Store)(nil)
)

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{tenants: map[tenancy.ID]*tenancy.Tenant{}, uses: map[tenancy.ID]map[string]time.Time{}}
}

// Insert adds a record.
func (s *Store) Insert(ctx context.Context, t *tenancy.Tenant, within catalog.Within) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, ok := s.tenants[t.ID]; ok {
		return fmt.Errorf("%w: ID %q", tenancy.ErrExists, string(t.ID))
	}
	return s.put(ctx, t, within)
}

// call does what belongs to a change. Without SQL there is no transaction.
func call(ctx context.Context, within catalog.Within) error {
	if within == nil {
		return nil
	}
	return within(ctx, nil)
}

// put stores a record unless another tenant has one of its names.
func (s *Store) put(ctx context.Context, t *tenancy.Tenant, within catalog.Within) error {
	for id, other := range s.tenants {
		if id == t.ID {
			continue
		}
		if other.Slug == t.Slug {
			return fmt.Errorf("%w: slug %q", tenancy.ErrExists, t.Slug)
		}
		for _, d := range t.Domains {
			if slices.Contains(other.Domains, d) {
				return fmt.Errorf("%w: domain %q", tenancy.ErrExists, d)
			}
		}
	}
	if err := call(ctx, within); err != nil {
		return err
	}
	s.tenants[t.ID] = t.Clone()
	return nil
}

// Find returns a copy of the record.
func (s *Store) Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, t := range s.tenants {
		switch {
		case ref.Kind == tenancy.RefID && string(t.ID) == ref.Value,
			ref.Kind == tenancy.RefSlug && t.Slug == ref.Value,
			ref.Kind == tenancy.RefDomain && slices.Contains(t.Domains, ref.Value):
			return t.Clone(), nil
		}
	}
	return nil, fmt.Errorf("%w: tenant %v", tenancy.ErrNotFound, ref)
}

// Replace writes the record in place of its version before.
func (s *Store) Replace(ctx context.Context, t *tenancy.Tenant, within catalog.Within) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx, t, t.Version-1); err != nil {
		return err
	}
	return s.put(ctx, t, within)
}

// Delete removes the record.
func (s *Store) Delete(ctx context.Context, t *tenancy.Tenant, within catalog.Within) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx, t, t.Version); err != nil {
		return err
	}
	if err := call(ctx, within); err != nil {
		return err
	}
	delete(s.tenants, t.ID)
	delete(s.uses, t.ID)
	return nil
}

func (s *Store) check(ctx context.Context, t *tenancy.Tenant, version int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	old, ok := s.tenants[t.ID]
	if !ok {
		return fmt.Errorf("%w: tenant %q", tenancy.ErrNotFound, string(t.ID))
	}
	if old.Version != version || !old.CreatedAt.Equal(t.CreatedAt) {
		return fmt.Errorf("%w: the record has version %d now, or the tenant was made again", tenancy.ErrConflict, old.Version)
	}
	return nil
}

// List returns copies of the records that the filter selects.
func (s *Store) List(ctx context.Context, f tenancy.Filter) ([]*tenancy.Tenant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, id, err := f.Position()
	if err != nil {
		return nil, err
	}
	_, descending := f.Sort.Field()
	compare := func(a, b string) int {
		if descending {
			a, b = b, a
		}
		return strings.Compare(a, b)
	}
	behind := func(t *tenancy.Tenant) bool { // the cursor
		at := compare(f.Sort.Key(t), key)
		return f.After == "" || at > 0 || at == 0 && compare(string(t.ID), string(id)) > 0
	}
	var found []*tenancy.Tenant
	for _, t := range s.tenants {
		if selects(f, t) && behind(t) {
			found = append(found, t.Clone())
		}
	}
	slices.SortFunc(found, func(a, b *tenancy.Tenant) int {
		return cmp.Or(compare(f.Sort.Key(a), f.Sort.Key(b)), compare(string(a.ID), string(b.ID)))
	})
	return found[:min(f.Limit, len(found))], nil
}

// SaveUses keeps when API keys were used.
func (s *Store) SaveUses(ctx context.Context, all []catalog.KeyUse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, each := range all {
		of := s.uses[each.Tenant]
		if of == nil {
			of = map[string]time.Time{}
			s.uses[each.Tenant] = of
		}
		if each.At.After(of[each.Key]) {
			of[each.Key] = each.At.UTC().Truncate(time.Microsecond)
		}
	}
	return nil
}

// Uses returns when the tenant's API keys were used.
func (s *Store) Uses(ctx context.Context, id tenancy.ID) ([]catalog.KeyUse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var all []catalog.KeyUse
	for key, at := range s.uses[id] {
		all = append(all, catalog.KeyUse{Tenant: id, Key: key, At: at})
	}
	return all, nil
}

// ForgetUses forgets when API keys were used.
func (s *Store) ForgetUses(ctx context.Context, id tenancy.ID, keys []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, key := range keys {
		delete(s.uses[id], key)
	}
	return nil
}

func selects(f tenancy.Filter, t *tenancy.Tenant) bool {
	return (len(f.Status) == 0 || slices.Contains(f.Status, t.Status)) &&
		(len(f.IDs) == 0 || slices.Contains(f.IDs, t.ID)) &&
		(len(f.Tags) == 0 || tenancy.ByTags(f.Tags...).Includes(t)) &&
		(f.Scope == nil || f.Scope.Includes(t)) &&
		(f.Plan == "" || t.Plan == f.Plan) &&
		(f.Server == "" || t.Placement.Server == f.Server) &&
		f.MatchesText(t) &&
		(f.CreatedFrom.IsZero() || !t.CreatedAt.Before(f.CreatedFrom)) &&
		(f.CreatedBefore.IsZero() || t.CreatedAt.Before(f.CreatedBefore)) &&
		t.SchemaVersion >= f.SchemaFrom && (f.SchemaBefore == 0 || t.SchemaVersion < f.SchemaBefore)
}

// Reserve keeps the names. It is called within a change.
func (s *Store) Reserve(_ context.Context, _ *sql.Tx, names []catalog.Reservation, _ time.Time) error {
	if s.reserved == nil {
		s.reserved = map[tenancy.Ref]catalog.Reservation{}
	}
	for _, r := range names {
		s.reserved[r.Name] = r
	}
	return nil
}

// Reserved returns which of the names are reserved. It is called within a change.
func (s *Store) Reserved(_ context.Context, _ *sql.Tx, names []tenancy.Ref, now time.Time) (found []catalog.Reservation, err error) {
	for _, name := range names {
		if r, ok := s.reserved[name]; ok && r.Until.After(now) {
			found = append(found, r)
		}
	}
	return found, nil
}

// Namespace returns the name that is kept, which is the given one if there was none.
func (s *Store) Namespace(ctx context.Context, otherwise string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	s.name = cmp.Or(s.name, otherwise)
	return s.name, nil
}

// SetNamespace keeps the name.
func (s *Store) SetNamespace(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.name = name
	return nil
}

// Dangling calls fn for each use of a key that is gone.
func (s *Store) Dangling(ctx context.Context, fn func(kind string, tenant tenancy.ID, name string) error) error {
	s.mu.Lock()
	var found []catalog.KeyUse
	for id, uses := range s.uses {
		for key, at := range uses {
			if time.Since(at) > time.Minute && s.dangles(id, key) {
				found = append(found, catalog.KeyUse{Tenant: id, Key: key})
			}
		}
	}
	s.mu.Unlock()
	for _, each := range found {
		if err := cmp.Or(ctx.Err(), fn(catalog.DanglingKeyUse, each.Tenant, each.Key)); err != nil {
			return err
		}
	}
	return nil
}

// RemoveDangling forgets the use of a key that is gone.
func (s *Store) RemoveDangling(ctx context.Context, _ string, id tenancy.ID, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dangles(id, key) {
		delete(s.uses[id], key)
	}
	return ctx.Err()
}

func (s *Store) dangles(id tenancy.ID, key string) bool {
	t, ok := s.tenants[id]
	return !ok || t.Access.Key(key) == nil
}
