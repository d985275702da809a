package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Each method that changes a record asks the hooks, and what they refuse is not written.
func TestBeforeRefuses(t *testing.T) {
	t.Parallel()
	refuse := false
	var told []string
	events := &tenancytest.Events{}
	cat, trail := audited(t, catalog.Options{Events: events, Before: []func(context.Context, catalog.Change) error{
		func(_ context.Context, c catalog.Change) error {
			told = append(told, fmt.Sprintf("%t>%t", c.Before != nil, c.After != nil))
			if c.After != nil {
				c.After.Plan = "planted" // a copy
			}
			if refuse {
				return errors.New("two invoices are open")
			}
			return nil
		},
	}})
	ctx := t.Context()
	for _, id := range []tenancy.ID{"acme", "purged"} {
		if _, err := cat.Create(ctx, &tenancy.Tenant{ID: id, Slug: string(id), Status: tenancy.StatusActive}); err != nil {
			t.Fatal(err)
		}
	}
	for _, status := range []tenancy.Status{tenancy.StatusArchived, tenancy.StatusPurging} {
		if _, err := cat.SetStatus(ctx, "purged", status); err != nil {
			t.Fatal(err)
		}
	}
	before, err := cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: "acme"})
	if err != nil || before.Plan != "" {
		t.Fatalf("got %+v, %v", before, err)
	}
	refuse, told = true, nil
	entries, n := len(trail.All()), len(events.All())
	update := before.Clone()
	update.Plan = "gold"
	issuer, err := catalog.NewKeyIssuer(cat, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func() error{
		"false>true Create":   func() error { _, err := cat.Create(ctx, &tenancy.Tenant{Slug: "globex"}); return err },
		"true>true SetStatus": func() error { _, err := cat.SetStatus(ctx, "acme", tenancy.StatusBlocked); return err },
		"true>true Rename":    func() error { _, err := cat.Rename(ctx, "acme", "apex"); return err },
		"true>true AddDomain": func() error { _, err := cat.AddDomain(ctx, "acme", "a.example"); return err },
		"true>true Update":    func() error { _, err := cat.Update(ctx, update); return err },
		"true>true Edit": func() error {
			_, err := cat.Edit(ctx, "acme", func(t *tenancy.Tenant) error { t.Plan = "x"; return nil })
			return err
		},
		"true>true Issue":   func() error { _, _, err := issuer.Issue(ctx, "acme", catalog.APIKeySpec{Name: "ci"}); return err },
		"true>false Delete": func() error { return cat.Delete(ctx, "purged") },
	} {
		told = nil
		err := do()
		if !errors.Is(err, tenancy.ErrForbidden) || !strings.Contains(err.Error(), "two invoices are open") {
			t.Errorf("%s: got %v, want ErrForbidden and the hook's words", what, err)
		}
		if want, _, _ := strings.Cut(what, " "); len(told) != 1 || told[0] != want {
			t.Errorf("%s: the hook was told %v", what, told)
		}
	}
	if got, err := cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: "acme"}); err != nil || got.Version != 1 {
		t.Errorf("got %+v, %v, want version 1", got, err)
	}
	if _, err := cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: "purged"}); err != nil {
		t.Errorf("the tenant that was not deleted: %v", err)
	}
	for _, e := range trail.All()[entries:] {
		if e.Result != tenancy.AuditDenied {
			t.Errorf("entry %s: got %s, want denied", e.Action, e.Result)
		}
	}
	if len(trail.All()) != entries+8 || len(events.All()) != n {
		t.Errorf("got %d entries and %d events more, want 8 and 0", len(trail.All())-entries, len(events.All())-n)
	}
	// What is illegal, and what changes nothing, asks nobody.
	told = nil
	_, illegal := cat.SetStatus(ctx, "acme", tenancy.StatusProvisioning)
	_, same := cat.SetStatus(ctx, "acme", tenancy.StatusActive)
	if !errors.Is(illegal, tenancy.ErrInvalid) || same != nil || told != nil {
		t.Errorf("got %v and %v, and the hook was told %v", illegal, same, told)
	}
}

// Hooks that panic, say what the caller should do, or are over because the context is.
func TestBeforeErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hook func() error
		want error
	}{
		"a panic":       {func() error { panic("planted") }, tenancy.ErrUnavailable},
		"unavailable":   {func() error { return fmt.Errorf("planted: %w", tenancy.ErrUnavailable) }, tenancy.ErrUnavailable},
		"a conflict":    {func() error { return fmt.Errorf("planted: %w", tenancy.ErrConflict) }, tenancy.ErrConflict},
		"a status":      {func() error { return fmt.Errorf("planted: %w", tenancy.ErrNotActive) }, tenancy.ErrNotActive},
		"no sentinel":   {func() error { return errors.New("planted") }, tenancy.ErrForbidden},
		"the context's": {func() error { return context.Canceled }, context.Canceled},
	} {
		calls, refuse := 0, false
		cat, trail := audited(t, catalog.Options{Before: []func(context.Context, catalog.Change) error{func(context.Context, catalog.Change) error {
			if !refuse {
				return nil
			}
			calls++
			return c.hook()
		}}})
		if _, err := cat.Create(t.Context(), &tenancy.Tenant{ID: "acme", Slug: "acme"}); err != nil {
			t.Fatal(err)
		}
		refuse = true
		_, err := cat.SetStatus(t.Context(), "acme", tenancy.StatusActive)
		if !errors.Is(err, c.want) || calls != 1 {
			t.Errorf("%s: got %v after %d calls, want %v after one", name, err, calls, c.want)
		}
		if c.want != tenancy.ErrForbidden && errors.Is(err, tenancy.ErrForbidden) { //nolint:errorlint // the table's
			t.Errorf("%s: got %v, which forbids, want %v alone", name, err, c.want)
		}
		if want := c.want != context.Canceled; strings.Contains(fmt.Sprint(err), "planted") != want || len(trail.All()) == 2 != want { //nolint:errorlint // the table's
			t.Errorf("%s: got %v and %d entries", name, err, len(trail.All()))
		}
	}
	if _, err := catalog.NewWithStore(tenancytest.NewStore(), &catalog.Options{Before: []func(context.Context, catalog.Change) error{nil}}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a hook that is nil: got %v, want ErrInvalid", err)
	}
}

func TestReservedNamesInMemory(t *testing.T) {
	t.Parallel()
	store := tenancytest.NewStore()
	tenancytest.TestReservedNames(t, func(t *testing.T, opts catalog.Options) *catalog.Catalog {
		c, err := catalog.NewWithStore(store, &opts)
		if err != nil {
			t.Fatal(err)
		}
		return c
	})
}

func TestReservedNames(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		tenancytest.TestReservedNames(t, func(t *testing.T, opts catalog.Options) *catalog.Catalog {
			c, err := catalog.New(db, &opts)
			if err == nil {
				err = c.Migrate(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			return c
		})
	})
	if _, err := catalog.NewWithStore(tenancytest.NewStore(), &catalog.Options{ReserveNames: -1}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a negative time: got %v, want ErrInvalid", err)
	}
	if _, err := catalog.NewWithStore(bareStore{tenancytest.NewStore()}, &catalog.Options{ReserveNames: 1}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a store that keeps no names: got %v, want ErrInvalid", err)
	}
}

// bareStore is a store without optional abilities.
type bareStore struct{ catalog.Store }
