package tenancytest

import (
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

// TestReservedNames is the conformance suite for a [catalog.NameReserver]. The function
// returns a catalog with the options over a store, the same one each time.
func TestReservedNames(t *testing.T, open func(t *testing.T, opts catalog.Options) *catalog.Catalog) {
	c := open(t, catalog.Options{ReserveNames: time.Hour})
	other := open(t, catalog.Options{}) // of a process that reserves nothing
	purge := func(c *catalog.Catalog, id tenancy.ID) {
		t.Helper()
		for _, status := range []tenancy.Status{tenancy.StatusArchived, tenancy.StatusPurging} {
			if _, err := c.SetStatus(t.Context(), id, status); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	create(t, c, tenancy.Tenant{ID: "old", Slug: "acme", Domains: []string{"acme.example", "www.acme.example"}, Status: tenancy.StatusActive})
	purge(c, "old")
	wantMissing(t, c, tenancy.RefSlug, "acme")
	globex := create(t, c, tenancy.Tenant{Slug: "globex", Status: tenancy.StatusActive})
	for name, c := range map[string]*catalog.Catalog{"with the option": c, "without": other} {
		_, slug := c.Create(t.Context(), &tenancy.Tenant{Slug: "acme"})
		_, domain := c.Create(t.Context(), &tenancy.Tenant{Slug: "initech", Domains: []string{"www.acme.example"}})
		_, rename := c.Rename(t.Context(), globex.ID, "acme")
		_, add := c.AddDomain(t.Context(), globex.ID, "acme.example")
		for what, err := range map[string]error{"Create with the slug": slug, "Create with a domain": domain, "Rename": rename, "AddDomain": add} {
			wantErr(t, name+": "+what, err, tenancy.ErrExists)
			if err != nil && !strings.Contains(err.Error(), "is reserved until") {
				t.Errorf("%s: %s: the error does not say why: %v", name, what, err)
			}
		}
	}
	wantMissing(t, c, tenancy.RefSlug, "initech")
	if got := find(t, c, tenancy.RefID, string(globex.ID)); got.Version != 1 {
		t.Errorf("a refused change was written: %+v", got)
	}
	if _, err := c.Rename(t.Context(), globex.ID, "acme-2"); err != nil {
		t.Errorf("a name like it: %v", err)
	}
	// The tenant itself comes back from a backup, and is purged by who reserves nothing.
	create(t, c, tenancy.Tenant{ID: "old", Slug: "acme", Domains: []string{"acme.example"}, Status: tenancy.StatusActive})
	purge(other, "old")
	_, err := c.Rename(t.Context(), globex.ID, "acme")
	wantErr(t, "the reservation goes on", err, tenancy.ErrExists)
	// One that was never in service keeps no names.
	made := create(t, c, tenancy.Tenant{Slug: "hooli"})
	if err := c.Delete(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	create(t, c, tenancy.Tenant{Slug: "hooli"})
	// A reservation ends.
	short := open(t, catalog.Options{ReserveNames: time.Microsecond})
	create(t, short, tenancy.Tenant{ID: "short", Slug: "short", Status: tenancy.StatusActive})
	purge(short, "short")
	time.Sleep(time.Millisecond)
	create(t, short, tenancy.Tenant{Slug: "short"})
}
