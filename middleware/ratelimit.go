package middleware

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/resolver"
)

// RateLimitOptions are the options of [RateLimit].
type RateLimitOptions struct {
	Options
	// Rate returns the rate for requests of a class to a tenant, and false if there is none. The tenant is nil
	// for a request without one. Requests of a class without a rate count with the requests of no class, at
	// their rate. Default: [ratelimit.RateOf], which reads the tenant's record. To give other tenants a rate
	// too, write a function that asks RateOf first.
	Rate func(t *tenancy.Tenant, of ratelimit.Kind, class string) (ratelimit.Rate, bool)
	// Class returns what a request is for, such as "search" or "login": one of a few names of the application.
	// Default: no class.
	Class func(r *http.Request) string
	// Key returns the verified sender of a request: the ID of an API key or of a user, or empty. Default:
	// empty.
	Key func(r *http.Request) string
	// Proxies are the reverse proxies whose word on the client's address is trusted. Default: none; the address
	// is that of the connected peer.
	Proxies *resolver.Proxies
	// HideHeaders leaves out the headers RateLimit and RateLimit-Policy. Default: false.
	HideHeaders bool
}

// RateLimit serves requests while their tenant, their sender and their client address stay within their rates.
// Beyond a rate it refuses with [tenancy.ErrLimited], and Retry-After says when the request would pass. A
// refused request counts towards none of the three rates. Addresses are counted for each tenant separately,
// IPv6 addresses by their /64; all requests with an unknown address count together.
//
// Behind [Tenant] or [Optional] the rates are those of the tenant's record: see [ratelimit.RateOf]. A request
// without a tenant has no rates by default.
//
// Every answer says how much is left, in the form of draft-ietf-httpapi-ratelimit-headers-10:
//
//	RateLimit-Policy: "tenant";q=6000;w=60, "address.login";q=5;w=60
//	RateLimit: "tenant";r=5999;t=1, "address.login";r=4;t=12
//
// q requests may come in w seconds; r more may come at once now; in t seconds there will be one more. Unlimited
// rates are left out. Several RateLimit in a row each add their own.
//
// If the limiter fails, the request is refused with the limiter's error, such as [tenancy.ErrUnavailable].
//
// A nil limiter is an error that wraps [tenancy.ErrInvalid].
func RateLimit(limiter ratelimit.Limiter, opts *RateLimitOptions) (func(http.Handler) http.Handler, error) {
	if limiter == nil {
		return nil, tenancy.Wrap("middleware.RateLimit", "", fmt.Errorf("%w: no limiter", tenancy.ErrInvalid))
	}
	o := opts.complete()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := counts.Get().(*count)
			err := o.take(limiter, w, r, c)
			c.release()
			if err != nil {
				o.refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

func (o *RateLimitOptions) complete() RateLimitOptions {
	var c RateLimitOptions
	if o != nil {
		c = *o
	}
	c.Options = c.Options.complete()
	if c.Rate == nil {
		c.Rate = ratelimit.RateOf
	}
	return c
}

// LimitedError says which limit was reached. It wraps [tenancy.ErrLimited].
type LimitedError struct {
	// Limit is the name of the limit: "tenant", "address.login", "concurrency".
	Limit string
	// Address is the client's, if the rate of its address was reached.
	Address netip.Addr
	// After is when to come back; zero if that is not known.
	After time.Duration
}

// Error returns the text for logs.
func (e *LimitedError) Error() string {
	text := "limit reached: " + e.Limit
	if e.Address.IsValid() {
		text += " (client " + e.Address.String() + ")"
	}
	return text
}

// Unwrap returns [tenancy.ErrLimited].
func (e *LimitedError) Unwrap() error { return tenancy.ErrLimited }

// RetryAfter returns when to come back; zero if that is not known.
func (e *LimitedError) RetryAfter() time.Duration { return e.After }

// count is scratch space for counting one request.
type count struct {
	limits [3]ratelimit.Limit
	text   []byte
}

var counts = sync.Pool{New: func() any { return new(count) }}

func (c *count) release() {
	clear(c.limits[:])
	counts.Put(c)
}

// take counts the request and writes the headers. It returns why the request is refused.
func (o *RateLimitOptions) take(limiter ratelimit.Limiter, w http.ResponseWriter, r *http.Request, c *count) error {
	const op = "middleware.RateLimit"
	ctx := r.Context()
	t, _ := tenancy.FromContext(ctx)
	class, key := "", ""
	if o.Class != nil {
		class = o.Class(r)
	}
	if o.Key != nil {
		key = o.Key(r)
	}
	limits := c.limits[:0]
	if t != nil {
		limits = o.add(limits, t, ratelimit.Tenant, class)
	}
	if key != "" {
		n := len(limits)
		if limits = o.add(limits, t, ratelimit.Key, class); len(limits) > n {
			limits[n].Key = key
		}
	}
	n := len(limits)
	var client netip.Addr
	if limits = o.add(limits, t, ratelimit.Address, class); len(limits) > n {
		client = o.Proxies.Client(r)
		limits[n].Address = ratelimit.AddressOf(client)
	}
	if len(limits) == 0 {
		return nil
	}
	passes, err := limiter.Take(ctx, limits)
	if err != nil {
		return err
	}
	if !o.HideHeaders {
		c.write(w.Header(), limits)
	}
	if passes {
		return nil
	}
	var id tenancy.ID
	if t != nil {
		id = t.ID
	}
	return tenancy.Wrap(op, id, limitedBy(limits, client))
}

// add adds the limit of a kind, if there is one.
func (o *RateLimitOptions) add(limits []ratelimit.Limit, t *tenancy.Tenant, of ratelimit.Kind, class string) []ratelimit.Limit {
	rate, ok := o.Rate(t, of, class)
	if !ok && class != "" {
		class = ""
		rate, ok = o.Rate(t, of, class)
	}
	if !ok || rate.Limit < 0 {
		return limits
	}
	return append(limits, ratelimit.Limit{Kind: of, Class: class, Rate: rate})
}

// limitedBy returns the error for limits of which at least one is exceeded.
func limitedBy(limits []ratelimit.Limit, client netip.Addr) error {
	e := &LimitedError{}
	known := true
	for i := range limits {
		l := &limits[i]
		if l.Remaining > 0 {
			continue
		}
		if e.Limit != "" {
			e.Limit += ", "
		}
		e.Limit += string(appendName(nil, l))
		if l.Kind == ratelimit.Address {
			e.Address = client
		}
		e.After = max(e.After, l.After)
		known = known && l.After > 0
	}
	if e.Limit == "" {
		return fmt.Errorf("%w, and the limiter does not say which", tenancy.ErrLimited)
	}
	if !known { // a rate of zero: nobody knows when there will be another
		e.After = 0
	}
	return e
}
