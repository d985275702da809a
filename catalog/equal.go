package catalog

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// equal reports whether two records are equal.
func equal(a, b *tenancy.Tenant) bool {
	return a.ID == b.ID && a.Slug == b.Slug && a.Name == b.Name && a.Status == b.Status &&
		a.Placement == b.Placement && a.Plan == b.Plan && a.SchemaVersion == b.SchemaVersion && a.Version == b.Version &&
		a.CreatedAt.Equal(b.CreatedAt) && a.UpdatedAt.Equal(b.UpdatedAt) &&
		slices.Equal(a.Domains, b.Domains) && slices.Equal(a.Tags, b.Tags) && maps.Equal(a.Limits, b.Limits) && maps.Equal(a.Settings, b.Settings) &&
		equalAccess(&a.Access, &b.Access)
}

// equalAccess compares what is stored of access.
func equalAccess(a, b *tenancy.Access) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// canonicalTimes brings the times of access into the form that records keep.
func canonicalTimes(g *tenancy.Access) {
	canonical := func(times ...*time.Time) {
		for _, t := range times {
			*t = t.UTC().Truncate(time.Microsecond)
		}
	}
	for i := range g.Keys {
		canonical(&g.Keys[i].CreatedAt, &g.Keys[i].ExpiresAt)
	}
	for i := range g.RevokedTokens {
		canonical(&g.RevokedTokens[i].ExpiresAt)
	}
	if m := g.Maintenance; m != nil {
		canonical(&m.BeganAt)
		for i := range m.Windows {
			canonical(&m.Windows[i].Start, &m.Windows[i].End)
		}
	}
}
