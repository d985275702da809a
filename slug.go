package tenancy

import (
	"fmt"
)

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
