package middleware

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/resolver"
)

// StandardOptions are the options of [Standard]. What is nil or empty is left out of
// the chain, except for AllowIPs, RateLimit and Concurrency: the lists and limits in the
// tenants' records always count.
type StandardOptions struct {
	// Options are those of every middleware in the chain that has none of its own.
	Options
	// Optional lets requests pass that name no tenant, as [Optional] does; behind
	// it, handlers for tenants are wrapped in [Require]. Nobody authenticates such
	// requests: credentials are a tenant's.
	Optional bool
	// Proxies say from which address a request comes, for AllowIPs and RateLimit if
	// they have none of their own, and for RequestID. What is made before the chain is told by itself:
	// the resolvers, [KeyAuthenticatorOptions.Proxies] and maintenance.GateOptions.Client.
	// Default: the address that is connected.
	Proxies *resolver.Proxies
	// RequestID says which header has the ID of a request. Default: that of
	// [RequestID], with Proxies.
	RequestID *RequestIDOptions
	// AllowIPs has the application's own lists of addresses. Those of tenants count in any
	// case.
	AllowIPs *AllowIPsOptions
	// Maintenance is the method Guard of a maintenance.Gate, which has options of its
	// own.
	Maintenance func(http.Handler) http.Handler
	// Homepage is where requests for the page "/" of a tenant are led whose homepage
	// is off. See [Homepage].
	Homepage string
	// Assets are paths that everybody may have, without credentials or limits. See
	// [Skip] for their form.
	Assets []string
	// Authenticate finds out who is asking, and Authorize says whether they may use
	// this tenant. Authorize needs Authenticate.
	Authenticate Authenticator
	Authorize    func(ctx context.Context, p *Principal, t *tenancy.Tenant) error
	// Limiter counts requests for RateLimit. Default: a [ratelimit.Memory].
	Limiter ratelimit.Limiter
	// RateLimit says what is counted. Default: the rates in the tenants' records, and
	// without them none; Key is "@" and the principal's subject if it has one, and its
	// ID otherwise.
	RateLimit *RateLimitOptions
	// Concurrency bounds what a tenant may have under way at once. Default: that of
	// [Concurrency], 100 if the record says nothing; a Max of -1 is no bound.
	Concurrency *ConcurrencyOptions
}

// Standard is the recommended chain. A request passes from the top to the bottom,
// and goes no further than to the first that refuses it:
//
//	request
//	   │
//	RequestID      which request is it?
//	Tenant         which tenant is it, and is it active?        400 404 403 410 503
//	AllowIPs       may this address reach it?                   403
//	Maintenance    is it served now, or read-only?              503
//	Homepage       is its page "/" on?                          302
//	   ├────────── Assets: a path that everybody may have ───┐
//	Authenticate   who is asking?                            │  401
//	Authorize      may they use this tenant?                 │  403
//	RateLimit      not too often?                            │  429
//	Concurrency    not too much at once?                     │  429
//	   ├─────────────────────────────────────────────────────┘
//	handler
//
// A client without credentials, or who may not use the tenant, counts to no limit of the
// tenant's, and cannot use it up. An application whose Authenticate or Authorize is slow,
// because it compares passwords or asks a database, puts a [RateLimit] by address in
// front of the chain. Scopes are for the routes that want them: [RequireScope].
//
// Pages for those who have no credentials yet, or some that have expired, such as
// /login, get a chain of their own, without Authenticate and with the same Limiter.
// Requests that browsers send ahead without credentials (CORS) are answered in front of
// the chain.
//
// Besides what Authenticate and Authorize do, a request that is served asks nobody: all
// that the chain reads is in the tenant's record, unless the Limiter is
// [ratelimit.Redis].
//
// What one of the middlewares refuses, and Authorize without Authenticate, is an error
// that wraps [tenancy.ErrInvalid].
func Standard(find tenancy.Finder, resolve resolver.Resolver, opts *StandardOptions) (func(http.Handler) http.Handler, error) {
	const op = "middleware.Standard"
	var o StandardOptions
	if opts != nil {
		o = *opts
	}
	mode := tenantMode{optional: o.Optional, identity: o.Authenticate != nil, ids: newRequestIDs(o.requestID())}
	var all chain
	all.add(newTenant(op, find, resolve, &o.Options, mode))
	all.add(AllowIPs(o.allowIPs()))
	if o.Maintenance != nil {
		all.add(o.Maintenance, nil)
	}
	if o.Homepage != "" {
		all.add(Homepage(o.Homepage, &o.Options))
	}
	inner, err := o.inner()
	if err == nil && len(o.Assets) > 0 {
		inner, err = Skip(o.Assets, inner)
	}
	all.add(inner, err)
	if all.err != nil {
		return nil, tenancy.Wrap(op, "", all.err)
	}
	return all.wrap, nil
}

// inner returns the part of the chain that requests for assets skip.
func (o *StandardOptions) inner() (func(http.Handler) http.Handler, error) {
	limiter := o.Limiter
	if limiter == nil {
		limiter = ratelimit.NewMemory(nil)
	}
	if o.Authorize != nil && o.Authenticate == nil {
		return nil, fmt.Errorf("%w: Authorize without Authenticate", tenancy.ErrInvalid)
	}
	var c chain
	if o.Authenticate != nil {
		c.add(o.ofTenants(newAuthenticate(o.Authenticate, &o.Options, true)))
	}
	if o.Authorize != nil {
		c.add(o.ofTenants(Authorize(o.Authorize, &o.Options)))
	}
	c.add(RateLimit(limiter, o.rateLimit()))
	c.add(Concurrency(o.concurrency()), nil)
	return c.wrap, c.err
}

// chain is several middlewares, of which the first is the outermost.
type chain struct {
	all []func(http.Handler) http.Handler
	err error // why one could not be made; the first such error
}

func (c *chain) add(m func(http.Handler) http.Handler, err error) {
	if c.err == nil {
		c.err = err
	}
	c.all = append(c.all, m)
}

func (c *chain) wrap(next http.Handler) http.Handler {
	for _, m := range slices.Backward(c.all) {
		next = m(next)
	}
	return next
}

// ofTenants makes requests that name no tenant skip the guard, where they may.
func (o *StandardOptions) ofTenants(guard func(http.Handler) http.Handler, err error) (func(http.Handler) http.Handler, error) {
	if !o.Optional || err != nil {
		return guard, err
	}
	return func(next http.Handler) http.Handler {
		guarded := guard(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Another Optional in front may have found no tenant where this one did.
			if _, ok := tenancy.FromContext(r.Context()); !ok && isCentral(r) {
				next.ServeHTTP(w, r)
				return
			}
			guarded.ServeHTTP(w, r)
		})
	}, nil
}

// or returns the options with those of the chain for what they leave open.
func (o *StandardOptions) or(own Options) Options {
	if own.Refuse == nil {
		own.Refuse = o.Refuse
	}
	if own.Logger == nil {
		own.Logger = o.Logger
	}
	if own.SecretPaths == nil {
		own.SecretPaths = o.SecretPaths
	}
	return own
}

func (o *StandardOptions) requestID() *RequestIDOptions {
	var c RequestIDOptions
	if o.RequestID != nil {
		c = *o.RequestID
	}
	if c.Proxies == nil {
		c.Proxies = o.Proxies
	}
	return &c
}

func (o *StandardOptions) allowIPs() *AllowIPsOptions {
	var c AllowIPsOptions
	if o.AllowIPs != nil {
		c = *o.AllowIPs
	}
	c.Options = o.or(c.Options)
	if c.Proxies == nil {
		c.Proxies = o.Proxies
	}
	return &c
}

func (o *StandardOptions) rateLimit() *RateLimitOptions {
	var c RateLimitOptions
	if o.RateLimit != nil {
		c = *o.RateLimit
	}
	c.Options = o.or(c.Options)
	if c.Proxies == nil {
		c.Proxies = o.Proxies
	}
	if c.Key == nil && o.Authenticate != nil {
		c.Key = keyOfPrincipal
	}
	return &c
}

// keyOfPrincipal names who asks, for [RateLimitOptions.Key]. No subject is the ID of an
// API key.
func keyOfPrincipal(r *http.Request) string {
	p, ok := PrincipalOf(r.Context())
	switch {
	case !ok:
		return ""
	case p.Subject != "":
		return "@" + p.Subject
	}
	return p.ID
}

func (o *StandardOptions) concurrency() *ConcurrencyOptions {
	var c ConcurrencyOptions
	if o.Concurrency != nil {
		c = *o.Concurrency
	}
	c.Options = o.or(c.Options)
	return &c
}
