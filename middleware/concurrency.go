package middleware

import (
	"cmp"
	"net/http"
	"time"

	"github.com/artflow-studio/tenancy"
)

// ConcurrencyOptions are the options of [Concurrency].
type ConcurrencyOptions struct {
	Options
	// Limit returns how many requests of the tenant may run at once, and false if the tenant has no limit of
	// its own. Zero serves no request; a negative number is no limit. Default: [tenancy.Tenant.Limits]
	// "concurrency".
	Limit func(t *tenancy.Tenant) (int64, bool)
	// Max is the limit of tenants without one of their own. Negative: no limit. Default: 100.
	Max int
	// Queue is how many requests of one tenant may wait. Negative: none. Default: 100.
	Queue int
	// Wait is how long a request may wait. Negative: not at all. Default: 1 second.
	Wait time.Duration
}

const (
	defaultInFlight = 100
	defaultQueue    = 100
	defaultWait     = time.Second
)

// Concurrency limits how many requests of one tenant run at once in this process, so that one tenant cannot
// take all goroutines, connections and memory. A few more requests wait in the order of their arrival. A
// request that finds the queue full, or waits for too long, is refused with [tenancy.ErrLimited]. A request
// whose client goes away while it waits ends as canceled.
//
// A request runs until its handler returns or panics. A handler that streams, or that has hijacked the
// connection for a websocket, holds its place until it returns; one that passes the connection to another
// goroutine and returns gives its place back. Give long-lived requests a chain of their own with another limit.
//
// A request without a tenant is not limited.
func Concurrency(opts *ConcurrencyOptions) func(http.Handler) http.Handler {
	o := opts.complete()
	all := newSlots()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			t, ok := tenancy.FromContext(r.Context())
			if !ok {
				next.ServeHTTP(w, r)
				return
			}
			limit, ok := o.Limit(t)
			if !ok {
				limit = int64(o.Max)
			}
			if limit < 0 {
				next.ServeHTTP(w, r)
				return
			}
			shard := all.of(t.ID)
			entry, err := shard.enter(r.Context(), t.ID, limit, o.Queue, o.Wait)
			if err != nil {
				o.refuse(w, r, tenancy.Wrap("middleware.Concurrency", t.ID, err))
				return
			}
			defer shard.leave(t.ID, entry)
			next.ServeHTTP(w, r)
		})
	}
}

func (o *ConcurrencyOptions) complete() ConcurrencyOptions {
	var c ConcurrencyOptions
	if o != nil {
		c = *o
	}
	c.Options = c.Options.complete()
	if c.Limit == nil {
		c.Limit = func(t *tenancy.Tenant) (int64, bool) { n, ok := t.Limits["concurrency"]; return n, ok }
	}
	c.Max = cmp.Or(c.Max, defaultInFlight)
	c.Queue = cmp.Or(c.Queue, defaultQueue)
	c.Wait = cmp.Or(c.Wait, defaultWait)
	return c
}
