// Package hostname brings the host of a request into one canonical form, so
// that two spellings of a name can never lead to two tenants.
package hostname

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/artflow-studio/tenancy"
)

// maxLen bounds what is looked at: 253 bytes of name, brackets, dot and port,
// and room for a name in Unicode that is shorter in ASCII.
const maxLen = 1024

// Parse returns the canonical form of a host with an optional port, as it
// stands in a Host header or the authority of a URL: lower-case ASCII without
// port and trailing dot, internationalised names in their A-label form (UTS
// #46), IP addresses in the form of [netip.Addr.String] without brackets.
//
// User information, zones, percent-encoding, empty and over-long labels, names
// whose last label is a number but which are no IPv4 address (some clients
// read "127.1" as one), and bad ports are errors that unwrap to
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
	last := host[strings.LastIndexByte(host, '.')+1:]
	return strings.IndexByte(host, ':') >= 0 || strings.Trim(last, "0123456789") == ""
}

func cutPort(hostport string) (string, error) {
	host, port := hostport, ""
	if i := strings.LastIndexByte(hostport, ':'); i > strings.LastIndexByte(hostport, ']') {
		host, port = hostport[:i], hostport[i+1:]
		n := 0
		for _, c := range []byte(port) {
			if c < '0' || c > '9' || n > 65535 {
				return "", invalid(hostport, "bad port")
			}
			n = n*10 + int(c-'0')
		}
		if n > 65535 {
			return "", invalid(hostport, "bad port")
		}
	}
	if strings.HasPrefix(host, "[") != strings.HasSuffix(host, "]") {
		return "", invalid(hostport, "unbalanced brackets")
	}
	return host, nil
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

func invalid(hostport, why string) error {
	return fmt.Errorf("%w: host %q: %.80s", tenancy.ErrInvalid, Clip(hostport), why)
}

// Clip shortens request data for a log.
func Clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
