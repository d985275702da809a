package tenancy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Access are what stands between requests and a tenant. They are part of its
// record, so that whoever has that needs to ask nothing else. Each works where the
// host puts what enforces it in front of its handlers, and nowhere else: the gate of
// package maintenance, and Authenticate, AllowIPs and tokens of package middleware.
// The zero Access let every request pass.
type Access struct {
	// Maintenance is nil when none is planned or in force. The package maintenance
	// changes and enforces it.
	Maintenance *Maintenance `json:"maintenance,omitempty"`
	// Keys are the API keys that are in force or will be, in ascending order of ID.
	Keys []APIKey `json:"keys,omitempty"`
	// TokenGeneration is what a token of the tenant's users must be of, or of a later
	// one. It grows when all tokens are revoked.
	TokenGeneration int64 `json:"token_generation,omitempty"`
	// RevokedTokens are refused, in ascending order of ID.
	RevokedTokens []RevokedToken `json:"revoked_tokens,omitempty"`
	// Allow are the addresses that requests may come from, masked, and IPv4 as such;
	// none is all. Deny
	// outweighs it.
	Allow []netip.Prefix `json:"allow,omitempty"`
	Deny  []netip.Prefix `json:"deny,omitempty"`
}

// APIKey is an API key of a tenant. The secret itself is not kept.
type APIKey struct {
	// ID is not secret; it is a part of the key's text.
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// Hash is the SHA-256 of the key's text. It is zero where keys are only listed.
	Hash Digest `json:"hash,omitzero"`
	// Scopes are the application's.
	Scopes []string `json:"scopes,omitempty"`
	// Allow are the addresses that the key may be used from; none is all.
	Allow     []netip.Prefix `json:"allow,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
	// ExpiresAt is when the key ends to be valid; the zero time is never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// ReplacedBy is the ID of the key that was made in place of this one.
	ReplacedBy string `json:"replaced_by,omitempty"`
}

// RevokedToken is a token that is refused.
type RevokedToken struct {
	// ID is the token's own, its claim "jti".
	ID string `json:"id"`
	// ExpiresAt is when the token would not be valid any more in any case.
	ExpiresAt time.Time `json:"expires_at"`
}

// Maintenance is when and how a tenant, or the whole service, is not served.
type Maintenance struct {
	Mode MaintenanceMode `json:"mode"`
	// Message and Contact are shown to clients.
	Message string `json:"message,omitempty"`
	Contact string `json:"contact,omitempty"`
	// Windows are when it is in force. None: always.
	Windows []Window `json:"windows,omitempty"`
	// Allow are addresses, and Paths prefixes of paths, that are served all the
	// same. A prefix holds for itself and for what follows it after a slash.
	Allow []netip.Prefix `json:"allow,omitempty"`
	Paths []string       `json:"paths,omitempty"`
	// Bypass is the SHA-256 of the secret by which people are served all the same,
	// or zero if there is none.
	Bypass Digest `json:"bypass,omitzero"`
	// Generation is random, and another one whenever maintenance begins or Bypass
	// changes: what was granted under another ends.
	Generation string `json:"generation"`
	// BeganAt is when this was written.
	BeganAt time.Time `json:"began_at"`
}

// AuditValue returns the record as entries of the audit show it: without the hash of
// the secret and without the generation.
func (m *Maintenance) AuditValue() json.RawMessage {
	shown := struct {
		Maintenance
		Bypass     string `json:"bypass,omitempty"`     // in place of the hash
		Generation string `json:"generation,omitempty"` // left out
	}{Maintenance: *m}
	if m.Bypass != (Digest{}) {
		shown.Bypass = redacted
	}
	return AuditValue(shown)
}

// MaintenanceMode is what is not served.
type MaintenanceMode string

// The modes of maintenance.
const (
	// MaintenanceClosed serves nothing.
	MaintenanceClosed MaintenanceMode = "closed"
	// MaintenanceReadOnly serves what only reads: safe methods, whose contexts are
	// [WithReadOnly].
	MaintenanceReadOnly MaintenanceMode = "read_only"
)

// MaintenanceError says that a request goes no further because of maintenance. It
// wraps [ErrUnavailable].
type MaintenanceError struct {
	Mode MaintenanceMode
	// Message and Contact are for the client.
	Message, Contact string
	// After is when to come back. Zero is in five minutes.
	After time.Duration
}

// Error returns the text for logs.
func (e *MaintenanceError) Error() string { return "maintenance: " + string(e.Mode) }

// Unwrap returns [ErrUnavailable].
func (e *MaintenanceError) Unwrap() error { return ErrUnavailable }

// RetryAfter returns when to come back.
func (e *MaintenanceError) RetryAfter() time.Duration { return cmp.Or(e.After, 5*time.Minute) }

// Window is a time, or a time that comes again.
type Window struct {
	// Start is when it begins. With a Rule, it begins at no time before.
	Start time.Time `json:"start,omitzero"`
	// End is when it ends, and with a Rule when it begins no more; the zero time is
	// never.
	End time.Time `json:"end,omitzero"`
	// Rule says when it begins again: a cron expression of five fields. Each lasts
	// for Length.
	Rule   string        `json:"rule,omitempty"`
	Length time.Duration `json:"length,omitempty"` // in nanoseconds
	// Zone is the IANA time zone that Rule is in. Default: UTC.
	Zone string `json:"zone,omitempty"`
}

// Digest is a SHA-256. The zero Digest is that of nothing.
type Digest [sha256.Size]byte

// DigestOf returns the SHA-256 of a text.
func DigestOf(text string) Digest {
	var b [256]byte // spares short texts an allocation
	if len(text) <= len(b) {
		return sha256.Sum256(b[:copy(b[:], text)])
	}
	return sha256.Sum256([]byte(text))
}

// String returns the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText returns the digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a digest in hexadecimal.
func (d *Digest) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(d) {
		return fmt.Errorf("%w: digest of %d characters, want %d", ErrInvalid, len(text), hex.EncodedLen(len(d)))
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("%w: digest: %w", ErrInvalid, err)
	}
	return nil
}

type readOnlyKey struct{}

// WithReadOnly returns a context in which the tenant's data must not be changed.
// A pool of connections returns handles that cannot.
func WithReadOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, readOnlyKey{}, true)
}

// IsReadOnly reports whether the context is one of [WithReadOnly].
func IsReadOnly(ctx context.Context) bool {
	is, _ := ctx.Value(readOnlyKey{}).(bool)
	return is
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
	}
	for i, t := range g.RevokedTokens {
		if t.ID == "" || len(t.ID) > maxKeyID || i > 0 && g.RevokedTokens[i-1].ID >= t.ID {
			return fmt.Errorf("%w: revoked tokens want an ID of at most %d bytes each, in ascending order of ID", ErrInvalid, maxKeyID)
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

// Validate returns an error that wraps [ErrInvalid] for what no record may
// hold. It does not read the windows' rules, which are the package maintenance's.
func (m *Maintenance) Validate() error {
	if m.Mode != MaintenanceClosed && m.Mode != MaintenanceReadOnly {
		return fmt.Errorf("%w: maintenance mode %q", ErrInvalid, string(m.Mode))
	}
	if m.Generation == "" || len(m.Windows) > maxWindows || len(m.Paths) > maxPrefixes {
		return fmt.Errorf("%w: maintenance without a generation, or of %d windows and %d paths, want at most %d and %d",
			ErrInvalid, len(m.Windows), len(m.Paths), maxWindows, maxPrefixes)
	}
	for _, text := range []string{m.Message, m.Contact} {
		if len(text) > maxMessage || !utf8.ValidString(text) {
			return fmt.Errorf("%w: message or contact: want UTF-8 of at most %d bytes", ErrInvalid, maxMessage)
		}
	}
	for _, path := range m.Paths {
		if path == "" || path[0] != '/' || len(path) > maxPath {
			return fmt.Errorf("%w: path %.40q, want one that begins with a slash, of at most %d bytes", ErrInvalid, path, maxPath)
		}
	}
	for _, w := range m.Windows {
		if err := w.validate(); err != nil {
			return err
		}
	}
	return validatePrefixes(m.Allow)
}

// validate does not read the rule, which is the package maintenance's.
func (w Window) validate() error {
	switch {
	case w.Rule == "" && (w.Start.IsZero() || w.Length != 0):
		return fmt.Errorf("%w: a window without a rule wants a start, and has an end or none", ErrInvalid)
	case w.Rule != "" && w.Length <= 0:
		return fmt.Errorf("%w: a window with a rule wants a length", ErrInvalid)
	case !w.End.IsZero() && !w.Start.Before(w.End):
		return fmt.Errorf("%w: a window that ends before it begins", ErrInvalid)
	}
	for _, t := range []time.Time{w.Start, w.End} {
		if _, err := t.MarshalJSON(); err != nil { // records are kept as JSON
			return fmt.Errorf("%w: a window's time: %w", ErrInvalid, err)
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
