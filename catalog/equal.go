package catalog

import (
	"maps"
	"slices"

	"github.com/artflow-studio/tenancy"
)

// equal reports whether two records say the same.
func equal(a, b *tenancy.Tenant) bool {
	return a.ID == b.ID && a.Slug == b.Slug && a.Name == b.Name && a.Status == b.Status &&
		a.Placement == b.Placement && a.Plan == b.Plan && a.Version == b.Version &&
		a.CreatedAt.Equal(b.CreatedAt) && a.UpdatedAt.Equal(b.UpdatedAt) &&
		slices.Equal(a.Domains, b.Domains) && maps.Equal(a.Limits, b.Limits) && maps.Equal(a.Settings, b.Settings)
}
