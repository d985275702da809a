// Package hostname brings the host of a request into one canonical form, so
// that two spellings of a name can never be the names of two tenants.
package hostname

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/plaintext"
)

// MaxName is the length of the longest name, in bytes (RFC 1035, section 2.3.4).
const MaxName = 253

// maxLen bounds what is looked at: a name, brackets, dot and port,
// and room for a name in Unicode that is shorter in ASCII.
const maxLen = 1024

// Parse returns the canonical form of a host with an optional port, as it
// stands in a Host header or the authority of a URL: lower-case ASCII without
// port and trailing dot, internationalised names in their A-label form (UTS
// #46), IP addresses in the form of [netip.Addr.String] without brackets. A name may
// have underscores, which no domain of a tenant has ([tenancy.ValidateDomain]).
//
// User information, zones, percent-encoding, empty and over-long labels, names
// whose last label is a number but which are no IPv4 address (some clients
// read "127.1" as one), and bad ports are errors that wrap
// [tenancy.ErrInvalid]. A host in canonical form costs no allocation.
func Parse(hostport string) (string, error) {
	if len(hostport) > maxLen {
		return "", invalid(hostport, "too long")
	}
	host, err := cutPort(hostport)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(host, "[") {
		addr, err := netip.ParseAddr(host[1 : len(host)-1])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", invalid(hostport, "not an IPv6 address in brackets")
		}
		return addr.String(), nil
	}
	host = strings.TrimSuffix(host, ".")
	if isCanonical(host) {
		return host, nil
	}
	return parseSlow(hostport, host)
}

// IsIP reports whether a host in canonical form is an IP address.
func IsIP(host string) bool {
	// In canonical form, only addresses have a colon or end in a number.
	if strings.IndexByte(host, ':') >= 0 {
		return true
	}
	for i := len(host) - 1; i >= 0 && host[i] != '.'; i-- {
		if host[i] < '0' || host[i] > '9' {
			return false
		}
	}
	return true
}

func cutPort(hostport string) (string, error) {
	if strings.HasPrefix(hostport, "[") {
		return cutBrackets(hostport)
	}
	i := strings.IndexByte(hostport, ':') // another one would stand in the port
	if i < 0 {
		return hostport, nil
	}
	if !isPort(hostport[i+1:]) {
		return "", invalid(hostport, "bad port")
	}
	return hostport[:i], nil
}

// cutBrackets is cutPort for an address in brackets, which it leaves on.
func cutBrackets(hostport string) (string, error) {
	i := strings.LastIndexByte(hostport, ']') + 1
	switch port, ok := strings.CutPrefix(hostport[i:], ":"); {
	case i == 0:
		return "", invalid(hostport, "unbalanced brackets")
	case hostport[i:] != "" && (!ok || !isPort(port)):
		return "", invalid(hostport, "bad port")
	}
	return hostport[:i], nil
}

// isPort reports whether a port is a number that a port may have, or empty.
func isPort(port string) bool {
	n := 0
	for _, c := range []byte(port) {
		if c < '0' || c > '9' {
			return false
		}
		if n = n*10 + int(c-'0'); n > 65535 {
			return false
		}
	}
	return true
}

// isCanonical reports whether host is a domain that Parse would return as it
// is. Labels with "--" in third place may be encoded names and need a look.
func isCanonical(host string) bool {
	return !strings.Contains(host, "--") && tenancy.ValidateDomain(host) == nil
}

func parseSlow(hostport, host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() {
		return addr.String(), nil
	}
	if strings.Contains(host, "_") {
		return parseUnderscores(hostport, host)
	}
	if !utf8.ValidString(host) {
		return "", invalid(hostport, "not UTF-8")
	}
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return "", invalid(hostport, err.Error())
	}
	ascii = strings.ToLower(ascii)
	if err := tenancy.ValidateDomain(ascii); err != nil {
		return "", fmt.Errorf("host: %w", err)
	}
	return ascii, nil
}

// parseUnderscores parses a name with underscores, which is no domain of DNS, but one
// that containers and service meshes have. Apart from those it is a plain domain.
func parseUnderscores(hostport, host string) (string, error) {
	host = strings.ToLower(host)
	if err := tenancy.ValidateDomain(strings.ReplaceAll(host, "_", "a")); err != nil {
		return "", invalid(hostport, "malformed")
	}
	for label := range strings.SplitSeq(host, ".") {
		if len(label) >= 4 && label[2:4] == "--" { // an encoded name
			return "", invalid(hostport, "hyphens in third and fourth place beside an underscore")
		}
	}
	return host, nil
}

func invalid(hostport, why string) error {
	return fmt.Errorf("%w: host %q: %.80s", tenancy.ErrInvalid, Clip(hostport), why)
}

// WithoutUser returns a host, or the beginning of a URL, without the user and the
// password in front of it, which do not belong into a log.
func WithoutUser(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

// Clip shortens request data for a log.
func Clip(s string) string {
	return plaintext.Clip(WithoutUser(s), 64)
}
