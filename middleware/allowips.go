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
	// Proxies say from which address a request comes. Default: that of who is
	// connected, and no forwarding header counts.
	Proxies *resolver.Proxies
	// Allow and Deny are the application's own, for requests of all tenants and of none.
	// An empty Allow is all. Deny outweighs it. Default: none.
	Allow, Deny []netip.Prefix
}

// AllowIPs lets a request pass that comes from an address that the application and the
// tenant's [tenancy.Access] both allow, and neither denies. Others are answered as
// forbidden. Where neither has a list, every request passes; where one has, so does
// none of which the address is not known: over a Unix socket, or when a trusted
// proxy passed on what is none.
//
// IPv4 addresses that are written in IPv6 are IPv4 addresses, and zones do not
// count; a prefix of one family has no address of the other in it. A tenant that
// denies a malformed prefix denies all: a catalog refuses such a record, and a finder
// of the application may not.
//
// A malformed prefix in Allow or Deny is an error that wraps [tenancy.ErrInvalid].
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
