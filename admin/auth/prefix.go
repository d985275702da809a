package auth

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/artflow-studio/tenancy"
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
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, wrong
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, wrong
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
