package tenancy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Digest is a SHA-256. The zero Digest stands for no digest.
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
