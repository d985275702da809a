package tenancytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

func testKeyUses(t *testing.T, c *catalog.Catalog) {
	for _, id := range []tenancy.ID{"acme", "globex"} {
		create(t, c, tenancy.Tenant{ID: id, Slug: string(id)})
	}
	keys, err := catalog.NewKeyIssuer(c, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(id tenancy.ID) string {
		t.Helper()
		_, info, err := keys.Issue(t.Context(), id, catalog.APIKeySpec{})
		if err != nil {
			t.Fatalf("Issue: %v", err)
		}
		return info.ID
	}
	save := func() { // what was noted
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := keys.Run(ctx); err != nil {
			t.Fatalf("Run: %v", err)
		}
	}
	want := map[string]time.Time{}
	check := func() {
		t.Helper()
		got := map[string]time.Time{}
		for _, id := range []tenancy.ID{"acme", "globex"} {
			all, err := keys.List(t.Context(), id)
			if err != nil {
				t.Fatalf("List: %v", err)
			}
			for _, each := range all {
				got[each.ID] = each.UsedAt
			}
		}
		if diff := diff(want, got); diff != "" {
			t.Errorf("used at: -want +got\n%s", diff)
		}
	}
	first, second, other := issue("acme"), issue("acme"), issue("globex")
	keys.Used("acme", first, day.Add(999))
	save()
	all, err := keys.List(t.Context(), "acme")
	if err == nil && !slices.ContainsFunc(all, func(k catalog.APIKeyInfo) bool { return !k.UsedAt.IsZero() }) {
		t.Skip("the store does not keep when keys were used")
	}
	want[first], want[second], want[other] = day, time.Time{}, time.Time{}
	check()

	later := day.Add(time.Hour)
	keys.Used("acme", first, later)
	keys.Used("acme", first, day) // overtaken
	keys.Used("globex", other, later)
	keys.Used("globex", first, later) // nobody's
	keys.Used("nobody", first, later)
	save()
	want[first], want[other] = later, later
	check()
	keys.Used("acme", first, day)
	save()
	check()

	// More than one statement takes.
	for i := range 1234 {
		keys.Used("globex", fmt.Sprintf("%010d", i), later)
	}
	keys.Used("acme", second, later)
	save()
	want[second] = later
	check()

	if err := keys.Revoke(t.Context(), "acme", first); err != nil {
		t.Fatalf("Revoke: %v", err)
	}
	delete(want, first)
	check()
	// A record with what was removed shows what is kept of that.
	put := func(t *tenancy.Tenant, ids ...string) {
		for _, id := range ids {
			t.Access.Keys = append(t.Access.Keys, tenancy.APIKey{ID: id, Hash: tenancy.DigestOf(id)})
			want[id] = time.Time{}
		}
		slices.SortFunc(t.Access.Keys, func(a, b tenancy.APIKey) int { return strings.Compare(a.ID, b.ID) })
	}
	if _, err := c.Edit(t.Context(), "acme", func(t *tenancy.Tenant) error { put(t, first); return nil }); err != nil {
		t.Fatalf("Edit: %v", err)
	}
	check()
	if _, err := c.SetStatus(t.Context(), "acme", tenancy.StatusPurging); err != nil {
		t.Fatalf("SetStatus: %v", err)
	}
	if err := c.Delete(t.Context(), "acme"); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	again := tenancy.Tenant{ID: "acme", Slug: "acme"}
	put(&again, first, second)
	create(t, c, again)
	check()
}
