package catalog_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Of many tags the most common ones are counted, whatever the store.
func TestFacetsOfManyTags(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, cat *catalog.Catalog) {
		t.Helper()
		for i := range 4 {
			made := &tenancy.Tenant{Slug: fmt.Sprintf("t%d", i)}
			for j := range 60 {
				made.Tags = append(made.Tags, fmt.Sprintf("t%d-%02d", i, j))
			}
			made.Tags = append(made.Tags, "z-all")
			if _, err := cat.Create(t.Context(), made); err != nil {
				t.Fatal(err)
			}
		}
		got, err := cat.Facets(t.Context(), tenancy.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Tags) != 200 || got.Tags["z-all"] != 4 || got.Tags["t3-18"] != 1 || got.Tags["t3-19"] != 0 {
			t.Errorf("got %d tags, %v, want the most common 200, and of equal ones the first", len(got.Tags), got.Tags)
		}
	}
	t.Run("records", func(t *testing.T) { t.Parallel(); check(t, tenancytest.NewCatalog(t)) })
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) { check(t, open(t, s)) })
}

// Counts are of what a listing has, in the filter and in the scope, whatever the store.
func TestFacets(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, cat *catalog.Catalog) {
		t.Helper()
		for _, in := range []struct {
			slug, plan, server string
			status             tenancy.Status
			tags               []string
		}{
			{"a", "pro", "one", tenancy.StatusActive, []string{"eu", "overdue"}},
			{"b", "pro", "two", tenancy.StatusActive, []string{"eu"}},
			{"c", "", "one", tenancy.StatusSuspended, []string{"us"}},
		} {
			made := &tenancy.Tenant{ID: tenancy.ID(in.slug), Slug: in.slug, Plan: in.plan, Status: in.status, Tags: in.tags, Placement: tenancy.Placement{Server: in.server, Database: in.slug}}
			if _, err := cat.Create(t.Context(), made); err != nil {
				t.Fatal(err)
			}
		}
		eu := tenancy.ByTags("eu")
		for name, tt := range map[string]struct {
			filter tenancy.Filter
			want   catalog.Facets
		}{
			"all": {tenancy.Filter{Limit: 1}, catalog.Facets{Total: 3, Status: map[tenancy.Status]int64{"active": 2, "suspended": 1}, Plan: map[string]int64{"pro": 2},
				Server: map[string]int64{"one": 2, "two": 1}, Tags: map[string]int64{"eu": 2, "overdue": 1, "us": 1}}},
			"filter": {tenancy.Filter{Server: "one"}, catalog.Facets{Total: 2, Status: map[tenancy.Status]int64{"active": 1, "suspended": 1}, Plan: map[string]int64{"pro": 1},
				Server: map[string]int64{"one": 2}, Tags: map[string]int64{"eu": 1, "overdue": 1, "us": 1}}},
			"scope": {tenancy.Filter{Scope: &eu}, catalog.Facets{Total: 2, Status: map[tenancy.Status]int64{"active": 2}, Plan: map[string]int64{"pro": 2},
				Server: map[string]int64{"one": 1, "two": 1}, Tags: map[string]int64{"eu": 2, "overdue": 1}}},
			"nobody": {tenancy.Filter{Scope: &tenancy.Scope{}}, catalog.Facets{Status: map[tenancy.Status]int64{}, Plan: map[string]int64{}, Server: map[string]int64{}, Tags: map[string]int64{}}},
		} {
			got, err := cat.Facets(t.Context(), tt.filter)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if d := cmp.Diff(&tt.want, got); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			if n, err := cat.Count(t.Context(), tt.filter); err != nil || n != tt.want.Total {
				t.Errorf("%s: got %d, %v, want %d", name, n, err, tt.want.Total)
			}
		}
		if _, err := cat.Facets(t.Context(), tenancy.Filter{Terms: []tenancy.Term{{Field: "requests"}}}); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("a field that the catalog does not have: got %v, want ErrInvalid", err)
		}
	}
	t.Run("records", func(t *testing.T) { t.Parallel(); check(t, tenancytest.NewCatalog(t)) })
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		cat, err := catalog.New(s.Database(t), nil)
		if err == nil {
			err = cat.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		check(t, cat)
	})
}
