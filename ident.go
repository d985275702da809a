package tenancy

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Longest values, in bytes.
const (
	maxID      = 36 // a UUID in text
	maxLabel   = 63 // RFC 1035, section 2.3.4
	maxDomain  = 253
	maxName    = 200
	maxPlan    = 64
	maxServer  = 64
	maxDBName  = 63 // PostgreSQL's limit; MySQL's is 64
	maxDomains = 100
	maxPairs   = 256
	maxPairKey = 64
	maxSetting = 4096
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

// ValidateSlug reports a malformed slug with an error that wraps
// [ErrInvalid]. A slug is a DNS label in lower case: 1 to 63 letters, digits
// and inner hyphens, none of them both third and fourth (those are the mark of
// encoded names: RFC 5891, section 4.2.3.1).
func ValidateSlug(slug string) error {
	if !isLabel(slug) {
		return fmt.Errorf("%w: slug %s", ErrInvalid, labelProblem(slug))
	}
	if len(slug) >= 4 && slug[2:4] == "--" {
		return fmt.Errorf("%w: slug %q has hyphens in third and fourth place", ErrInvalid, slug)
	}
	return nil
}

// ValidateDomain reports a malformed domain with an error that wraps
// [ErrInvalid]. A domain is a host name in lower-case ASCII without port and
// trailing dot, at most 253 bytes long, and not an IP address.
func ValidateDomain(domain string) error {
	if len(domain) > maxDomain {
		return fmt.Errorf("%w: domain of %d bytes, want at most %d", ErrInvalid, len(domain), maxDomain)
	}
	rest := domain
	for {
		i := strings.IndexByte(rest, '.')
		label := rest
		if i >= 0 {
			label = rest[:i]
		}
		if !isLabel(label) {
			return fmt.Errorf("%w: domain %q: label %s", ErrInvalid, domain, labelProblem(label))
		}
		if i < 0 {
			break
		}
		rest = rest[i+1:]
	}
	if endsInNumber(rest) {
		return fmt.Errorf("%w: domain %q ends in a number", ErrInvalid, domain)
	}
	return nil
}

// endsInNumber reports whether some clients would take a name with that last
// label for an IPv4 address. Source: https://url.spec.whatwg.org/#ends-in-a-number-checker
func endsInNumber(last string) bool {
	if last[0] < '0' || last[0] > '9' {
		return false
	}
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// labelBytes has a bit for each byte that may stand in a DNS label, so that the
// loop over a label has no branches to guess.
var labelBytes = [4]uint64{1<<'-' | (1<<10-1)<<'0', (1<<26 - 1) << ('a' - 64)}

// isLabel reports whether a string is a DNS label in lower case.
func isLabel(label string) bool {
	if len(label) == 0 || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	ok := uint64(1)
	for i := range len(label) {
		c := label[i]
		ok &= labelBytes[c>>6] >> (c & 63)
	}
	return ok == 1
}

// labelProblem says what is wrong with what is no DNS label.
func labelProblem(label string) string {
	if len(label) == 0 || len(label) > maxLabel {
		return fmt.Sprintf("of %d bytes, want 1 to %d", len(label), maxLabel)
	}
	return fmt.Sprintf("%q, want a-z, 0-9 and inner -", label)
}

func lowerAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// ReservedSlugs returns the names that by default no tenant may have and no
// subdomain resolves to, because applications use them for themselves.
func ReservedSlugs() []string {
	return []string{
		"account", "admin", "api", "app", "assets", "auth", "autoconfig", "autodiscover", "billing", "blog",
		"cdn", "dashboard", "dev", "docs", "ftp", "help", "imap", "internal", "localhost", "login", "mail",
		"metrics", "mta-sts", "mx", "ns1", "ns2", "pop", "public", "root", "smtp", "sso", "staging", "static",
		"status", "support", "system", "test", "webmail", "wpad", "www",
	}
}

// Validate reports the first malformed field with an error that wraps
// [ErrInvalid]. It does not ask for a placement: a record may be made before
// the place for its data is chosen.
func (t *Tenant) Validate() error {
	if err := t.ID.Validate(); err != nil {
		return err
	}
	if err := ValidateSlug(t.Slug); err != nil {
		return err
	}
	if !t.Status.valid() {
		return fmt.Errorf("%w: status %q", ErrInvalid, string(t.Status))
	}
	if err := validateText("name", t.Name, maxName); err != nil {
		return err
	}
	if err := validateText("plan", t.Plan, maxPlan); err != nil {
		return err
	}
	if err := validateText("server", t.Placement.Server, maxServer); err != nil {
		return err
	}
	if t.Placement.Database != "" {
		if err := ValidateDatabaseName(t.Placement.Database); err != nil {
			return err
		}
	}
	if len(t.Domains) > maxDomains {
		return fmt.Errorf("%w: %d domains, want at most %d", ErrInvalid, len(t.Domains), maxDomains)
	}
	for i, d := range t.Domains {
		if err := ValidateDomain(d); err != nil {
			return err
		}
		if slices.Contains(t.Domains[:i], d) {
			return fmt.Errorf("%w: domain %q stands there twice", ErrInvalid, d)
		}
	}
	if len(t.Limits) > maxPairs || len(t.Settings) > maxPairs {
		return fmt.Errorf("%w: %d limits and %d settings, want at most %d of each",
			ErrInvalid, len(t.Limits), len(t.Settings), maxPairs)
	}
	if err := validateTags(t.Tags); err != nil {
		return err
	}
	if t.SchemaVersion < 0 {
		return fmt.Errorf("%w: schema version %d", ErrInvalid, t.SchemaVersion)
	}
	if err := t.Access.validate(); err != nil {
		return err
	}
	for k := range t.Limits {
		if err := validatePairKey("limit", k); err != nil {
			return err
		}
	}
	for k, v := range t.Settings {
		if err := validatePairKey("setting", k); err != nil {
			return err
		}
		if len(v) > maxSetting || !utf8.ValidString(v) {
			return fmt.Errorf("%w: setting %q: want UTF-8 of at most %d bytes", ErrInvalid, k, maxSetting)
		}
	}
	return nil
}

// ValidateDatabaseName reports a name that is not safe on every engine with an
// error that wraps [ErrInvalid]: 1 to 63 lower-case letters, digits,
// hyphens and underscores, the first a letter or digit, and none of the names
// that servers use themselves.
func ValidateDatabaseName(name string) error {
	if len(name) == 0 || len(name) > maxDBName {
		return fmt.Errorf("%w: database name of %d bytes, want 1 to %d", ErrInvalid, len(name), maxDBName)
	}
	for i := range len(name) {
		c := name[i]
		if !lowerAlnum(c) && !(i > 0 && (c == '-' || c == '_')) {
			return fmt.Errorf("%w: database name %q, want a-z, 0-9, - and _", ErrInvalid, name)
		}
	}
	switch name {
	case "postgres", "template0", "template1", "mysql", "sys", "information_schema", "performance_schema":
		return fmt.Errorf("%w: database name %q belongs to the server", ErrInvalid, name)
	}
	return nil
}

func validatePairKey(what, key string) error {
	if key == "" {
		return fmt.Errorf("%w: empty %s name", ErrInvalid, what)
	}
	return validateText(what+" name", key, maxPairKey)
}

func validateText(what, s string, most int) error {
	if len(s) > most {
		return fmt.Errorf("%w: %s of %d bytes, want at most %d", ErrInvalid, what, len(s), most)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: %s is not UTF-8", ErrInvalid, what)
	}
	if strings.TrimSpace(s) != s {
		return fmt.Errorf("%w: %s %q begins or ends with a space", ErrInvalid, what, s)
	}
	for _, r := range s {
		if !isPrintable(r) {
			return fmt.Errorf("%w: %s has the unprintable character %U", ErrInvalid, what, r)
		}
	}
	return nil
}

// isPrintable reports whether people see the character, or it joins others.
func isPrintable(r rune) bool {
	joins := r == '\u200c' || r == '\u200d' // in Persian names, and in emoji
	return unicode.IsPrint(r) || joins
}
