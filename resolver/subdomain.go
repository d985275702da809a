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
// itself, hosts elsewhere and reserved names name no tenant.
type Subdomain struct {
	suffixes []string // ".example.com", the longest first
	reserved map[string]bool
	anyDepth bool
	proxies  *Proxies
}

// SubdomainOptions are the options of [NewSubdomain].
type SubdomainOptions struct {
	// Reserved lists labels that name no tenant. Use an empty slice that is not
	// nil to reserve none. Default: [tenancy.ReservedSlugs].
	Reserved []string
	// AnyDepth lets eu.acme.example.com name acme too: the label next to the
	// base counts. Default: exactly one label.
	AnyDepth bool
	// Proxies are trusted to say which host the client asked for. Default: nobody.
	Proxies *Proxies
}

// NewSubdomain returns a resolver by subdomain of the bases. Without a base, or
// with a malformed one, it returns an error that unwraps to
// [tenancy.ErrInvalid].
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
	}
	slices.SortFunc(s.suffixes, func(a, b string) int { return len(b) - len(a) })
	for _, name := range reserved {
		s.reserved[strings.ToLower(name)] = true
	}
	return s, nil
}

// Resolve returns the slug in the request's host.
func (s *Subdomain) Resolve(r *http.Request) (Match, error) { return resolveHost(s, s.proxies, r) }

// ResolveHost returns the slug in the host.
func (s *Subdomain) ResolveHost(host string) (Match, error) {
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
		if s.reserved[label] {
			return Match{}, tenancy.ErrUnresolved
		}
		return newMatch("subdomain", tenancy.RefSlug, label)
	}
	return Match{}, tenancy.ErrUnresolved
}
