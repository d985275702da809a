package tenancytest

import (
	"context"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

// NewTenant returns an active tenant with that slug and a new ID, which no
// catalog knows.
func NewTenant(slug string) *tenancy.Tenant {
	id := tenancy.NewID()
	now := time.Now().UTC().Truncate(time.Microsecond)
	return &tenancy.Tenant{
		ID: id, Slug: slug, Name: slug, Status: tenancy.StatusActive,
		Placement: tenancy.Placement{Database: "tenant_" + string(id)},
		Version:   1, CreatedAt: now, UpdatedAt: now,
	}
}

// Context returns the test's context with a tenant of that slug in it, for
// handlers and functions that ask for the tenant and nothing else of it.
func Context(t testing.TB, slug string) context.Context {
	t.Helper()
	return tenancy.NewContext(t.Context(), NewTenant(slug))
}

// NewCatalog returns a catalog in memory that has the tenants in it, active
// unless they say otherwise.
func NewCatalog(t testing.TB, tenants ...*tenancy.Tenant) *catalog.Catalog {
	t.Helper()
	c, err := catalog.NewWithStore(NewStore(), nil)
	if err != nil {
		t.Fatalf("tenancytest: %v", err)
	}
	for _, each := range tenants {
		each = each.Clone()
		if each.Status == "" {
			each.Status = tenancy.StatusActive
		}
		if _, err := c.Create(t.Context(), each); err != nil {
			t.Fatalf("tenancytest: %v", err)
		}
	}
	return c
}
