// Package ratelimit counts requests of tenants against rates: [Memory] in one process, [Redis] for all
// instances of an application.
//
// The limiters use the generic cell rate algorithm, GCRA: a request costs the time in which the rate yields one
// request, and passes if the debt does not exceed the burst. There are no windows at whose borders twice the
// rate could pass. Source: ITU-T I.371, annex A.
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
// Take counts one request towards all the limits and returns true, or counts it towards none and returns false
// if it would exceed one of them; that limit then has a Remaining of zero. It sets Remaining and After of all
// limits. Counts belong to the tenant of the context, or to the application if the context has none. Two
// tenants, kinds, classes, keys or addresses share no count. The limits of one call have different kinds.
//
// An error says that the limiter cannot tell: it wraps [tenancy.ErrUnavailable], or is the error of a context
// that has ended. Many goroutines call Take at once. Take does not keep the limits.
type Limiter interface {
	Take(ctx context.Context, limits []Limit) (bool, error)
}

// Limit is a rate, what is counted, and what is left.
type Limit struct {
	Kind Kind
	// Class is the name that the application gives to some of the requests, or empty.
	Class string
	// Key is the verified sender, for the kind [Key].
	Key string
	// Address is the client's address in the form of [AddressOf], for the kind [Address].
	Address netip.Addr
	Rate    Rate

	// Remaining is how many more requests may come at once now. For an unlimited rate it is [math.MaxInt64].
	Remaining int64
	// After is the time until Remaining grows by one; zero if it never will.
	After time.Duration
}

// Kind is what a limit counts.
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

// Rate is how many requests may come in a period. The zero Rate serves none.
type Rate struct {
	// Limit is the number of requests in a period. Zero serves none; a negative number is no limit.
	Limit int64
	// Period is the length of the period. Default: 1 second.
	Period time.Duration
	// Burst is how many requests may come at once. Negative: one. Default: Limit.
	Burst int64
}

// Unlimited is no limit.
var Unlimited = Rate{Limit: -1}

// PerSecond returns the rate of n requests in a second.
func PerSecond(n int64) Rate { return Rate{Limit: n, Period: time.Second} }

// PerMinute returns the rate of n requests in a minute.
func PerMinute(n int64) Rate { return Rate{Limit: n, Period: time.Minute} }

// longest is the longest time in calculations: the sum of two does not overflow.
const longest = time.Duration(100 * 365 * 24 * time.Hour)

// terms returns the time in which the rate yields one request, rounded up, and the greatest debt. The rate must
// not be unlimited.
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

// part returns the share of the rate that one of several instances gets.
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

// set sets what is left at that debt.
func (l *Limit) set(every, depth, owed time.Duration) {
	n := (depth - owed) / every
	l.Remaining, l.After = int64(n), 0
	if owed > 0 {
		l.After = max((n+1)*every-(depth-owed), 1)
	}
}

// setFixed sets what is left of a rate for which nothing is counted. It reports whether the rate is of that
// kind, and whether it serves every request.
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

// AddressOf returns what the kind [Address] counts for an address: the IPv4 address itself, also if it is
// written as IPv6, or the /64 of an IPv6 address, because one customer has at least a /64. All invalid
// addresses count as one.
func AddressOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if !addr.Is6() {
		return addr
	}
	a := addr.As16()
	clear(a[8:])
	return netip.AddrFrom16(a)
}

// RateOf returns the rate in a tenant's record, and false if there is none. It reads these of the tenant's
// [tenancy.Tenant.Limits]:
//
//	rate.tenant    requests of the tenant in a minute
//	rate.key       requests of each key in a minute
//	rate.address   requests from each address in a minute
//	burst.tenant   how many requests may come at once; likewise burst.key, burst.address
//
// The limits of a class have its name behind another dot, such as rate.key.search and burst.key.search. A rate
// of zero serves no request; a negative rate is no limit. The default of a burst is the rate; a burst of zero
// or less is one request. A changed rate applies at once: no debt is greater than the new burst.
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
