package auth

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/ipnet"
)

// ParsePrefix reads an address or a prefix of addresses as people write it: 192.0.2.7 is a prefix of one address, the bits behind the length
// of 192.0.2.7/24 do not count, and IPv4 within IPv6 is IPv4. Anything else is an error that wraps [tenancy.ErrInvalid].
func ParsePrefix(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	wrong := fmt.Errorf("%w: %.60q is no prefix of addresses", tenancy.ErrInvalid, text)
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, wrong
		}
		addr = ipnet.Plain(addr)
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, wrong
	}
	if p = ipnet.Prefix(p); !p.IsValid() {
		return netip.Prefix{}, wrong
	}
	return p.Masked(), nil
}

// canonical reports whether a prefix is in the form of [ParsePrefix].
func canonical(p netip.Prefix) bool {
	return p.IsValid() && p == p.Masked() && p == ipnet.Prefix(p)
}
