package tenancytest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

// TestCatalog is the conformance suite for a [catalog.Store]. The function
// returns a catalog over a new and empty store.
func TestCatalog(t *testing.T, open func(t *testing.T) *catalog.Catalog) {
	tests := map[string]func(t *testing.T, c *catalog.Catalog){
		"Create":          testCreate,
		"CreateRefuses":   testCreateRefuses,
		"CreateOnce":      testCreateOnce,
		"Find":            testFind,
		"Update":          testUpdate,
		"UpdateConflict":  testUpdateConflict,
		"Rename":          testRename,
		"Domains":         testDomains,
		"DomainsAtOnce":   testDomainsAtOnce,
		"Status":          testStatus,
		"Delete":          testDelete,
		"OddIDs":          testOddIDs,
		"AtOnce":          testAtOnce,
		"List":            testList,
		"ListFilters":     testListFilters,
		"ListWords":       testListWords,
		"ListSorts":       testListSorts,
		"Select":          testSelect,
		"RecordsAreOwned": testRecordsAreOwned,
		"ContextEnds":     testContextEnds,
		"KeyUses":         testKeyUses,
		"Namespace":       testNamespace,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func create(t *testing.T, c *catalog.Catalog, in tenancy.Tenant) *tenancy.Tenant {
	t.Helper()
	out, err := c.Create(t.Context(), &in)
	if err != nil {
		t.Fatalf("Create(%q): %v", in.Slug, err)
	}
	return out
}

func find(t *testing.T, c *catalog.Catalog, kind tenancy.RefKind, value string) *tenancy.Tenant {
	t.Helper()
	out, err := c.Find(t.Context(), tenancy.Ref{Kind: kind, Value: value})
	if err != nil {
		t.Fatalf("Find(%v:%s): %v", kind, value, err)
	}
	return out
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func diff(want, got any) string { return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})) }

func wantMissing(t *testing.T, c *catalog.Catalog, kind tenancy.RefKind, value string) {
	t.Helper()
	_, err := c.Find(t.Context(), tenancy.Ref{Kind: kind, Value: value})
	wantErr(t, "Find "+value, err, tenancy.ErrNotFound)
}

var day = time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)

// full is a record with every field set.
func full() tenancy.Tenant {
	return tenancy.Tenant{
		ID: "acme-1", Slug: "acme", Name: "Acme Größe & Söhne 株式会社 😀", Domains: []string{"www.acme.example", "acme.example"},
		Status: tenancy.StatusActive, Placement: tenancy.Placement{Server: "main", Database: "tenant_acme"}, Plan: "gold",
		Limits:   map[string]int64{"requests": 1 << 60, "seats": -1},
		Settings: map[string]string{"colour": `"blue" \ 'x'`, "empty": "", "schriftgröße": "12\n"},
		Tags:     []string{"pilot", "eu", "Team:a-1"}, SchemaVersion: 20261129120000,
		Access: tenancy.Access{
			Keys: []tenancy.APIKey{{
				ID: "k1", Name: "Ünlimited", Hash: tenancy.DigestOf("x"), Scopes: []string{"read", "write"},
				Allow: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}, CreatedAt: day, ExpiresAt: day.AddDate(1, 0, 0), ReplacedBy: "k2",
			}, {ID: "k2", Hash: tenancy.DigestOf("y"), CreatedAt: day}},
			TokenGeneration: 3, RevokedTokens: []tenancy.RevokedToken{{ID: "t", ExpiresAt: day}},
			Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Deny: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")},
			Maintenance: &tenancy.Maintenance{
				Mode: tenancy.MaintenanceReadOnly, Message: "Größer & schneller", Contact: "a@acme.example", Paths: []string{"/health"},
				Windows: []tenancy.Window{{Start: day, End: day.AddDate(0, 0, 1)}, {Rule: "0 3 * * 0", Length: time.Hour, Zone: "Europe/Berlin"}},
				Allow:   []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Bypass: tenancy.DigestOf("z"), Generation: "1", BeganAt: day,
			},
		},
	}
}

func testCreate(t *testing.T, c *catalog.Catalog) {
	before := time.Now().Add(-time.Millisecond)
	got := create(t, c, full())
	want := full()
	want.Domains = []string{"acme.example", "www.acme.example"}
	want.Tags = []string{"eu", "pilot", "team:a-1"}
	want.Version, want.CreatedAt, want.UpdatedAt = 1, got.CreatedAt, got.CreatedAt
	if diff := diff(&want, got); diff != "" {
		t.Errorf("Create: -want +got\n%s", diff)
	}
	if diff := diff(&want, find(t, c, tenancy.RefID, "acme-1")); diff != "" {
		t.Errorf("Find: -want +got\n%s", diff)
	}
	if got.CreatedAt.Before(before) || got.CreatedAt.After(time.Now()) || got.CreatedAt.Location() != time.UTC {
		t.Errorf("got created at %v, want now, in UTC", got.CreatedAt)
	}

	small := create(t, c, tenancy.Tenant{Slug: "globex"})
	if small.ID.Validate() != nil || small.Name != "globex" || small.Status != tenancy.StatusProvisioning {
		t.Errorf("got %+v, want an ID, the slug as name and status provisioning", small)
	}
	if diff := diff(small, find(t, c, tenancy.RefSlug, "globex")); diff != "" {
		t.Errorf("Find: -want +got\n%s", diff)
	}
}

func testCreateRefuses(t *testing.T, c *catalog.Catalog) {
	create(t, c, full())
	for what, tt := range map[string]struct {
		in   tenancy.Tenant
		want error
	}{
		"no slug":              {tenancy.Tenant{}, tenancy.ErrInvalid},
		"path as slug":         {tenancy.Tenant{Slug: "../x"}, tenancy.ErrInvalid},
		"SQL as slug":          {tenancy.Tenant{Slug: `acme"; DROP DATABASE`}, tenancy.ErrInvalid},
		"reserved slug":        {tenancy.Tenant{Slug: "www"}, tenancy.ErrInvalid},
		"upper-case ID":        {tenancy.Tenant{ID: "X", Slug: "x"}, tenancy.ErrInvalid},
		"unknown status":       {tenancy.Tenant{Slug: "x", Status: "odd"}, tenancy.ErrInvalid},
		"domain with a path":   {tenancy.Tenant{Slug: "x", Domains: []string{"x.example/y"}}, tenancy.ErrInvalid},
		"space in a tag":       {tenancy.Tenant{Slug: "x", Tags: []string{"a b"}}, tenancy.ErrInvalid},
		"empty tag":            {tenancy.Tenant{Slug: "x", Tags: []string{""}}, tenancy.ErrInvalid},
		"long tag":             {tenancy.Tenant{Slug: "x", Tags: []string{strings.Repeat("x", 64)}}, tenancy.ErrInvalid},
		"address as domain":    {tenancy.Tenant{Slug: "x", Domains: []string{"192.0.2.1"}}, tenancy.ErrInvalid},
		"two spellings":        {tenancy.Tenant{Slug: "x", Domains: []string{"x.example", "X.example."}}, tenancy.ErrInvalid},
		"database name":        {tenancy.Tenant{Slug: "x", Placement: tenancy.Placement{Database: "a`b"}}, tenancy.ErrInvalid},
		"broken UTF-8":         {tenancy.Tenant{Slug: "x", Name: "\xff"}, tenancy.ErrInvalid},
		"NUL in the name":      {tenancy.Tenant{Slug: "x", Name: "a\x00b"}, tenancy.ErrInvalid},
		"long name":            {tenancy.Tenant{Slug: "x", Name: strings.Repeat("x", 201)}, tenancy.ErrInvalid},
		"taken ID":             {tenancy.Tenant{ID: "acme-1", Slug: "x"}, tenancy.ErrExists},
		"taken slug":           {tenancy.Tenant{ID: "x", Slug: "acme"}, tenancy.ErrExists},
		"taken domain":         {tenancy.Tenant{ID: "x", Slug: "x", Domains: []string{"new.example", "acme.example"}}, tenancy.ErrExists},
		"taken, in upper case": {tenancy.Tenant{ID: "x", Slug: "x", Domains: []string{"ACME.example."}}, tenancy.ErrExists},
	} {
		_, err := c.Create(t.Context(), &tt.in)
		wantErr(t, what, err, tt.want)
	}
	wantMissing(t, c, tenancy.RefID, "x")
	wantMissing(t, c, tenancy.RefSlug, "x")
	wantMissing(t, c, tenancy.RefDomain, "new.example")
}

func testCreateOnce(t *testing.T, c *catalog.Catalog) {
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := c.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Domains: []string{"acme.example"}})
			if err == nil {
				won.Add(1)
			} else {
				wantErr(t, "Create", err, tenancy.ErrExists)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("got %d creations of one slug, want 1", won.Load())
	}
}

func testFind(t *testing.T, c *catalog.Catalog) {
	want := create(t, c, full())
	create(t, c, tenancy.Tenant{ID: "other", Slug: "other", Domains: []string{"other.example"}})
	for _, ref := range []tenancy.Ref{
		{Kind: tenancy.RefID, Value: "acme-1"}, {Kind: tenancy.RefSlug, Value: "acme"},
		{Kind: tenancy.RefDomain, Value: "acme.example"}, {Kind: tenancy.RefDomain, Value: "www.acme.example"},
	} {
		if diff := diff(want, find(t, c, ref.Kind, ref.Value)); diff != "" {
			t.Errorf("Find(%v): -want +got\n%s", ref, diff)
		}
	}
	for _, ref := range []tenancy.Ref{
		{}, {Kind: tenancy.RefID}, {Kind: tenancy.RefID, Value: "acme"}, {Kind: tenancy.RefSlug, Value: "acme-1"},
		{Kind: tenancy.RefSlug, Value: "ACME"}, {Kind: tenancy.RefSlug, Value: "acme "}, {Kind: tenancy.RefSlug, Value: "acmé"},
		{Kind: tenancy.RefSlug, Value: "acm_"}, {Kind: tenancy.RefSlug, Value: "' OR '1'='1"}, {Kind: tenancy.RefDomain, Value: "acme"},
		{Kind: tenancy.RefDomain, Value: "x.acme.example"}, {Kind: 99, Value: "acme"},
		{Kind: tenancy.RefSlug, Value: strings.Repeat("a", 10<<10)},
	} {
		_, err := c.Find(t.Context(), ref)
		wantErr(t, fmt.Sprintf("Find(%.40v)", ref), err, tenancy.ErrNotFound)
	}
}

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

func ids(page []*tenancy.Tenant) (ids []string) {
	for _, t := range page {
		ids = append(ids, string(t.ID))
	}
	return ids
}

func testList(t *testing.T, c *catalog.Catalog) {
	var want []string
	for i := range 25 {
		slug := fmt.Sprintf("t%02d", i)
		create(t, c, tenancy.Tenant{ID: tenancy.ID(slug), Slug: slug, Domains: []string{"b." + slug + ".example", "a." + slug + ".example"}})
		want = append(want, slug)
	}
	var got []string
	f := tenancy.Filter{Limit: 10}
	for {
		page, err := c.List(t.Context(), f)
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		for _, each := range page {
			if !slices.Equal(each.Domains, []string{"a." + each.Slug + ".example", "b." + each.Slug + ".example"}) {
				t.Errorf("got domains %q of %s", each.Domains, each.ID)
			}
		}
		got = append(got, ids(page)...)
		if len(page) < f.Limit {
			break
		}
		f.After = f.Next(page[len(page)-1])
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q in pages, want %q", got, want)
	}
	if page, err := c.List(t.Context(), tenancy.Filter{}); err != nil || len(page) != 25 {
		t.Errorf("List: got %d tenants, %v, want 25", len(page), err)
	}
	for _, f := range []tenancy.Filter{
		{Limit: -1}, {Limit: 1001}, {Status: []tenancy.Status{"odd"}}, {After: "é"}, {After: "\xff"}, {Text: "a\x00"}, {Plan: "\xff"},
		{Sort: "size"}, {Terms: []tenancy.Term{{Field: "requests", Op: tenancy.OpIs, Values: []string{"1"}}}},
		{Sort: tenancy.SortName, After: f.After}, // of another listing
	} {
		_, err := c.List(t.Context(), f)
		wantErr(t, fmt.Sprintf("List(%+v)", f), err, tenancy.ErrInvalid)
	}
}

func testListFilters(t *testing.T, c *catalog.Catalog) {
	a := create(t, c, tenancy.Tenant{ID: "a", Slug: "acme", Name: "Größe 100%", Plan: "gold", Status: tenancy.StatusActive, Tags: []string{"eu", "pilot"}, SchemaVersion: 11})
	wait(t, a.CreatedAt)
	b := create(t, c, tenancy.Tenant{ID: "b", Slug: "bolt", Name: "Under_score", Plan: "gold", Status: tenancy.StatusSuspended,
		Tags: []string{"us"}, Placement: tenancy.Placement{Server: "eu-1"}})
	wait(t, b.CreatedAt)
	create(t, c, tenancy.Tenant{ID: "c", Slug: "core", Name: `Back\slash!`, Domains: []string{"acme.example"}, Status: tenancy.StatusActive, Tags: []string{"pilot"}, SchemaVersion: 12})
	scope := func(s tenancy.Scope) *tenancy.Scope { return &s }
	for what, tt := range map[string]struct {
		f    tenancy.Filter
		want []string
	}{
		"all":               {tenancy.Filter{}, []string{"a", "b", "c"}},
		"status":            {tenancy.Filter{Status: []tenancy.Status{tenancy.StatusActive}}, []string{"a", "c"}},
		"two statuses":      {tenancy.Filter{Status: []tenancy.Status{tenancy.StatusActive, tenancy.StatusSuspended}}, []string{"a", "b", "c"}},
		"plan":              {tenancy.Filter{Plan: "gold"}, []string{"a", "b"}},
		"plan in case":      {tenancy.Filter{Plan: "Gold"}, nil},
		"slug, domain":      {tenancy.Filter{Text: "ACME"}, []string{"a", "c"}},
		"name":              {tenancy.Filter{Text: "grÖSSe"}, nil},
		"name, folded":      {tenancy.Filter{Text: "GRÖßE"}, []string{"a"}},
		"per cent":          {tenancy.Filter{Text: "100%"}, []string{"a"}},
		"underscore":        {tenancy.Filter{Text: "r_s"}, nil},
		"two words":         {tenancy.Filter{Text: "und SCO"}, []string{"b"}},
		"backslash":         {tenancy.Filter{Text: `ba\s`}, []string{"c"}},
		"label of a domain": {tenancy.Filter{Text: "example"}, []string{"c"}},
		"inside of a word":  {tenancy.Filter{Text: "cme"}, nil},
		"from":              {tenancy.Filter{CreatedFrom: b.CreatedAt}, []string{"b", "c"}},
		"from, in between":  {tenancy.Filter{CreatedFrom: b.CreatedAt.Add(1)}, []string{"c"}},
		"before":            {tenancy.Filter{CreatedBefore: b.CreatedAt}, []string{"a"}},
		"between":           {tenancy.Filter{CreatedFrom: a.CreatedAt, CreatedBefore: b.CreatedAt.Add(1)}, []string{"a", "b"}},
		"all at once": {tenancy.Filter{Status: []tenancy.Status{tenancy.StatusActive}, Plan: "gold", Text: "acme",
			CreatedFrom: a.CreatedAt, CreatedBefore: b.CreatedAt}, []string{"a"}},
		"one tag":         {tenancy.Filter{Tags: []string{"pilot"}}, []string{"a", "c"}},
		"either tag":      {tenancy.Filter{Tags: []string{"eu", "us"}}, []string{"a", "b"}},
		"tag of nobody":   {tenancy.Filter{Tags: []string{"eu2"}}, nil},
		"IDs":             {tenancy.Filter{IDs: []tenancy.ID{"c", "a", "nobody"}}, []string{"a", "c"}},
		"server":          {tenancy.Filter{Server: "eu-1"}, []string{"b"}},
		"schema before":   {tenancy.Filter{SchemaBefore: 12}, []string{"a", "b"}},
		"schema from":     {tenancy.Filter{SchemaFrom: 11}, []string{"a", "c"}},
		"schema between":  {tenancy.Filter{SchemaFrom: 1, SchemaBefore: 12}, []string{"a"}},
		"scope of all":    {tenancy.Filter{Scope: scope(tenancy.AllTenants())}, []string{"a", "b", "c"}},
		"scope of nobody": {tenancy.Filter{Scope: scope(tenancy.Scope{})}, nil},
		"scope of a tag":  {tenancy.Filter{Scope: scope(tenancy.ByTags("pilot", "x"))}, []string{"a", "c"}},
		"scope of IDs":    {tenancy.Filter{Scope: scope(tenancy.ByIDs("b"))}, []string{"b"}},
		"scope and IDs":   {tenancy.Filter{Scope: scope(tenancy.ByIDs("b")), IDs: []tenancy.ID{"a"}}, nil},
		"scope and tags":  {tenancy.Filter{Scope: scope(tenancy.ByTags("pilot")), Tags: []string{"eu"}}, []string{"a"}},
	} {
		page, err := c.List(t.Context(), tt.f)
		if err != nil || !slices.Equal(ids(page), tt.want) {
			t.Errorf("%s: got %q, %v, want %q", what, ids(page), err, tt.want)
		}
	}
}

// testListWords finds tenants by how words of their slugs, names and domains begin, which
// follow each change.
func testListWords(t *testing.T, c *catalog.Catalog) {
	long := strings.Repeat("ẞ", 200/3) // 198 bytes without an end of a word
	many := strings.Repeat("a ", 99) + "zz"
	acme := create(t, c, tenancy.Tenant{ID: "acme", Slug: "acme-north", Name: "Müller & Söhne (ΟΔΟΣ) O’Neil", Domains: []string{"shop.acme.example", "xn--mller-kva.example"}})
	for id, name := range map[tenancy.ID]string{
		"emoji": "Go🚀Fast 👩\u200d🚀", "heart": "I \u2764\ufe0f it", "long": long, "many": many, "tokyo": "東京スカイツリー", "cents": "50% off_now C++",
	} {
		create(t, c, tenancy.Tenant{ID: id, Slug: "s-" + string(id), Name: name})
	}
	wantFound := func(when string, cases map[string]string) {
		t.Helper()
		for text, want := range cases {
			found, err := c.List(t.Context(), tenancy.Filter{Text: text})
			if got := strings.Join(ids(found), " "); err != nil || got != want {
				t.Errorf("%s: List of %q: got %q, %v, want %q", when, text, got, err, want)
			}
		}
	}
	wantFound("made", map[string]string{
		"acme": "acme", "ACME north": "acme", "acme-n": "acme", "nor": "acme", "orth": "", "north acme": "acme", "acme south": "",
		"MÜLL söh": "acme", "muller": "", "οδος": "acme", "οδοσ": "acme", "o'ne": "acme", "neil": "acme", "(ΟΔ": "acme",
		"shop.acme": "acme", "exa": "acme", "hop": "", "mller": "acme", "kva.exam": "acme",
		"🚀": "emoji", "go": "emoji", "fast🚀": "emoji", "👩": "emoji", "❤": "heart", "❤\ufe0f": "heart",
		strings.Repeat("ß", 60): "long", long: "long", "ss": "", "zz a": "many", "東": "tokyo", "京": "tokyo", "スカイ": "tokyo", "東スカ": "",
		"50": "cents", "50%": "cents", "now": "cents", "c++": "cents", "++": "cents", "s tok": "tokyo", "s": "acme cents emoji heart long many tokyo",
	})
	for _, text := range []string{"%", "-- _ .", "'", `\`, strings.Repeat("a b c d e f g h i j k l m n o p q ", 2)} {
		_, err := c.List(t.Context(), tenancy.Filter{Text: text})
		wantErr(t, fmt.Sprintf("List of %q", text), err, tenancy.ErrInvalid)
	}
	if _, err := c.Rename(t.Context(), "acme", "apex-north"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RemoveDomain(t.Context(), "acme", "shop.acme.example"); err != nil {
		t.Fatal(err)
	}
	wantFound("changed", map[string]string{"acme": "", "shop": "", "apex": "acme", "north": "acme", "example": "acme", "müller": "acme"})
	if err := c.Delete(t.Context(), acme.ID); err != nil {
		t.Fatal(err)
	}
	wantFound("deleted", map[string]string{"apex": "", "müller": "", "s": "cents emoji heart long many tokyo"})
}

// testListSorts lists in each order, in pages of each size.
func testListSorts(t *testing.T, c *catalog.Catalog) {
	var all []*tenancy.Tenant
	for i, name := range []string{"b", "Ä", "a", "a", "Z", "a"} {
		id := fmt.Sprintf("t%d", i)
		made := create(t, c, tenancy.Tenant{ID: tenancy.ID(id), Slug: fmt.Sprintf("s%d", 9-i), Name: name, Domains: []string{id + ".example", id + "b.example"}})
		if i%2 == 0 {
			wait(t, made.CreatedAt)
		}
		all = append(all, made)
	}
	changed, err := c.Rename(t.Context(), "t2", "s-renamed")
	if err != nil {
		t.Fatal(err)
	}
	all[2] = changed
	for _, field := range tenancy.Sorts() {
		for _, sort := range []tenancy.Sort{field, "-" + field} {
			_, descending := sort.Field()
			slices.SortFunc(all, func(a, b *tenancy.Tenant) int {
				order := strings.Compare(sort.Key(a), sort.Key(b))
				if order == 0 {
					order = strings.Compare(string(a.ID), string(b.ID))
				}
				if descending {
					return -order
				}
				return order
			})
			for _, size := range []int{1, 2, 4, 100} {
				var got []string
				f := tenancy.Filter{Sort: sort, Limit: size, Text: "S"}
				for {
					page, err := c.List(t.Context(), f)
					if err != nil {
						t.Fatalf("List by %s: %v", sort, err)
					}
					for _, each := range page {
						if len(each.Domains) != 2 {
							t.Errorf("by %s: got domains %q of %s", sort, each.Domains, each.ID)
						}
					}
					got = append(got, ids(page)...)
					if len(page) < size || len(got) > len(all) {
						break
					}
					f.After = f.Next(page[len(page)-1])
				}
				if want := ids(all); !slices.Equal(got, want) {
					t.Errorf("by %s in pages of %d: got %q, want %q", sort, size, got, want)
				}
			}
		}
	}
}

func testSelect(t *testing.T, c *catalog.Catalog) {
	for i := range 5 {
		id := fmt.Sprintf("t%d", i)
		create(t, c, tenancy.Tenant{ID: tenancy.ID(id), Slug: id, Tags: []string{fmt.Sprintf("tag%d", i%2)}})
	}
	for text, want := range map[string]string{
		"": "[t0 t1 t2 t3 t4] <nil>", "tag:tag1": "[t1 t3] <nil>", "sort:-id": "[t4 t3 t2 t1 t0] <nil>", "id:nobody": "[] <nil>",
	} {
		f, err := tenancy.ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		got := []tenancy.ID{}
		var failed error
		for id, err := range c.Select(t.Context(), f) {
			if failed = err; err == nil {
				got = append(got, id)
			}
		}
		if got := fmt.Sprint(got, failed); got != want {
			t.Errorf("Select(%s): got %s, want %s", text, got, want)
		}
	}
	n := 0
	for _, err := range c.Select(t.Context(), tenancy.Filter{Limit: 3}) {
		if n++; err != nil {
			t.Error(err)
		}
	}
	if n != 3 {
		t.Errorf("Select of 3: got %d", n)
	}
	f, err := tenancy.ParseFilter("requests:>1", tenancy.Field{Name: "requests", Kind: tenancy.FieldNumber})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range c.Select(t.Context(), f) {
		wantErr(t, "Select by a field that no catalog has", err, tenancy.ErrInvalid)
	}
}

// wait returns when the clock shows a later microsecond.
func wait(t *testing.T, than time.Time) {
	t.Helper()
	for !time.Now().UTC().Truncate(time.Microsecond).After(than) {
		if t.Context().Err() != nil {
			return
		}
	}
}

func testRecordsAreOwned(t *testing.T, c *catalog.Catalog) {
	in := full()
	create(t, c, in)
	in.Settings["colour"], in.Domains[0], in.Access.Keys[0].Scopes[0], in.Access.Maintenance.Paths[0] = "changed", "changed", "changed", "/changed"
	got := find(t, c, tenancy.RefID, "acme-1")
	got.Settings["colour"], got.Limits["seats"], got.Domains[0] = "changed", 99, "changed"
	got.Tags[0] = "changed"
	got.Access.Keys[0].Scopes[0], got.Access.Maintenance.Paths[0], got.Access.Allow[0] = "changed", "/changed", netip.Prefix{}
	again := find(t, c, tenancy.RefID, "acme-1")
	if again.Settings["colour"] == "changed" || again.Limits["seats"] == 99 || slices.Contains(again.Domains, "changed") || slices.Contains(again.Tags, "changed") || again.Access.Keys[0].Scopes[0] == "changed" ||
		again.Access.Maintenance.Paths[0] == "/changed" || !again.Access.Allow[0].IsValid() {
		t.Errorf("got %+v, want what was stored", again)
	}
}

func testContextEnds(t *testing.T, c *catalog.Catalog) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Create(ctx, &tenancy.Tenant{Slug: "acme"})
	wantErr(t, "Create", err, context.Canceled)
	_, err = c.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
	wantErr(t, "Find", err, context.Canceled)
	_, err = c.List(ctx, tenancy.Filter{})
	wantErr(t, "List", err, context.Canceled)
	wantMissing(t, c, tenancy.RefSlug, "acme")
}

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
	update := func(id tenancy.ID, status tenancy.Status) {
		t.Helper()
		if _, err := c.SetStatus(t.Context(), id, status); err != nil {
			t.Fatal(err)
		}
	}
	update("acme", tenancy.StatusArchived)
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

func testNamespace(t *testing.T, c *catalog.Catalog) {
	got, errs := make([]string, 8), make([]error, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], errs[i] = c.Namespace(t.Context()) })
	}
	wg.Wait()
	if errors.Is(errs[0], tenancy.ErrInvalid) {
		t.Log("the store is no NamespaceStore")
		return
	}
	if err := errors.Join(errs...); err != nil {
		t.Errorf("Namespace: %v", err)
	}
	first := got[0]
	if first == "" || slices.ContainsFunc(got, func(name string) bool { return name != first }) {
		t.Fatalf("got the namespaces %q at once, want one", got)
	}
	renewed, err := c.RenewNamespace(t.Context())
	if err != nil || renewed == "" || renewed == first {
		t.Errorf("RenewNamespace: got %q, %v, want another than %q", renewed, err, first)
	}
	if now, err := c.Namespace(t.Context()); now != renewed || err != nil {
		t.Errorf("got the namespace %q, %v, want %q", now, err, renewed)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.RenewNamespace(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: got %v, want %v", err, context.Canceled)
	}
	if now, err := c.Namespace(t.Context()); now != renewed || err != nil {
		t.Errorf("got the namespace %q, %v, want %q", now, err, renewed)
	}
}
