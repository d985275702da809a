package tenancytest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

func testUpdate(t *testing.T, c *catalog.Catalog) {
	old := create(t, c, full())
	change := old.Clone()
	change.Name, change.Plan = "Acme Ltd", ""
	change.Slug = "acme-ltd"
	change.Domains = []string{"shop.acme.example", "acme.example"}
	change.Limits = nil
	change.SchemaVersion = 12
	change.Tags = []string{"pilot", "Vip", "pilot"}
	change.Settings = map[string]string{"k": "v"}
	change.Access.Keys = change.Access.Keys[1:]
	change.Access.Maintenance = nil
	change.Placement = tenancy.Placement{Server: "second", Database: "moved"}
	change.Status = tenancy.StatusSuspended
	change.CreatedAt = time.Time{}
	got, err := c.Update(t.Context(), change)
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
	want := change.Clone()
	want.Domains = []string{"acme.example", "shop.acme.example"}
	want.Tags = []string{"pilot", "vip"}
	want.Version, want.CreatedAt, want.UpdatedAt = 2, old.CreatedAt, got.UpdatedAt
	if diff := diff(want, got); diff != "" {
		t.Errorf("Update: -want +got\n%s", diff)
	}
	if diff := diff(want, find(t, c, tenancy.RefID, "acme-1")); diff != "" {
		t.Errorf("Find: -want +got\n%s", diff)
	}
	if got.UpdatedAt.Before(old.UpdatedAt) {
		t.Errorf("got updated at %v, want not before %v", got.UpdatedAt, old.UpdatedAt)
	}
	wantMissing(t, c, tenancy.RefSlug, "acme")
	wantMissing(t, c, tenancy.RefDomain, "www.acme.example")

	same, err := c.Update(t.Context(), got)
	if err != nil || same.Version != 2 {
		t.Errorf("Update without a change: got version %v, %v, want 2", same, err)
	}
	bad := got.Clone()
	bad.Slug = "No Slug"
	_, err = c.Update(t.Context(), bad)
	wantErr(t, "Update", err, tenancy.ErrInvalid)
	_, err = c.Update(t.Context(), &tenancy.Tenant{ID: "nobody", Slug: "x", Version: 1})
	wantErr(t, "Update of nobody", err, tenancy.ErrNotFound)
}

func testUpdateConflict(t *testing.T, c *catalog.Catalog) {
	old := create(t, c, full())
	first, second := old.Clone(), old.Clone()
	first.Name, second.Name = "first", "second"
	if _, err := c.Update(t.Context(), first); err != nil {
		t.Fatalf("Update: %v", err)
	}
	_, err := c.Update(t.Context(), second)
	wantErr(t, "Update of an old version", err, tenancy.ErrConflict)
	if got := find(t, c, tenancy.RefID, "acme-1"); got.Name != "first" {
		t.Errorf("got name %q, want first", got.Name)
	}

	var won atomic.Int32
	base := find(t, c, tenancy.RefID, "acme-1")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			change := base.Clone()
			change.Name = fmt.Sprintf("name %d", i)
			_, err := c.Update(t.Context(), change)
			if err == nil {
				won.Add(1)
			} else {
				wantErr(t, "Update", err, tenancy.ErrConflict)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("got %d updates of one version, want 1", won.Load())
	}
}

// A tenant is purged and made again under its ID. Who has read the old record changes nothing of
// the new one, which has the same version.
func testMadeAgain(t *testing.T, c *catalog.Catalog) {
	old := create(t, c, full())
	again := func() *tenancy.Tenant {
		t.Helper()
		for {
			if _, err := c.SetStatus(t.Context(), old.ID, tenancy.StatusPurging); err != nil {
				t.Fatalf("SetStatus: %v", err)
			}
			if err := c.Delete(t.Context(), old.ID); err != nil {
				t.Fatalf("Delete: %v", err)
			}
			if made := create(t, c, tenancy.Tenant{ID: old.ID, Slug: old.Slug}); !made.CreatedAt.Equal(old.CreatedAt) {
				return made
			}
		}
	}
	for _, to := range []tenancy.Status{tenancy.StatusArchived, tenancy.StatusPurging} {
		if old.Status == tenancy.StatusProvisioning {
			break
		}
		if _, err := c.SetStatus(t.Context(), old.ID, to); err != nil {
			t.Fatalf("SetStatus: %v", err)
		}
	}
	made := again()
	stale := old.Clone()
	stale.Name = "stale"
	_, err := c.Update(t.Context(), stale)
	wantErr(t, "Update of a record of the tenant before", err, tenancy.ErrConflict)
	silent := made.Clone()
	silent.Name, silent.CreatedAt = "silent", time.Time{}
	if _, err := c.Update(t.Context(), silent); err != nil {
		t.Errorf("Update of a record that names no creation time: %v", err)
	}

	made = again()
	var seen []time.Time
	got, err := c.Edit(t.Context(), old.ID, func(now *tenancy.Tenant) error {
		if seen = append(seen, now.CreatedAt); len(seen) == 1 {
			made = again()
		}
		now.Name = "edited"
		return nil
	})
	if err != nil || len(seen) != 2 || !seen[1].Equal(made.CreatedAt) || !got.CreatedAt.Equal(made.CreatedAt) || got.Version != 2 {
		t.Errorf("Edit of a tenant that is made again meanwhile: got %+v, %v, after records made at %v, want the new one changed", got, err, seen)
	}
}

func testRename(t *testing.T, c *catalog.Catalog) {
	create(t, c, full())
	create(t, c, tenancy.Tenant{Slug: "globex"})
	got, err := c.Rename(t.Context(), "acme-1", "apex")
	if err != nil || got.Slug != "apex" || got.Version != 2 {
		t.Fatalf("Rename: got %+v, %v, want slug apex in version 2", got, err)
	}
	find(t, c, tenancy.RefSlug, "apex")
	wantMissing(t, c, tenancy.RefSlug, "acme")
	for slug, want := range map[string]error{"globex": tenancy.ErrExists, "admin": tenancy.ErrInvalid, "": tenancy.ErrInvalid} {
		_, err := c.Rename(t.Context(), "acme-1", slug)
		wantErr(t, "Rename to "+slug, err, want)
	}
	if _, err := c.Create(t.Context(), &tenancy.Tenant{Slug: "acme"}); err != nil {
		t.Errorf("Create with a slug that became free: %v", err)
	}
}

func testDomains(t *testing.T, c *catalog.Catalog) {
	create(t, c, full())
	create(t, c, tenancy.Tenant{ID: "globex", Slug: "globex"})
	got, err := c.AddDomain(t.Context(), "globex", "BÜCHER.example:443")
	if err != nil || !slices.Equal(got.Domains, []string{"xn--bcher-kva.example"}) {
		t.Fatalf("AddDomain: got %+v, %v, want the domain in ASCII", got, err)
	}
	if got, err := c.AddDomain(t.Context(), "globex", "bücher.example"); err != nil || got.Version != 2 {
		t.Errorf("AddDomain again: got %+v, %v, want no change", got, err)
	}
	if got := find(t, c, tenancy.RefDomain, "xn--bcher-kva.example"); got.ID != "globex" {
		t.Errorf("got tenant %q, want globex", got.ID)
	}
	for domain, want := range map[string]error{"acme.example": tenancy.ErrExists, "a b": tenancy.ErrInvalid, "[::1]": tenancy.ErrInvalid, "a_b.example": tenancy.ErrInvalid} {
		_, err := c.AddDomain(t.Context(), "globex", domain)
		wantErr(t, "AddDomain "+domain, err, want)
	}
	_, err = c.AddDomain(t.Context(), "nobody", "x.example")
	wantErr(t, "AddDomain to nobody", err, tenancy.ErrNotFound)

	got, err = c.RemoveDomain(t.Context(), "acme-1", "Acme.Example")
	if err != nil || !slices.Equal(got.Domains, []string{"www.acme.example"}) {
		t.Fatalf("RemoveDomain: got %+v, %v, want www.acme.example left", got, err)
	}
	if got, err := c.RemoveDomain(t.Context(), "acme-1", "xn--bcher-kva.example"); err != nil || got.Version != 2 {
		t.Errorf("RemoveDomain of another's: got %+v, %v, want no change", got, err)
	}
	wantMissing(t, c, tenancy.RefDomain, "acme.example")
	if _, err := c.AddDomain(t.Context(), "globex", "acme.example"); err != nil {
		t.Errorf("AddDomain that became free: %v", err)
	}
}

func testDomainsAtOnce(t *testing.T, c *catalog.Catalog) {
	create(t, c, tenancy.Tenant{ID: "acme", Slug: "acme"})
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			if _, err := c.AddDomain(t.Context(), "acme", fmt.Sprintf("d%d.example", i)); err != nil {
				t.Errorf("AddDomain: %v", err)
			}
		})
	}
	wg.Wait()
	if got := find(t, c, tenancy.RefID, "acme"); len(got.Domains) != 5 || got.Version != 6 {
		t.Errorf("got %q in version %d, want 5 domains in version 6", got.Domains, got.Version)
	}
}

func testStatus(t *testing.T, c *catalog.Catalog) {
	create(t, c, tenancy.Tenant{ID: "acme", Slug: "acme"})
	version := int64(1)
	for _, step := range []struct {
		to   tenancy.Status
		want error
	}{
		{tenancy.StatusSuspended, tenancy.ErrInvalid},
		{tenancy.StatusArchived, tenancy.ErrInvalid},
		{tenancy.StatusActive, nil},
		{tenancy.StatusProvisioning, tenancy.ErrInvalid},
		{"odd", tenancy.ErrInvalid},
		{tenancy.StatusBlocked, nil},
		{tenancy.StatusArchived, nil},
		{tenancy.StatusActive, tenancy.ErrInvalid},
		{tenancy.StatusInactive, nil},
		{tenancy.StatusPurging, tenancy.ErrInvalid},
		{tenancy.StatusActive, nil},
		{tenancy.StatusArchived, nil},
		{tenancy.StatusPurging, nil},
		{tenancy.StatusInactive, tenancy.ErrInvalid},
	} {
		got, err := c.SetStatus(t.Context(), "acme", step.to)
		if !errors.Is(err, step.want) {
			t.Errorf("SetStatus(%s): got %v, want %v", step.to, err, step.want)
		}
		if err == nil {
			version++
			if got.Status != step.to || got.Version != version {
				t.Errorf("SetStatus(%s): got %s in version %d, want version %d", step.to, got.Status, got.Version, version)
			}
		}
	}
	if _, err := c.SetStatus(t.Context(), "acme", tenancy.StatusActive); err == nil || !strings.Contains(err.Error(), "want one of []") {
		t.Errorf("SetStatus of a tenant that is purged: got %v, want an error that says which are legal", err)
	}
	if got, err := c.SetStatus(t.Context(), "acme", tenancy.StatusPurging); err != nil || got.Version != version {
		t.Errorf("SetStatus to the same: got %+v, %v, want no change", got, err)
	}
}

func testDelete(t *testing.T, c *catalog.Catalog) {
	create(t, c, full())
	wantErr(t, "Delete of an active tenant", c.Delete(t.Context(), "acme-1"), tenancy.ErrInvalid)
	find(t, c, tenancy.RefID, "acme-1")
	if _, err := c.SetStatus(t.Context(), "acme-1", tenancy.StatusArchived); err != nil {
		t.Fatalf("SetStatus: %v", err)
	}
	wantErr(t, "Delete of an archived tenant", c.Delete(t.Context(), "acme-1"), tenancy.ErrInvalid)
	if _, err := c.SetStatus(t.Context(), "acme-1", tenancy.StatusPurging); err != nil {
		t.Fatalf("SetStatus: %v", err)
	}
	if err := c.Delete(t.Context(), "acme-1"); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	wantMissing(t, c, tenancy.RefID, "acme-1")
	wantMissing(t, c, tenancy.RefDomain, "acme.example")
	wantErr(t, "Delete again", c.Delete(t.Context(), "acme-1"), tenancy.ErrNotFound)

	made := create(t, c, tenancy.Tenant{Slug: "acme", Domains: []string{"acme.example"}})
	if err := c.Delete(t.Context(), made.ID); err != nil {
		t.Errorf("Delete of a tenant that is being provisioned: %v", err)
	}
}

func testOddIDs(t *testing.T, c *catalog.Catalog) {
	for _, id := range []tenancy.ID{"", "\xff", "\x00", "é", "a b"} {
		_, rename := c.Rename(t.Context(), id, "x")
		_, update := c.Update(t.Context(), &tenancy.Tenant{ID: id, Slug: "x"})
		for what, err := range map[string]error{"Rename": rename, "Update": update, "Delete": c.Delete(t.Context(), id)} {
			wantErr(t, fmt.Sprintf("%s of %q", what, string(id)), err, tenancy.ErrNotFound)
		}
	}
}

// testAtOnce changes many tenants at the same time, whose rows are neighbours.
func testAtOnce(t *testing.T, c *catalog.Catalog) {
	const n = 20
	for i := range n {
		create(t, c, tenancy.Tenant{ID: tenancy.ID(fmt.Sprintf("t%02d", i)), Slug: fmt.Sprintf("t%02d", i)})
	}
	for round := range 3 {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if _, err := c.AddDomain(t.Context(), tenancy.ID(fmt.Sprintf("t%02d", i)), fmt.Sprintf("d%d.t%02d.example", round, i)); err != nil {
					t.Errorf("AddDomain: %v", err)
				}
			})
		}
		wg.Wait()
	}
}
