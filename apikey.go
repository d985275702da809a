package tenancy

import (
	"net/netip"
	"time"
)

// APIKey is an API key of a tenant. It holds the hash of the key's text, and not the text.
type APIKey struct {
	// ID is not secret; it is a part of the key's text.
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// Hash is the SHA-256 of the key's text. It is zero where keys are only listed.
	Hash Digest `json:"hash,omitzero"`
	// Scopes are the application's.
	Scopes []string `json:"scopes,omitempty"`
	// Allow are the addresses that the key may be used from. An empty Allow allows all.
	Allow     []netip.Prefix `json:"allow,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
	// ExpiresAt is when the key stops being valid; the zero time is never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// ReplacedBy is the ID of the key that was made in place of this one.
	ReplacedBy string `json:"replaced_by,omitempty"`
}
