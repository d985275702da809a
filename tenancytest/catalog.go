package tenancytest

import (
	"errors"
	"net/netip"
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
		"MadeAgain":       testMadeAgain,
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
