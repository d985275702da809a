package resolver

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/hostname"
)

// Subdomain resolves by a label in front of a base domain: with the base
// "example.com", the host acme.example.com names the slug "acme". The base
// itself, hosts elsewhere, reserved names and a request without a host name no tenant.
type Subdomain struct {
	suffixes []string // ".example.com", the longest first
	reserved map[string]bool
	maybe    [64]uint32 // by length: the first letters of reserved names, as bits
	encoded  bool       // a base may be an internationalised name
	anyDepth bool
	proxies  *Proxies
}

// SubdomainOptions are the options of [NewSubdomain].
type SubdomainOptions struct {
	// Reserved are labels that name no tenant. An empty slice that is not nil reserves none. Default:
	// [tenancy.ReservedSlugs].
	Reserved []string
	// AnyDepth resolves eu.acme.example.com to acme too: the label next to the base counts. Default: false;
	// exactly one label may stand in front of the base.
	AnyDepth bool
	// Proxies are the reverse proxies whose word on the host of a request is trusted. Default: none.
	Proxies *Proxies
}

// NewSubdomain returns a resolver by subdomain of the bases. Ports do not count, neither a
// base's nor a request's: "localhost:8080" is the base "localhost" on any port. Without a
// base, or with a malformed one, it returns an error that wraps [tenancy.ErrInvalid].
func NewSubdomain(bases []string, opts *SubdomainOptions) (*Subdomain, error) {
	const op = "resolver.NewSubdomain"
	if opts == nil {
		opts = &SubdomainOptions{}
	}
	if len(bases) == 0 {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no base domain", tenancy.ErrInvalid))
	}
	reserved := opts.Reserved
	if reserved == nil {
		reserved = tenancy.ReservedSlugs()
	}
	s := &Subdomain{reserved: make(map[string]bool, len(reserved)), anyDepth: opts.AnyDepth, proxies: opts.Proxies}
	for _, base := range bases {
		host, err := hostname.Parse(base)
		if err == nil && hostname.IsIP(host) {
			err = fmt.Errorf("%w: base domain %q is an IP address", tenancy.ErrInvalid, base)
		}
		if err != nil {
			return nil, tenancy.Wrap(op, "", err)
		}
		s.suffixes = append(s.suffixes, "."+host)
		s.encoded = s.encoded || strings.Contains(host, "--")
	}
	slices.SortFunc(s.suffixes, func(a, b string) int { return len(b) - len(a) })
	for _, name := range reserved {
		if name != "" {
			name = strings.ToLower(name)
			s.reserved[name] = true
			s.maybe[len(name)%len(s.maybe)] |= 1 << (name[0] % 32)
		}
	}
	return s, nil
}

// Resolve returns the slug in the request's host.
func (s *Subdomain) Resolve(r *http.Request) (Match, error) {
	if s.proxies == nil {
		return s.ResolveHost(r.Host)
	}
	return resolveHost(s, s.proxies, r)
}

// ResolveHost returns the slug in the host.
func (s *Subdomain) ResolveHost(host string) (Match, error) {
	if label, ok := s.plain(host); ok {
		return Match{Ref: tenancy.Ref{Kind: tenancy.RefSlug, Value: label}}, nil
	}
	if host == "" { // no host is named, so no tenant is
		return Match{}, tenancy.ErrUnresolved
	}
	name, err := hostname.Parse(host)
	if err != nil {
		return Match{}, err
	}
	for _, suffix := range s.suffixes {
		if name == suffix[1:] { // a base under another base
			return Match{}, tenancy.ErrUnresolved
		}
		label, ok := strings.CutSuffix(name, suffix)
		if !ok {
			continue
		}
		if i := strings.LastIndexByte(label, '.'); i >= 0 {
			if !s.anyDepth {
				return Match{}, tenancy.ErrUnresolved
			}
			label = label[i+1:]
		}
		if s.isReserved(label) {
			return Match{}, tenancy.ErrUnresolved
		}
		return newMatch("subdomain", tenancy.RefSlug, label)
	}
	return Match{}, tenancy.ErrUnresolved
}

// isReserved reports whether a label that is not empty names no tenant.
func (s *Subdomain) isReserved(label string) bool {
	return s.maybe[len(label)%len(s.maybe)]>>(label[0]%32)&1 == 1 && s.reserved[label]
}

// plain returns the label in front of a base, for a host in canonical form whose label is a slug and not
// reserved: nearly every request. It reports false for all other hosts, and if a base may be an
// internationalised name, because such a base decides which labels may stand in front of it.
func (s *Subdomain) plain(host string) (label string, ok bool) {
	if s.encoded || len(host) > hostname.MaxName {
		return "", false
	}
	for _, suffix := range s.suffixes {
		if host == suffix[1:] {
			return "", false
		}
		if label, ok := strings.CutSuffix(host, suffix); ok {
			return label, tenancy.ValidateSlug(label) == nil && !s.isReserved(label)
		}
	}
	return "", false
}
