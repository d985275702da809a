package middleware

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/ipnet"
	"github.com/artflow-studio/tenancy/resolver"
)

// AllowIPsOptions are the options of [AllowIPs].
type AllowIPsOptions struct {
	Options
	// Proxies are the reverse proxies whose word on the client's address is trusted. Default: none; the address
	// is that of the connected peer.
	Proxies *resolver.Proxies
	// Allow and Deny are the application's own lists. They apply to requests of every tenant and to requests
	// without one. An empty Allow allows every address. Deny wins over Allow. Default: empty.
	Allow, Deny []netip.Prefix
}

// AllowIPs serves requests whose client address is allowed by the application's lists and by the tenant's
// [tenancy.Access], and refuses all others with [tenancy.ErrForbidden]. Without any list it serves every
// request. With a list it also refuses requests whose client address is unknown: over a Unix socket, or when a
// trusted proxy passed on a malformed address.
//
// An IPv4 address written as IPv6 is treated as IPv4. Zones are ignored. A prefix of one family never contains
// an address of the other. A malformed prefix in a tenant's Deny list denies every address; a catalog refuses
// such a record, but a finder of the application may return one.
//
// A malformed prefix in the options is an error that wraps [tenancy.ErrInvalid].
func AllowIPs(opts *AllowIPsOptions) (func(http.Handler) http.Handler, error) {
	const op = "middleware.AllowIPs"
	var o AllowIPsOptions
	if opts != nil {
		o = *opts
	}
	allow, err := prefixes(o.Allow)
	if err != nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: Allow: %w", tenancy.ErrInvalid, err))
	}
	deny, err := prefixes(o.Deny)
	if err != nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: Deny: %w", tenancy.ErrInvalid, err))
	}
	return guard(&o.Options, func(r *http.Request) error {
		var id tenancy.ID
		var tenantAllow, tenantDeny []netip.Prefix
		if t, ok := tenancy.FromContext(r.Context()); ok {
			id, tenantAllow, tenantDeny = t.ID, t.Access.Allow, t.Access.Deny
		}
		if len(allow)+len(deny)+len(tenantAllow)+len(tenantDeny) == 0 {
			return nil
		}
		addr := o.Proxies.Client(r)
		why := ""
		switch {
		case !addr.IsValid():
			why = "no address is known"
		case ipnet.Contains(deny, addr), ipnet.Contains(tenantDeny, addr):
			why = "the address is denied"
		case slices.ContainsFunc(tenantDeny, malformed):
			why = "a prefix that the tenant denies is malformed"
		case len(allow) > 0 && !ipnet.Contains(allow, addr), len(tenantAllow) > 0 && !ipnet.Contains(tenantAllow, addr):
			why = "the address is not allowed"
		default:
			return nil
		}
		return tenancy.Wrap(op, id, fmt.Errorf("%w: %s: %v", tenancy.ErrForbidden, why, addr))
	}), nil
}

// prefixes returns a copy with IPv4 addresses in the form that clients have.
func prefixes(in []netip.Prefix) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, len(in))
	for i, p := range in {
		if malformed(p) {
			return nil, fmt.Errorf("malformed prefix %v", p)
		}
		out[i] = ipnet.Prefix(p)
	}
	return out, nil
}

// malformed reports whether no address can be in the prefix.
func malformed(p netip.Prefix) bool { return !ipnet.Prefix(p).IsValid() }
