// Package ratelimit counts requests of tenants against rates: [Memory] in one
// process, [Redis] for all instances of an application.
//
// The limiters are of the generic cell rate algorithm, GCRA: a request costs the
// time in which the rate yields one, and passes if the debt does not grow beyond a
// burst. There are no windows at whose borders twice the rate would pass.
// Source: ITU-T I.371, annex A.
package ratelimit

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Limiter counts requests.
//
// Take counts one request to each of the limits and reports true, or counts it to
// none and reports false if it would exceed one of them: that one has nothing
// Remaining. It sets Remaining and After of all limits. What is counted belongs to
// the tenant of the context, or to the application if it has none; nothing is shared
// between two tenants, kinds, classes, keys or addresses. No two limits of a call
// are of the same kind.
//
// An error says that the limiter cannot tell: one that wraps
// [tenancy.ErrUnavailable], or that of a context that has ended. Take is called by
// many goroutines at once, and does not keep the limits.
type Limiter interface {
	Take(ctx context.Context, limits []Limit) (bool, error)
}

// Limit is a rate, and what is counted against it.
type Limit struct {
	Kind Kind
	// Class is the application's name for some of the requests, or empty.
	Class string
	// Key is what [Key] counts: a name of who asks, that was checked.
	Key string
	// Address is what [Address] counts, in the form of [AddressOf].
	Address netip.Addr
	Rate    Rate

	// Remaining is how many more requests may come at once now. It is that of a
	// rate without a limit too: [math.MaxInt64].
	Remaining int64
	// After is when there will be one more than Remaining; zero if there never will.
	After time.Duration
}

// Kind is what requests are counted of.
type Kind uint8

const (
	// Tenant counts all requests of a tenant.
	Tenant Kind = iota
	// Key counts the requests of one API key or user of a tenant.
	Key
	// Address counts the requests to a tenant from one address.
	Address

	kinds = iota
)

// String returns the kind's name: "tenant", "key" or "address".
func (k Kind) String() string {
	switch k {
	case Tenant:
		return "tenant"
	case Key:
		return "key"
	case Address:
		return "address"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Rate is how many requests may come in a time. The zero Rate lets none pass.
type Rate struct {
	// Limit is how many requests may come in a period. Zero lets none pass, and a
	// negative one all.
	Limit int64
	// Period is the time. Default: a second.
	Period time.Duration
	// Burst is how many may come at once. Default: Limit; negative: one.
	Burst int64
}

// Unlimited lets all requests pass.
var Unlimited = Rate{Limit: -1}

// PerSecond returns the rate of so many requests in a second.
func PerSecond(n int64) Rate { return Rate{Limit: n, Period: time.Second} }

// PerMinute returns the rate of so many requests in a minute.
func PerMinute(n int64) Rate { return Rate{Limit: n, Period: time.Minute} }

// longest is the longest time that is computed with: two of them do not overflow.
const longest = time.Duration(100 * 365 * 24 * time.Hour)

// terms returns the time in which the rate yields a request, rounded up, and the
// most that can be owed. The rate has a limit.
func (r Rate) terms() (every, depth time.Duration) {
	period, burst := r.Period, r.Burst
	if period <= 0 {
		period = time.Second
	}
	if burst == 0 {
		burst = r.Limit
	}
	burst = max(burst, 1)
	every = min(max((period-1)/time.Duration(r.Limit)+1, 1), longest)
	if burst > int64(longest/every) {
		return every, longest
	}
	return every, every * time.Duration(burst)
}

// part returns the rate of one instance of so many.
func (r Rate) part(of int64) Rate {
	if of <= 1 || r.Limit <= 0 {
		return r
	}
	if r.Burst == 0 {
		r.Burst = r.Limit
	}
	if r.Period <= 0 {
		r.Period = time.Second
	}
	r.Burst, r.Period = max(r.Burst/of, 1), min(r.Period, longest/time.Duration(of))*time.Duration(of)
	return r
}

// set enters into the limit what remains while so much is owed.
func (l *Limit) set(every, depth, owed time.Duration) {
	n := (depth - owed) / every
	l.Remaining, l.After = int64(n), 0
	if owed > 0 {
		l.After = max((n+1)*every-(depth-owed), 1)
	}
}

// setFixed enters what remains of a rate that counts nothing, and reports whether
// it is one, and whether it lets all pass.
func (l *Limit) setFixed() (fixed, passes bool) {
	switch {
	case l.Rate.Limit == 0:
		l.Remaining, l.After = 0, 0
		return true, false
	case l.Rate.Limit < 0:
		l.Remaining, l.After = math.MaxInt64, 0
		return true, true
	}
	return false, true
}

// AddressOf returns what [Address] counts of an address: an IPv4 address itself,
// also if it is written in IPv6, and of an IPv6 address the /64, which is what one
// customer has at the least. All addresses that are none are one.
func AddressOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if !addr.Is6() {
		return addr
	}
	a := addr.As16()
	clear(a[8:])
	return netip.AddrFrom16(a)
}

// RateOf returns the rate that a tenant's record has, and whether it has one. Its
// [tenancy.Tenant.Limits] are
//
//	rate.tenant    requests of the tenant in a minute
//	rate.key       requests of each key
//	rate.address   requests from each address
//	burst.tenant   how many may come at once; likewise burst.key, burst.address
//
// and those of a class have its name behind a dot, as in rate.key.search and
// burst.key.search. A rate of zero lets no request pass, and a negative one all.
// Without a burst as many may come at once as in a minute; one of zero or less is one
// request. A rate that changes holds at once: nobody owes more than its burst.
func RateOf(t *tenancy.Tenant, of Kind, class string) (Rate, bool) {
	if t == nil || len(t.Limits) == 0 || of >= kinds {
		return Rate{}, false
	}
	rate, burst := recordKeys[of].rate, recordKeys[of].burst
	if class != "" {
		rate, burst = rate+"."+class, burst+"."+class
	}
	n, ok := t.Limits[rate]
	if !ok {
		return Rate{}, false
	}
	r := PerMinute(n)
	if b, ok := t.Limits[burst]; ok {
		r.Burst = max(b, 1)
	}
	return r, true
}

var recordKeys = [kinds]struct{ rate, burst string }{
	Tenant:  {"rate.tenant", "burst.tenant"},
	Key:     {"rate.key", "burst.key"},
	Address: {"rate.address", "burst.address"},
}
