package resolver

import (
	"fmt"
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/hostname"
	"github.com/artflow-studio/tenancy/internal/ipnet"
)

// maxHops is how many entries of a forwarding header are read.
const maxHops = 32

// Proxies are the reverse proxies in front of the service. Their word on the client's address and on the host
// of the request is trusted; forwarding headers of anybody else are ignored. A nil *Proxies trusts nobody.
//
// Each proxy appends to a header what it saw itself. So Proxies reads a header from the right, one entry for
// each trusted proxy, and stops at the first address that is not a trusted proxy. Entries further left were
// written by the client. A proxy must remove a forwarding header that it does not set itself. X-Forwarded-Host
// does not say who wrote which entry, so only its last entry counts: that of the nearest proxy.
type Proxies struct {
	trusted  []netip.Prefix
	standard bool
}

// ProxiesOptions are the options of [NewProxies].
type ProxiesOptions struct {
	// Standard reads the header Forwarded (RFC 7239) instead of X-Forwarded-For and X-Forwarded-Host. Default:
	// false.
	Standard bool
}

// NewProxies returns the proxies whose addresses are in the prefixes. An empty list, and a prefix of zero bits,
// which would trust every client, are errors that wrap [tenancy.ErrInvalid].
func NewProxies(addresses []netip.Prefix, opts *ProxiesOptions) (*Proxies, error) {
	if opts == nil {
		opts = &ProxiesOptions{}
	}
	prefixes, err := trusted(addresses)
	if err != nil {
		return nil, tenancy.Wrap("resolver.NewProxies", "", err)
	}
	return &Proxies{trusted: prefixes, standard: opts.Standard}, nil
}

// trusted checks prefixes and returns a copy, with IPv4 addresses in the form
// that peers have here.
func trusted(prefixes []netip.Prefix) ([]netip.Prefix, error) {
	if len(prefixes) == 0 {
		return nil, fmt.Errorf("%w: no address to trust", tenancy.ErrInvalid)
	}
	out := make([]netip.Prefix, len(prefixes))
	for i, p := range prefixes {
		p = ipnet.Prefix(p)
		if !p.IsValid() || p.Bits() == 0 {
			return nil, fmt.Errorf("%w: prefix %v, want one that not everybody is in", tenancy.ErrInvalid, prefixes[i])
		}
		out[i] = p
	}
	return out, nil
}

// Client returns the address of the client: the first from the right that is
// not a trusted proxy. It is the zero Addr when the connected peer has no IP
// address (a Unix socket), or a trusted proxy passed on a malformed one.
func (p *Proxies) Client(r *http.Request) netip.Addr {
	addr := ipnet.Peer(r)
	for h := range p.hops(r) {
		if h.malformed {
			return netip.Addr{}
		}
		addr = h.addr
	}
	return addr
}

// Trusts reports whether the directly connected peer is a trusted proxy.
func (p *Proxies) Trusts(r *http.Request) bool {
	return p != nil && ipnet.Contains(p.trusted, ipnet.Peer(r))
}

// Host returns the host that the client asked for, as it was sent: the Host header, or what trusted proxies say
// was in it. A malformed forwarding header of a trusted proxy is an error that wraps [tenancy.ErrInvalid].
func (p *Proxies) Host(r *http.Request) (string, error) {
	if p == nil || !ipnet.Contains(p.trusted, ipnet.Peer(r)) {
		return r.Host, nil
	}
	host := r.Host
	if !p.standard {
		if entries := lastEntries(r.Header["X-Forwarded-Host"]); len(entries) > 0 {
			host = entries[len(entries)-1]
		}
		return host, nil
	}
	for h := range p.hops(r) {
		if h.malformed {
			return "", fmt.Errorf("%w: Forwarded %q", tenancy.ErrInvalid, hostname.Clip(strings.Join(r.Header["Forwarded"], ",")))
		}
		if h.host != "" {
			host = h.host
		}
	}
	return host, nil
}

// hop is one entry of a forwarding header: from whom a proxy received the request and, with Forwarded, for
// which host.
type hop struct {
	addr      netip.Addr
	host      string
	malformed bool
}

// hops yields the entries that trusted proxies vouch for, from the right. The
// last one is the client, unless the header ends before.
func (p *Proxies) hops(r *http.Request) iter.Seq[hop] {
	return func(yield func(hop) bool) {
		if p == nil {
			return
		}
		from := ipnet.Peer(r)
		name, parse := "X-Forwarded-For", parseForwardedFor
		if p.standard {
			name, parse = "Forwarded", parseForwarded
		}
		entries := lastEntries(r.Header[name])
		for _, entry := range slices.Backward(entries) {
			if !ipnet.Contains(p.trusted, from) {
				return
			}
			h := parse(entry)
			if !yield(h) || h.malformed {
				return
			}
			from = h.addr
		}
	}
}

// lastEntries splits the lines of a list header at commas outside of quoted
// strings and returns the last entries, at most maxHops, without white space.
func lastEntries(lines []string) []string {
	var entries []string
	for _, line := range slices.Backward(lines) {
		quoted := false
		end := len(line)
		for i := len(line) - 1; i >= -1; i-- {
			if i >= 0 && line[i] == '"' {
				quoted = !quoted
			}
			if i >= 0 && (line[i] != ',' || quoted) {
				continue
			}
			entries = append(entries, strings.Trim(line[i+1:end], " \t"))
			end = max(i, 0)
			if len(entries) == maxHops {
				slices.Reverse(entries)
				return entries
			}
		}
	}
	slices.Reverse(entries)
	return entries
}

// parseForwardedFor parses an address, to which some proxies add a port.
func parseForwardedFor(entry string) hop {
	addr, ok := parseNode(entry)
	return hop{addr: addr, malformed: !ok}
}

// parseForwarded parses one element of Forwarded: pairs such as
// for="[2001:db8::1]:80";host=example.com. Escapes in quoted strings are not
// needed in addresses and hosts, and are refused. Source: RFC 7239, section 4.
func parseForwarded(entry string) hop {
	var h hop
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(entry, ";") {
		pair = strings.Trim(pair, " \t")
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		name = strings.ToLower(name)
		if !ok || seen[name] || strings.ContainsAny(name, " \t\"") {
			return hop{malformed: true}
		}
		seen[name] = true
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		if value == "" || strings.ContainsAny(value, `"\`) {
			return hop{malformed: true}
		}
		switch name {
		case "for":
			h.addr, ok = parseNode(value)
			if !ok {
				return hop{malformed: true}
			}
		case "host":
			h.host = value
		}
	}
	h.malformed = len(seen) == 0
	return h
}

// parseNode parses the address of a "for" parameter, with or without a port.
// "unknown" and obfuscated names are the zero Addr, which nobody trusts.
func parseNode(node string) (netip.Addr, bool) {
	// A port may be obfuscated too.
	if i := strings.LastIndex(node, ":_"); i >= 0 {
		node = node[:i]
	}
	if name, _, _ := strings.Cut(node, ":"); name == "unknown" || strings.HasPrefix(name, "_") {
		return netip.Addr{}, true
	}
	if ap, err := netip.ParseAddrPort(node); err == nil {
		return ipnet.Plain(ap.Addr()), true
	}
	bare := node
	if strings.HasPrefix(node, "[") && strings.HasSuffix(node, "]") {
		bare = node[1 : len(node)-1]
	}
	addr, err := netip.ParseAddr(bare)
	return ipnet.Plain(addr), err == nil
}
