package tenancytest

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

// Audit is a [tenancy.Auditor] in memory, for stores in memory. It keeps an entry
// as soon as it is given one, so with a transaction that is rolled back later it
// shows what was not done. The zero Audit is empty and ready to use, by many
// goroutines at once.
type Audit struct {
	// Err, if it is set before the first use, is what writing fails with.
	Err error

	mu      sync.Mutex // guards entries
	entries []tenancy.Entry
}

// Audit keeps the entry.
func (a *Audit) Audit(_ context.Context, _ *sql.Tx, e tenancy.Entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.Err != nil {
		return a.Err
	}
	if err := e.Validate(); err != nil {
		return err
	}
	if slices.ContainsFunc(a.entries, func(known tenancy.Entry) bool { return known.ID == e.ID }) {
		return fmt.Errorf("%w: entry %s", tenancy.ErrExists, e.ID)
	}
	a.entries = append(a.entries, e)
	return nil
}

// Written reports whether there is an entry with that ID.
func (a *Audit) Written(_ context.Context, id string) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.entries, func(e tenancy.Entry) bool { return e.ID == id }), nil
}

// All returns all entries, the oldest first.
func (a *Audit) All() []tenancy.Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.entries)
}

// Entries yields the entries that the filter selects, the newest first. It knows no
// tags: a scope of tags is an error that wraps [tenancy.ErrInvalid].
func (a *Audit) Entries(_ context.Context, f catalog.AuditFilter) iter.Seq2[tenancy.Entry, error] {
	return func(yield func(tenancy.Entry, error) bool) {
		if f.Scope != nil && len(f.Scope.Tags()) > 0 {
			yield(tenancy.Entry{}, fmt.Errorf("%w: tenancytest.Audit knows no tags", tenancy.ErrInvalid))
			return
		}
		at, id, err := f.Position()
		if err == nil && f.Limit < 0 {
			err = fmt.Errorf("%w: limit %d", tenancy.ErrInvalid, f.Limit)
		}
		if err != nil {
			yield(tenancy.Entry{}, err)
			return
		}
		all := a.All()
		slices.SortStableFunc(all, func(a, b tenancy.Entry) int {
			if f.OldestFirst {
				a, b = b, a
			}
			if c := b.Time.Compare(a.Time); c != 0 {
				return c
			}
			return strings.Compare(b.ID, a.ID)
		})
		n := 0
		for _, e := range all {
			beyond := cmp.Or(e.Time.Compare(at), strings.Compare(e.ID, id))
			if f.OldestFirst {
				beyond = -beyond
			}
			if !auditSelects(&f, &e) || f.After != "" && beyond >= 0 {
				continue
			}
			if n++; !yield(e, nil) || n == f.Limit {
				return
			}
		}
	}
}

func auditSelects(f *catalog.AuditFilter, e *tenancy.Entry) bool {
	return (f.ID == "" || e.ID == f.ID) && (f.Tenant == "" || e.Tenant == f.Tenant) && hasText(e, f.Text) &&
		(f.Scope == nil || f.Scope.IsAll() || f.Scope.Includes(&tenancy.Tenant{ID: e.Tenant})) &&
		(f.ActorKind == "" || e.Actor.Kind == f.ActorKind) && (f.ActorID == "" || e.Actor.ID == f.ActorID) &&
		(len(f.Actions) == 0 || slices.Contains(f.Actions, e.Action)) &&
		(len(f.Results) == 0 || slices.Contains(f.Results, e.Result)) &&
		(f.From.IsZero() || !e.Time.Before(f.From)) && (f.Before.IsZero() || e.Time.Before(f.Before))
}

// hasText reports whether the text is a part of one of the fields that [catalog.AuditFilter] names.
func hasText(e *tenancy.Entry, text string) bool {
	address := ""
	if e.Actor.Address.IsValid() {
		address = e.Actor.Address.String()
	}
	return slices.ContainsFunc([]string{
		e.Action, e.Object, string(e.Tenant), e.Problem, e.Actor.Reason, e.Actor.ID, address, e.Actor.RequestID,
	}, func(field string) bool { return strings.Contains(asciiLower(field), asciiLower(text)) })
}

// asciiLower returns the text with its ASCII letters in lower case.
func asciiLower(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}
