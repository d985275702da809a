package ipnet_test

import (
	"errors"
	"net/http"
	"net/netip"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/ipnet"
)

// The peer's address has one form, whichever way the connection came.
func TestPeer(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[::ffff:192.0.2.1]:80": "192.0.2.1", "[fe80::1%eth0]:80": "fe80::1", "[2001:db8::1]:80": "2001:db8::1",
		"@": "invalid IP", "": "invalid IP", "192.0.2.1": "invalid IP",
	} {
		if got := ipnet.Peer(&http.Request{RemoteAddr: remote}); got.String() != want {
			t.Errorf("%q: got %v, want %s", remote, got, want)
		}
	}
}

// A prefix of IPv4 that is written as IPv6 is one of IPv4; a wider one is not valid.
func TestPrefix(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.0/24": "192.0.2.0/24", "::ffff:192.0.2.0/120": "192.0.2.0/24", "2001:db8::/32": "2001:db8::/32", "::ffff:192.0.2.0/96": "192.0.2.0/0",
		"::ffff:192.0.2.0/95": "invalid Prefix",
	} {
		if got := ipnet.Prefix(netip.MustParsePrefix(in)); got.String() != want {
			t.Errorf("%s: got %v, want %s", in, got, want)
		}
	}
	if got := ipnet.Prefix(netip.Prefix{}); got.IsValid() {
		t.Errorf("the zero prefix: got %v, want none that is valid", got)
	}
}

func TestContains(t *testing.T) {
	t.Parallel()
	prefixes := []netip.Prefix{{}, netip.MustParsePrefix("::ffff:192.0.2.0/120"), netip.MustParsePrefix("2001:db8::/32")}
	for addr, want := range map[string]bool{
		"192.0.2.7": true, "198.51.100.7": false, "2001:db8::7": true, "2001:db9::7": false, "::ffff:198.51.100.7": false,
	} {
		if got := ipnet.Contains(prefixes, ipnet.Plain(netip.MustParseAddr(addr))); got != want {
			t.Errorf("%s: got %v, want %v", addr, got, want)
		}
	}
	if ipnet.Contains(prefixes, netip.Addr{}) || ipnet.Contains(nil, netip.MustParseAddr("192.0.2.7")) {
		t.Error("got an address that is not known, or one in no prefix, to be contained")
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", " 192.0.2.7/24 ": "192.0.2.0/24", "::ffff:192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.0/120": "192.0.2.0/24", //nolint:gocritic // spaces around an address are cut
		"2001:db8::1/32": "2001:db8::/32", "2001:db8::1": "2001:db8::1/128",
		"": "", "here": "", "192.0.2.7/33": "", "fe80::1%eth0": "", "::ffff:0.0.0.0/90": "", "192.0.2": "",
	} {
		got, err := ipnet.Parse(text)
		switch {
		case want == "" && !errors.Is(err, tenancy.ErrInvalid):
			t.Errorf("%q: got %v, %v, want ErrInvalid", text, got, err)
		case want != "" && (err != nil || got.String() != want):
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
}
