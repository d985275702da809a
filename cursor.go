package tenancy

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// Cursor says where a listing goes on. Clients hand it back as it is: it is ASCII
// that may stand in URLs. It is not signed and holds no secret, and grants nothing:
// each listing checks what the caller may see.
type Cursor string

const maxCursor = 2048

// NewCursor returns a cursor for the listing that the query describes, with the
// values by which it goes on.
func NewCursor(query string, values ...string) Cursor {
	b, err := json.Marshal(append([]string{cursorHash(query)}, values...))
	if err != nil {
		panic("tenancy: " + err.Error()) // texts can be encoded
	}
	return Cursor(base64.RawURLEncoding.EncodeToString(b))
}

// Values returns the n values of the cursor. One that is malformed, of another
// number of values, or of another query, is an error that wraps [ErrInvalid].
func (c Cursor) Values(query string, n int) ([]string, error) {
	if len(c) > maxCursor {
		return nil, fmt.Errorf("%w: cursor of %d bytes, want at most %d", ErrInvalid, len(c), maxCursor)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(c))
	if err != nil {
		return nil, fmt.Errorf("%w: cursor: %w", ErrInvalid, err)
	}
	var values []string
	if err := json.Unmarshal(b, &values); err != nil || len(values) != n+1 {
		return nil, fmt.Errorf("%w: malformed cursor", ErrInvalid)
	}
	if values[0] != cursorHash(query) {
		return nil, fmt.Errorf("%w: cursor of another listing; begin at the first page", ErrInvalid)
	}
	return values[1:], nil
}

func cursorHash(query string) string {
	sum := sha256.Sum256([]byte(query))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}
