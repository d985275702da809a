package credential

import (
	"crypto/rand"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"

	"github.com/artflow-studio/tenancy"
)

// Lengths of the parts of a key's text, in characters.
const (
	maxPrefix   = 32
	idLen       = 10 // 59 bits
	secretLen   = 43 // 256 bits
	checksumLen = 6  // 35 bits, for 32
	tailLen     = idLen + 1 + secretLen + checksumLen
)

// MaxKey is the length of the longest key.
const MaxKey = maxPrefix + 1 + 36 + 1 + tailLen

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Key is a text in the form of an API key. Nobody has looked up yet whether it is valid.
type Key struct {
	// Text is all of it.
	Text   string
	Tenant tenancy.ID
	ID     string
}

// ErrMalformed is the error for a text that begins like a key and is not one.
var ErrMalformed = fmt.Errorf("%w: a malformed API key", tenancy.ErrUnauthenticated)

// CheckPrefix reports a prefix that no key may have with an error that wraps
// [tenancy.ErrInvalid].
func CheckPrefix(prefix string) error {
	ok := prefix != "" && len(prefix) <= maxPrefix && prefix[len(prefix)-1] != '_'
	for i := range len(prefix) {
		c := prefix[i]
		ok = ok && ('a' <= c && c <= 'z' || i > 0 && ('0' <= c && c <= '9' || c == '_'))
	}
	if !ok {
		return fmt.Errorf("%w: prefix %.40q of API keys, want a letter and up to %d of a-z, 0-9 and inner _", tenancy.ErrInvalid, prefix, maxPrefix-1)
	}
	return nil
}

// NewKey returns a new key of the tenant.
func NewKey(prefix string, tenant tenancy.ID) Key {
	id := random(idLen)
	text := prefix + "_" + string(tenant) + "_" + id + "_" + random(secretLen)
	sum := checksum(text)
	return Key{text + string(sum[:]), tenant, id}
}

// random returns n random digits.
func random(n int) string {
	out := make([]byte, 0, n)
	for len(out) < n {
		var b [64]byte
		_, _ = rand.Read(b[:]) // never fails: crypto/rand
		for _, c := range b {
			if c &= 63; int(c) < len(digits) && len(out) < n {
				out = append(out, digits[c])
			}
		}
	}
	return string(out)
}

// checksum returns the CRC-32 (IEEE) of the text in digits.
func checksum(text string) (out [checksumLen]byte) {
	sum := crc32.ChecksumIEEE([]byte(text))
	for i := checksumLen - 1; i >= 0; i-- {
		out[i] = digits[sum%uint32(len(digits))]
		sum /= uint32(len(digits))
	}
	return out
}

// Genuine reports whether the checksum is right and the tenant's ID is one.
func (k Key) Genuine() bool {
	end := len(k.Text) - checksumLen
	sum := checksum(k.Text[:end])
	return string(sum[:]) == k.Text[end:] && k.Tenant.Validate() == nil
}

func areDigits(s string) bool {
	ok := uint64(1)
	for i := range len(s) {
		c := s[i]
		ok &= digitBytes[c>>6] >> (c & 63)
	}
	return ok == 1
}

// ParseKey reads a key. ok is false if the length, or the form of the prefix, the ID or the
// secret, is not that of a key. Ask [Key.Genuine], too.
func ParseKey(prefix, text string) (key Key, ok bool) {
	rest := len(text) - tailLen // where the tail begins
	if len(text) > MaxKey || rest < len(prefix)+3 || !hasPrefix(prefix, text) || text[rest-1] != '_' || text[rest+idLen] != '_' {
		return Key{}, false
	}
	if !areDigits(text[rest:rest+idLen]) || !areDigits(text[rest+idLen+1:]) {
		return Key{}, false
	}
	return Key{text, tenancy.ID(text[len(prefix)+1 : rest-1]), text[rest : rest+idLen]}, true
}

// digitBytes has a bit for each byte that is one of digits, so that the loop over a
// key has no branches to guess.
var digitBytes = [4]uint64{0x03ff_0000_0000_0000, 0x07ff_fffe_07ff_fffe}

func hasPrefix(prefix, text string) bool {
	return len(text) > len(prefix) && text[len(prefix)] == '_' && text[:len(prefix)] == prefix
}

// KeyOf returns the key that the request has in Authorization, as a bearer token,
// or in X-API-Key. A text that does not begin with the prefix is not a key, and the error is
// [tenancy.ErrUnresolved]. A malformed key is an error that wraps
// [tenancy.ErrUnauthenticated]; several lines of a header, or two tokens that differ
// and of which one begins with the prefix, one that wraps [tenancy.ErrInvalid].
// No error shows what was sent. Whether the key is [Key.Genuine] is for the caller.
func KeyOf(r *http.Request, prefix string) (Key, error) {
	bearer, err := Bearer(r)
	if err != nil {
		return Key{}, err
	}
	text, err := single(r.Header["X-Api-Key"])
	if err != nil {
		return Key{}, err
	}
	text = strings.Trim(text, " ")
	if !hasPrefix(prefix, bearer) && !hasPrefix(prefix, text) {
		return Key{}, errNone
	}
	if text == "" {
		text = bearer
	} else if bearer != "" && bearer != text {
		return Key{}, errSeveral
	}
	key, ok := ParseKey(prefix, text)
	if !ok {
		return Key{}, ErrMalformed
	}
	return key, nil
}
