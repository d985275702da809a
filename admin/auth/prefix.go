package auth

import (
	"net/netip"

	"github.com/artflow-studio/tenancy/internal/ipnet"
)

// ParsePrefix reads an address or a prefix of addresses as people write it: 192.0.2.7 is a prefix of one address, the bits behind the length
// of 192.0.2.7/24 do not count, and IPv4 within IPv6 is IPv4. Anything else is an error that wraps [tenancy.ErrInvalid].
func ParsePrefix(text string) (netip.Prefix, error) { return ipnet.Parse(text) }

// canonical reports whether a prefix is in the form of [ParsePrefix].
func canonical(p netip.Prefix) bool {
	return p.IsValid() && p == p.Masked() && p == ipnet.Prefix(p)
}
