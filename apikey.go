package tenancy

import (
	"fmt"
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

// validate returns an error that wraps [ErrInvalid] for what no record may hold.
func (k *APIKey) validate() error {
	if k.ID == "" || k.Hash == (Digest{}) {
		return fmt.Errorf("%w: each key needs an ID and a hash", ErrInvalid)
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
	return validateTimes("a key", k.CreatedAt, k.ExpiresAt)
}
