// Package ipnet compares addresses and prefixes in one form: an IPv4 address that is written as IPv6 is an IPv4 address, and zones do not count.
package ipnet

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/artflow-studio/tenancy"
)

// Parse reads an address or a prefix of addresses as people write it: 192.0.2.7 is a prefix of one address, the bits behind the length of
// 192.0.2.7/24 do not count, and IPv4 within IPv6 is IPv4. Anything else is an error that wraps [tenancy.ErrInvalid].
func Parse(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	wrong := fmt.Errorf("%w: %.60q is no prefix of addresses", tenancy.ErrInvalid, text)
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, wrong
		}
		addr = Plain(addr)
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, wrong
	}
	if p = Prefix(p); !p.IsValid() {
		return netip.Prefix{}, wrong
	}
	return p.Masked(), nil
}

// Plain returns the address in the form that [Contains] compares: IPv4 as such, without a zone.
func Plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Peer returns the address that is connected, in the form of [Plain], or the zero Addr if the peer has none, as over a Unix socket.
func Peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return Plain(ap.Addr())
}

// Prefix returns the prefix with an IPv4 address as such. The result is not valid if p is not, or if p covers more IPv6 addresses than those
// that stand for IPv4 addresses.
func Prefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// Contains reports whether one of the prefixes, in any form, contains the address, which is in the form of [Plain]. A prefix of one family
// contains no address of the other, and a prefix that is not valid contains none.
func Contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if Prefix(p).Contains(a) {
			return true
		}
	}
	return false
}
