package tenancy_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
)

// validAccess has every field set.
func validAccess() tenancy.Access {
	at := time.Unix(1, 0).UTC()
	prefixes := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	return tenancy.Access{
		Keys: []tenancy.APIKey{{
			ID: "k1", Name: "Shop", Hash: tenancy.DigestOf("x"), Scopes: []string{"read"}, Allow: prefixes("2001:db8::/32"),
			CreatedAt: at, ExpiresAt: at.Add(time.Hour), ReplacedBy: "k2",
		}},
		TokenGeneration: 2, RevokedTokens: []tenancy.RevokedToken{{ID: "t1", ExpiresAt: at}},
		Allow: prefixes("192.0.2.0/24"), Deny: prefixes("192.0.2.1/32"),
		Maintenance: &tenancy.Maintenance{
			Mode: tenancy.MaintenanceClosed, Message: "soon", Contact: "ops@example.com", Paths: []string{"/health"}, Allow: prefixes("::1/128"),
			Windows: []tenancy.Window{{Start: at, End: at.Add(time.Hour), Rule: "0 3 * * *", Length: time.Minute, Zone: "Europe/Berlin"}},
			Bypass:  tenancy.DigestOf("y"), Generation: "1", BeganAt: at,
		},
	}
}

func TestAccessValidate(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*tenancy.Access){
		"keys out of order": func(g *tenancy.Access) {
			g.Keys = append(g.Keys, tenancy.APIKey{ID: "k0", Hash: tenancy.DigestOf("z")})
		},
		"a key twice":               func(g *tenancy.Access) { g.Keys = append(g.Keys, g.Keys[0]) },
		"a key without a hash":      func(g *tenancy.Access) { g.Keys[0].Hash = tenancy.Digest{} },
		"a key without an ID":       func(g *tenancy.Access) { g.Keys[0].ID = "" },
		"a key's name":              func(g *tenancy.Access) { g.Keys[0].Name = "\x00" },
		"an empty scope":            func(g *tenancy.Access) { g.Keys[0].Scopes[0] = "" },
		"a long ID of a key":        func(g *tenancy.Access) { g.Keys[0].ID = strings.Repeat("k", 65) },
		"a long ID of the next":     func(g *tenancy.Access) { g.Keys[0].ReplacedBy = strings.Repeat("k", 65) },
		"tokens out of order":       func(g *tenancy.Access) { g.RevokedTokens = append(g.RevokedTokens, tenancy.RevokedToken{ID: "t0"}) },
		"a token twice":             func(g *tenancy.Access) { g.RevokedTokens = append(g.RevokedTokens, g.RevokedTokens[0]) },
		"a token without an ID":     func(g *tenancy.Access) { g.RevokedTokens[0].ID = "" },
		"a token that is no text":   func(g *tenancy.Access) { g.RevokedTokens[0].ID = "\xff" },
		"a token until year 10000":  func(g *tenancy.Access) { g.RevokedTokens[0].ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"a key until year 10000":    func(g *tenancy.Access) { g.Keys[0].ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"maintenance in year 10000": func(g *tenancy.Access) { g.Maintenance.BeganAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"a long ID of a token":      func(g *tenancy.Access) { g.RevokedTokens[0].ID = strings.Repeat("t", 65) },
		"a negative generation":     func(g *tenancy.Access) { g.TokenGeneration = -1 },
		"the zero prefix":           func(g *tenancy.Access) { g.Allow[0] = netip.Prefix{} },
		"a prefix that has a host":  func(g *tenancy.Access) { g.Deny[0] = netip.MustParsePrefix("192.0.2.1/24") },
		"IPv4 in IPv6":              func(g *tenancy.Access) { g.Keys[0].Allow[0] = netip.MustParsePrefix("::ffff:192.0.2.0/120") },
		"no mode":                   func(g *tenancy.Access) { g.Maintenance.Mode = "" },
		"no generation":             func(g *tenancy.Access) { g.Maintenance.Generation = "" },
		"a long message":            func(g *tenancy.Access) { g.Maintenance.Message = strings.Repeat("x", 4097) },
		"a contact that is no text": func(g *tenancy.Access) { g.Maintenance.Contact = "\xff" },
		"a path without a slash":    func(g *tenancy.Access) { g.Maintenance.Paths[0] = "health" },
		"maintenance's prefix":      func(g *tenancy.Access) { g.Maintenance.Allow[0] = netip.Prefix{} },
		"the zero window":           func(g *tenancy.Access) { g.Maintenance.Windows[0] = tenancy.Window{} },
		"a window backwards": func(g *tenancy.Access) {
			w := &g.Maintenance.Windows[0]
			w.Start, w.End = w.End, w.Start
		},
		"a window to the year 10000":  func(g *tenancy.Access) { g.Maintenance.Windows[0].End = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"a window from before year 0": func(g *tenancy.Access) { g.Maintenance.Windows[0].Start = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) },
		"a rule without a length":     func(g *tenancy.Access) { g.Maintenance.Windows[0].Length = 0 },
		"a length without a rule":     func(g *tenancy.Access) { g.Maintenance.Windows[0].Rule = "" },
	} {
		tenant := validTenant()
		change(&tenant.Access)
		if err := tenant.Validate(); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

// As many as there may be are valid, and one more is not, though each is.
func TestAccessLimits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		most int
		set  func(g *tenancy.Access, n int)
	}{
		"keys": {256, func(g *tenancy.Access, n int) {
			g.Keys = nil
			for i := range n {
				g.Keys = append(g.Keys, tenancy.APIKey{ID: fmt.Sprintf("%04d", i), Hash: tenancy.DigestOf("x")})
			}
		}},
		"revoked tokens": {4096, func(g *tenancy.Access, n int) {
			g.RevokedTokens = nil
			for i := range n {
				g.RevokedTokens = append(g.RevokedTokens, tenancy.RevokedToken{ID: fmt.Sprintf("%04d", i)})
			}
		}},
		"scopes":            {256, func(g *tenancy.Access, n int) { g.Keys[0].Scopes = slices.Repeat([]string{"read"}, n) }},
		"prefixes":          {256, func(g *tenancy.Access, n int) { g.Allow = slices.Repeat(g.Allow[:1], n) }},
		"denied prefixes":   {256, func(g *tenancy.Access, n int) { g.Deny = slices.Repeat(g.Deny[:1], n) }},
		"prefixes of a key": {256, func(g *tenancy.Access, n int) { g.Keys[0].Allow = slices.Repeat(g.Keys[0].Allow[:1], n) }},
		"windows": {64, func(g *tenancy.Access, n int) {
			g.Maintenance.Windows = slices.Repeat(g.Maintenance.Windows[:1], n)
		}},
	} {
		for n, want := range map[int]error{tt.most: nil, tt.most + 1: tenancy.ErrInvalid} {
			tenant := validTenant()
			tt.set(&tenant.Access, n)
			if err := tenant.Validate(); !errors.Is(err, want) {
				t.Errorf("%d %s: got %v, want %v", n, name, err, want)
			}
		}
	}
}

func TestAccessLookUp(t *testing.T) {
	t.Parallel()
	var g tenancy.Access
	ids := []string{"A", "a", "b", "d"}
	for _, id := range ids {
		g.Keys = append(g.Keys, tenancy.APIKey{ID: id})
		g.RevokedTokens = append(g.RevokedTokens, tenancy.RevokedToken{ID: id})
	}
	for i, id := range ids {
		if got := g.Key(id); got != &g.Keys[i] || !g.Revoked(id) {
			t.Errorf("%s: got %v, %v, want it", id, got, g.Revoked(id))
		}
	}
	for _, id := range []string{"", "c", "e", "aa"} {
		if got := g.Key(id); got != nil || g.Revoked(id) {
			t.Errorf("%q: got %v, %v, want nothing", id, got, g.Revoked(id))
		}
	}
}
