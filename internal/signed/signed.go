// Package signed makes the signatures of texts that belong to one purpose and one tenant, such as a cookie: HMAC-SHA-256 (RFC 2104) under a key
// of at least 32 bytes.
package signed

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/artflow-studio/tenancy"
)

const (
	// Size is the length of a signature in bytes.
	Size = sha256.Size
	// MinKey is the length in bytes of the shortest key: that of the hash's output (RFC 2104, section 3; RFC 7518, section 3.2).
	MinKey = sha256.Size
)

// CheckKey refuses a key that is too short, with an error that wraps [tenancy.ErrInvalid] and shows no key. name is the key's in the error,
// such as "cookie key".
func CheckKey(name string, key tenancy.Secret) error {
	if n := len(key.Reveal()); n < MinKey {
		return fmt.Errorf("%w: %s of %d bytes, want at least %d", tenancy.ErrInvalid, name, n, MinKey)
	}
	return nil
}

// Of returns the signature of the parts for one purpose. A signature for another purpose or of other parts is another. A NUL separates the
// parts: only the last may contain one, or two lists of parts have one signature.
func Of(key []byte, purpose string, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("tenancy " + purpose))
	for _, part := range parts {
		h.Write([]byte{0})
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// Text returns a signature as text, in URL-safe base 64 without padding.
func Text(signature []byte) string { return base64.RawURLEncoding.EncodeToString(signature) }

// Parse reads a signature from the text that [Text] returns. It refuses every other spelling, which base 64 has.
func Parse(text string) (signature []byte, ok bool) {
	signature, err := base64.RawURLEncoding.DecodeString(text)
	return signature, err == nil && len(signature) == Size && Text(signature) == text
}

// Valid reports, in constant time for each key, whether one of the keys made the signature of the parts for that purpose.
func Valid(signature []byte, keys []tenancy.Secret, purpose string, parts ...string) bool {
	return slices.ContainsFunc(keys, func(key tenancy.Secret) bool {
		return hmac.Equal(signature, Of([]byte(key.Reveal()), purpose, parts...))
	})
}
