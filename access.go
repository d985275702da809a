package tenancy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Access says which requests may reach a tenant. It is part of the tenant's record, so that a request that has the
// record needs nothing else. A field has an effect only where the application puts the middleware that enforces it in
// front of its handlers: the gate of package maintenance; Authenticate and AllowIPs of package middleware; the tokens
// of middleware/token.
// The zero Access lets every request pass.
type Access struct {
	// Maintenance is nil when none is planned or in force. The package maintenance
	// changes and enforces it.
	Maintenance *Maintenance `json:"maintenance,omitempty"`
	// Keys are the API keys that are in force or will be, in ascending order of ID.
	Keys []APIKey `json:"keys,omitempty"`
	// TokenGeneration is the oldest generation of user tokens still accepted. Revoking all tokens
	// increments it.
	TokenGeneration int64 `json:"token_generation,omitempty"`
	// RevokedTokens are the tokens that were revoked and have not expired, in ascending order of ID.
	RevokedTokens []RevokedToken `json:"revoked_tokens,omitempty"`
	// Allow are the addresses that requests may come from. An empty Allow allows all addresses.
	// Deny are the addresses that are refused, even if Allow contains them. Prefixes are masked,
	// and IPv4 addresses are written as IPv4.
	Allow []netip.Prefix `json:"allow,omitempty"`
	Deny  []netip.Prefix `json:"deny,omitempty"`
}

// RevokedToken is a token that is refused.
type RevokedToken struct {
	// ID is the token's own, its claim "jti".
	ID string `json:"id"`
	// ExpiresAt is when the token would not be valid any more in any case.
	ExpiresAt time.Time `json:"expires_at"`
}

// RevokeTokens revokes all tokens of the tenant's users that were issued so far.
func (g *Access) RevokeTokens() {
	g.TokenGeneration++
	g.RevokedTokens = nil
}

// Key returns the API key with that ID, in force or not, or nil.
func (g *Access) Key(id string) *APIKey {
	i, ok := slices.BinarySearchFunc(g.Keys, id, func(k APIKey, id string) int { return strings.Compare(k.ID, id) })
	if !ok {
		return nil
	}
	return &g.Keys[i]
}

// Revoked reports whether the token with that ID was revoked.
func (g *Access) Revoked(id string) bool {
	_, ok := slices.BinarySearchFunc(g.RevokedTokens, id, func(t RevokedToken, id string) int { return strings.Compare(t.ID, id) })
	return ok
}

// Clone returns a deep copy, which its caller may modify.
func (g Access) Clone() Access {
	g.Keys = slices.Clone(g.Keys)
	for i := range g.Keys {
		g.Keys[i].Scopes, g.Keys[i].Allow = slices.Clone(g.Keys[i].Scopes), slices.Clone(g.Keys[i].Allow)
	}
	g.RevokedTokens, g.Allow, g.Deny = slices.Clone(g.RevokedTokens), slices.Clone(g.Allow), slices.Clone(g.Deny)
	if g.Maintenance != nil {
		m := *g.Maintenance
		m.Windows, m.Allow, m.Paths = slices.Clone(m.Windows), slices.Clone(m.Allow), slices.Clone(m.Paths)
		g.Maintenance = &m
	}
	return g
}

const (
	maxKeys     = 256
	maxKeyID    = 64
	maxRevoked  = 4096
	maxPrefixes = 256
	maxWindows  = 64
	maxMessage  = 4096
	maxPath     = 1024
)

// validate returns an error that wraps [ErrInvalid] for what no record may
// hold.
func (g *Access) validate() error {
	for name, n := range map[string][2]int{
		"keys": {len(g.Keys), maxKeys}, "revoked tokens": {len(g.RevokedTokens), maxRevoked},
	} {
		if n[0] > n[1] {
			return fmt.Errorf("%w: %d %s, want at most %d", ErrInvalid, n[0], name, n[1])
		}
	}
	for i, k := range g.Keys {
		if k.ID == "" || k.Hash == (Digest{}) || i > 0 && g.Keys[i-1].ID >= k.ID {
			return fmt.Errorf("%w: keys want an ID and a hash each, in ascending order of ID", ErrInvalid)
		}
		for _, id := range []string{k.ID, k.ReplacedBy} {
			if err := validateText("ID of a key", id, maxKeyID); err != nil {
				return err
			}
		}
		if err := validateText("name of a key", k.Name, maxName); err != nil {
			return err
		}
		if len(k.Scopes) > maxPairs {
			return fmt.Errorf("%w: %d scopes, want at most %d", ErrInvalid, len(k.Scopes), maxPairs)
		}
		for _, scope := range k.Scopes {
			if err := validatePairKey("scope", scope); err != nil {
				return err
			}
		}
		if err := validatePrefixes(k.Allow); err != nil {
			return err
		}
		if err := validateTimes("a key", k.CreatedAt, k.ExpiresAt); err != nil {
			return err
		}
	}
	for i, t := range g.RevokedTokens {
		if t.ID == "" || len(t.ID) > maxKeyID || !utf8.ValidString(t.ID) || i > 0 && g.RevokedTokens[i-1].ID >= t.ID {
			return fmt.Errorf("%w: revoked tokens: each needs an ID in UTF-8 of at most %d bytes, and they are in ascending order of ID", ErrInvalid, maxKeyID)
		}
		if err := validateTimes("a revoked token", t.ExpiresAt); err != nil {
			return err
		}
	}
	if g.TokenGeneration < 0 {
		return fmt.Errorf("%w: generation %d of tokens", ErrInvalid, g.TokenGeneration)
	}
	if err := validatePrefixes(g.Allow); err != nil {
		return err
	}
	if err := validatePrefixes(g.Deny); err != nil {
		return err
	}
	if g.Maintenance == nil {
		return nil
	}
	return g.Maintenance.Validate()
}

// validateTimes refuses times that JSON does not have, as which records are kept.
func validateTimes(of string, times ...time.Time) error {
	for _, t := range times {
		if _, err := t.MarshalJSON(); err != nil {
			return fmt.Errorf("%w: a time of %s: %w", ErrInvalid, of, err)
		}
	}
	return nil
}

// validatePrefixes refuses prefixes that are not masked, or are IPv4 in IPv6: two
// that look different would be one.
func validatePrefixes(all []netip.Prefix) error {
	if len(all) > maxPrefixes {
		return fmt.Errorf("%w: %d prefixes of addresses, want at most %d", ErrInvalid, len(all), maxPrefixes)
	}
	for _, p := range all {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			return fmt.Errorf("%w: prefix %v of addresses, want a masked one, and IPv4 as such", ErrInvalid, p)
		}
	}
	return nil
}
