package catalog_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestSQLConforms(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenancytest.TestCatalog(t, func(t *testing.T) *catalog.Catalog { return open(t, s) })
	})
}

// open returns a catalog in a database of its own.
func open(t *testing.T, s *tenancytest.Server) *catalog.Catalog {
	t.Helper()
	c, err := catalog.New(s.Database(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// A tenant cannot take a neighbour's subdomain, or the service's own domain.
func TestReservedDomains(t *testing.T) {
	t.Parallel()
	c, err := catalog.NewWithStore(tenancytest.NewStore(), &catalog.Options{ReservedDomains: []string{"Example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	acme, err := c.Create(t.Context(), &tenancy.Tenant{Slug: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"example.com", "globex.example.com", "a.b.EXAMPLE.com."} {
		if _, err := c.AddDomain(t.Context(), acme.ID, domain); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("AddDomain(%s): got %v, want ErrInvalid", domain, err)
		}
		if _, err := c.Create(t.Context(), &tenancy.Tenant{Slug: "x", Domains: []string{domain}}); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("Create with %s: got %v, want ErrInvalid", domain, err)
		}
	}
	if _, err := c.AddDomain(t.Context(), acme.ID, "notexample.com"); err != nil {
		t.Errorf("AddDomain elsewhere: %v", err)
	}
	if _, err := catalog.NewWithStore(tenancytest.NewStore(), &catalog.Options{ReservedDomains: []string{"a b"}}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a malformed domain: got %v, want ErrInvalid", err)
	}
}

// A tenant keeps a domain that was reserved later, and can be changed like any other.
func TestDomainReservedLater(t *testing.T) {
	t.Parallel()
	store := tenancytest.NewStore()
	before, err := catalog.NewWithStore(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.NewWithStore(store, &catalog.Options{ReservedDomains: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	acme, err := before.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Status: tenancy.StatusActive, Domains: []string{"acme.example.com", "b.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, id := t.Context(), acme.ID
	for what, change := range map[string]func() (*tenancy.Tenant, error){
		"Edit of nothing": func() (*tenancy.Tenant, error) {
			return c.Edit(ctx, id, func(*tenancy.Tenant) error { return nil })
		},
		"SetStatus": func() (*tenancy.Tenant, error) { return c.SetStatus(ctx, id, tenancy.StatusSuspended) },
		"AddDomain": func() (*tenancy.Tenant, error) { return c.AddDomain(ctx, id, "acme.test") },
		"its own":   func() (*tenancy.Tenant, error) { return c.AddDomain(ctx, id, "ACME.example.com") },
		"Edit of maintenance": func() (*tenancy.Tenant, error) {
			return c.Edit(ctx, id, func(t *tenancy.Tenant) error {
				t.Access.Maintenance = &tenancy.Maintenance{Mode: tenancy.MaintenanceClosed, BeganAt: time.Now(), Generation: "first"}
				return nil
			})
		},
	} {
		if now, err := change(); err != nil || !slices.Contains(now.Domains, "acme.example.com") {
			t.Errorf("%s: got %+v, %v, want the tenant with its domain", what, now, err)
		}
	}
	if _, err := c.AddDomain(ctx, id, "c.example.com"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("AddDomain of another: got %v, want ErrInvalid", err)
	}
	if now, err := c.RemoveDomain(ctx, id, "b.example.com"); err != nil || slices.Contains(now.Domains, "b.example.com") {
		t.Errorf("RemoveDomain: got %+v, %v", now, err)
	}
	if _, err := c.AddDomain(ctx, id, "b.example.com"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("AddDomain of what was removed: got %v, want ErrInvalid", err)
	}
}

// What the function of an Edit puts into the record stays the caller's, as it was.
func TestEditOwnsNothing(t *testing.T) {
	t.Parallel()
	c := tenancytest.NewCatalog(t, &tenancy.Tenant{ID: "acme", Slug: "acme"})
	domains, settings := []string{"B.example", "a.example"}, map[string]string{"colour": "blue"}
	got, err := c.Edit(t.Context(), "acme", func(t *tenancy.Tenant) error {
		t.Domains, t.Settings = domains, settings
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(domains, []string{"B.example", "a.example"}) {
		t.Errorf("the caller's domains: got %q, want them as they were", domains)
	}
	domains[0], settings["colour"] = "changed", "changed"
	if !slices.Equal(got.Domains, []string{"a.example", "b.example"}) || got.Settings["colour"] != "blue" {
		t.Errorf("got %q and %v, want what was stored", got.Domains, got.Settings)
	}
}

// A negative number of tenants is not all of them.
func TestSelectNegative(t *testing.T) {
	t.Parallel()
	c := tenancytest.NewCatalog(t, &tenancy.Tenant{ID: "acme", Slug: "acme"})
	n := 0
	for id, err := range c.Select(t.Context(), tenancy.Filter{Limit: -1}) {
		if n++; !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("got %q, %v, want ErrInvalid", id, err)
		}
	}
	if n != 1 {
		t.Errorf("got %d answers, want one", n)
	}
}

func TestNoTenantIsInvalid(t *testing.T) {
	t.Parallel()
	c := tenancytest.NewCatalog(t)
	_, create := c.Create(t.Context(), nil)
	_, update := c.Update(t.Context(), nil)
	if !errors.Is(create, tenancy.ErrInvalid) || !errors.Is(update, tenancy.ErrInvalid) {
		t.Errorf("got %v and %v, want ErrInvalid", create, update)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		c, err := catalog.New(db, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("without tables: got %v, want ErrUnavailable", err)
		}
		if err := c.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Check(t.Context()); err != nil {
			t.Errorf("with tables: got %v, want nil", err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("a closed database: got %v, want ErrUnavailable", err)
		}
	})
}
