package tenancy

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"
)

// ID identifies a tenant forever: 1 to 36 lower-case letters, digits, hyphens
// and underscores, the first and the last a letter or digit. The form fits
// UUIDs, file names and database names, and two IDs never differ in case alone.
type ID string

// crockford is the alphabet of Crockford's base 32, in lower case.
// Source: https://www.crockford.com/base32.html
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// NewID returns a new ID of 26 characters: a ULID in lower case, whose first
// ten characters are the time in milliseconds and whose rest is 80 random bits.
// IDs sort by the time they were made.
// Source: https://github.com/ulid/spec
func NewID() ID {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(time.Now().UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // never fails: crypto/rand
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	var out [26]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return ID(out[:])
}

// Validate reports a malformed ID with an error that wraps [ErrInvalid].
func (id ID) Validate() error {
	if len(id) == 0 || len(id) > maxID {
		return fmt.Errorf("%w: tenant ID of %d bytes, want 1 to %d", ErrInvalid, len(id), maxID)
	}
	for i := range len(id) {
		c := id[i]
		inner := i > 0 && i < len(id)-1
		if !lowerAlnum(c) && !(inner && (c == '-' || c == '_')) {
			return fmt.Errorf("%w: tenant ID %q, want a-z, 0-9 and inner - or _", ErrInvalid, string(id))
		}
	}
	return nil
}

func lowerAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
