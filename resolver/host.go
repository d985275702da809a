package resolver

import (
	"net/http"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/hostname"
)

// HostResolver is a strategy that needs the host name alone: [Host] and [Subdomain]. [Origin] uses one.
type HostResolver interface {
	// ResolveHost resolves a host with an optional port, in any spelling.
	ResolveHost(host string) (Match, error)
}

// Host resolves by full domain: the host of the request is one of the tenant's [tenancy.Tenant.Domains]. A
// request without a host names no tenant, nor does one for an IP address or for a name with an underscore,
// which no tenant's domain has.
//
// Every other host that is not central names a tenant, known or not. Put Host behind a [Subdomain]:
// First(subdomain, host). Then reserve the base domains in the catalog (catalog.Options.ReservedDomains), so
// that no tenant gets a neighbour's subdomain as its own domain.
type Host struct {
	central map[string]bool
	proxies *Proxies
}

// HostOptions are the options of [NewHost].
type HostOptions struct {
	// Central lists the application's own domains, which name no tenant, on any port. Default: none.
	Central []string
	// Proxies are the reverse proxies whose word on the host of a request is trusted. Default: none.
	Proxies *Proxies
}

// NewHost returns a resolver by full domain. A malformed domain in the options
// is an error that wraps [tenancy.ErrInvalid].
func NewHost(opts *HostOptions) (*Host, error) {
	if opts == nil {
		opts = &HostOptions{}
	}
	h := &Host{central: make(map[string]bool, len(opts.Central)), proxies: opts.Proxies}
	for _, name := range opts.Central {
		host, err := hostname.Parse(name)
		if err != nil {
			return nil, tenancy.Wrap("resolver.NewHost", "", err)
		}
		h.central[host] = true
	}
	return h, nil
}

// Resolve returns the domain that the request names.
func (h *Host) Resolve(r *http.Request) (Match, error) { return resolveHost(h, h.proxies, r) }

// ResolveHost returns the domain, unless the host names no tenant.
func (h *Host) ResolveHost(host string) (Match, error) {
	if host == "" { // no host is named, so no tenant is
		return Match{}, tenancy.ErrUnresolved
	}
	name, err := hostname.Parse(host)
	if err != nil {
		return Match{}, err
	}
	if h.central[name] || hostname.IsIP(name) || strings.Contains(name, "_") {
		return Match{}, tenancy.ErrUnresolved
	}
	return Match{Ref: tenancy.Ref{Kind: tenancy.RefDomain, Value: name}}, nil
}

func resolveHost(by HostResolver, proxies *Proxies, r *http.Request) (Match, error) {
	host, err := proxies.Host(r)
	if err != nil {
		return Match{}, err
	}
	return by.ResolveHost(host)
}
