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
func (a *Access) RevokeTokens() {
	a.TokenGeneration++
	a.RevokedTokens = nil
}

// Key returns the API key with that ID, in force or not, or nil.
func (a *Access) Key(id string) *APIKey {
	i, ok := slices.BinarySearchFunc(a.Keys, id, func(k APIKey, id string) int { return strings.Compare(k.ID, id) })
	if !ok {
		return nil
	}
	return &a.Keys[i]
}

// Revoked reports whether the token with that ID was revoked.
func (a *Access) Revoked(id string) bool {
	_, ok := slices.BinarySearchFunc(a.RevokedTokens, id, func(t RevokedToken, id string) int { return strings.Compare(t.ID, id) })
	return ok
}

// Clone returns a deep copy, which its caller may modify.
func (a Access) Clone() Access {
	a.Keys = slices.Clone(a.Keys)
	for i := range a.Keys {
		a.Keys[i].Scopes, a.Keys[i].Allow = slices.Clone(a.Keys[i].Scopes), slices.Clone(a.Keys[i].Allow)
	}
	a.RevokedTokens, a.Allow, a.Deny = slices.Clone(a.RevokedTokens), slices.Clone(a.Allow), slices.Clone(a.Deny)
	if a.Maintenance != nil {
		m := *a.Maintenance
		m.Windows, m.Allow, m.Paths = slices.Clone(m.Windows), slices.Clone(m.Allow), slices.Clone(m.Paths)
		a.Maintenance = &m
	}
	return a
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
func (a *Access) validate() error {
	if n := len(a.Keys); n > maxKeys {
		return fmt.Errorf("%w: %d keys, want at most %d", ErrInvalid, n, maxKeys)
	}
	if n := len(a.RevokedTokens); n > maxRevoked {
		return fmt.Errorf("%w: %d revoked tokens, want at most %d", ErrInvalid, n, maxRevoked)
	}
	for i := range a.Keys {
		k := &a.Keys[i]
		if err := k.validate(); err != nil {
			return err
		}
		if i > 0 && a.Keys[i-1].ID >= k.ID {
			return fmt.Errorf("%w: keys are in ascending order of ID, and %q is not behind %q", ErrInvalid, k.ID, a.Keys[i-1].ID)
		}
	}
	for i, t := range a.RevokedTokens {
		if t.ID == "" || len(t.ID) > maxKeyID || !utf8.ValidString(t.ID) || i > 0 && a.RevokedTokens[i-1].ID >= t.ID {
			return fmt.Errorf("%w: revoked tokens: each needs an ID in UTF-8 of at most %d bytes, and they are in ascending order of ID", ErrInvalid, maxKeyID)
		}
		if err := validateTimes("a revoked token", t.ExpiresAt); err != nil {
			return err
		}
	}
	if a.TokenGeneration < 0 {
		return fmt.Errorf("%w: generation %d of tokens", ErrInvalid, a.TokenGeneration)
	}
	if err := validatePrefixes(a.Allow); err != nil {
		return err
	}
	if err := validatePrefixes(a.Deny); err != nil {
		return err
	}
	if a.Maintenance == nil {
		return nil
	}
	return a.Maintenance.Validate()
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
