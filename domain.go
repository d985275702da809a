package tenancy

import (
	"fmt"
	"strings"
)

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
