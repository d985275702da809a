package tenancy

import (
	"fmt"
	"slices"
	"strings"
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
	if err := firstOf(t.Limits, func(k string, _ int64) error { return validatePairKey("limit", k) }); err != nil {
		return err
	}
	return firstOf(t.Settings, func(k, v string) error {
		if err := validatePairKey("setting", k); err != nil {
			return err
		}
		if len(v) > maxSetting || !utf8.ValidString(v) {
			return fmt.Errorf("%w: setting %q: want UTF-8 of at most %d bytes", ErrInvalid, k, maxSetting)
		}
		return nil
	})
}

// firstOf returns the error of the smallest key that has one.
func firstOf[V any](pairs map[string]V, check func(k string, v V) error) (first error) {
	at := ""
	for k, v := range pairs {
		if first != nil && k > at {
			continue
		}
		if err := check(k, v); err != nil {
			first, at = err, k
		}
	}
	return first
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
