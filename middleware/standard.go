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

// StandardOptions are the options of [Standard]. A nil or empty field leaves its part out of the chain, except
// for AllowIPs, RateLimit and Concurrency: the lists and limits in the tenants' records always apply.
type StandardOptions struct {
	// Options are those of every middleware in the chain that has none of its own.
	Options
	// Optional serves requests that name no tenant, as the function [Optional] does. Wrap handlers for tenants
	// in [Require] then. Such requests are not authenticated: credentials belong to a tenant. Default: false.
	Optional bool
	// Proxies are the reverse proxies whose word on the client's address is trusted, for RequestID, and for
	// AllowIPs and RateLimit unless they have their own. Parts that you make before the chain need it too: the
	// resolvers, [KeyAuthenticatorOptions.Proxies] and maintenance.GateOptions.Client. Default: none; the
	// address is that of the connected peer.
	Proxies *resolver.Proxies
	// RequestID says which header has the ID of a request. Default: the defaults of [RequestID], with Proxies.
	RequestID *RequestIDOptions
	// AllowIPs has the application's own lists of addresses. Default: none; the lists of tenants apply in any
	// case.
	AllowIPs *AllowIPsOptions
	// Maintenance is the method Guard of a maintenance.Gate. Default: no maintenance mode.
	Maintenance func(http.Handler) http.Handler
	// Homepage is where [Homepage] redirects to. Default: no redirects.
	Homepage string
	// Assets are the paths that everybody may read without credentials or limits. See [Skip] for their form.
	// Default: none.
	Assets []string
	// Authenticate finds the sender of a request, and Authorize says whether the sender may use this tenant.
	// Authorize needs Authenticate. Default: every request is served.
	Authenticate Authenticator
	Authorize    func(ctx context.Context, p *Principal, t *tenancy.Tenant) error
	// Limiter counts requests for RateLimit. Default: a [ratelimit.Memory].
	Limiter ratelimit.Limiter
	// RateLimit says what is counted. Default: the rates in the tenants' records. Its Key is by default "@" and
	// the principal's subject, or the principal's ID if it has no subject.
	RateLimit *RateLimitOptions
	// Concurrency limits how many requests of a tenant run at once. Default: the defaults of [Concurrency], 100
	// if the record says nothing; a Max of -1 is no limit.
	Concurrency *ConcurrencyOptions
}

// Standard is the recommended chain. A request goes from top to bottom, until a part
// refuses it:
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
// Limits come behind Authorize: a client without credentials, or one that may not use the
// tenant, cannot use up the tenant's limits. If your Authenticate or Authorize is slow,
// because it compares passwords or asks a database, put a [RateLimit] by address in front
// of the chain. Check scopes at the routes that need them, with [RequireScope].
//
// Give pages such as /login, whose visitors have no credentials yet, a chain of their own
// without Authenticate and with the same Limiter. Answer CORS preflight requests, which
// have no credentials, in front of the chain.
//
// Apart from Authenticate and Authorize, serving a request needs no I/O: the chain reads
// the tenant's record alone, unless the Limiter is [ratelimit.Redis].
//
// Options that one of the middlewares refuses, and Authorize without Authenticate, are
// errors that wrap [tenancy.ErrInvalid].
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

// chain is several middlewares, the outermost first.
type chain struct {
	all []func(http.Handler) http.Handler
	err error // the first error of a constructor
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

// or fills in what own leaves open with the options of the chain.
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

// keyOfPrincipal is the default of [RateLimitOptions.Key] in the chain. The "@" keeps subjects apart from IDs
// of API keys.
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
