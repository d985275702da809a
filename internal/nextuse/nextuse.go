// Package nextuse says how soon an idle connection is likely to be used again. Package
// dbpool gives up the one that is least likely to.
//
// It expects a tenant's visits to be as far apart as its latest ones were, and a
// connection that was idle for a while to stay so for half as long again. To a connection
// that came back just now it adds the chance that the visitor has another query, which it
// learns from other visitors.
//
// It counts in visits and dials, not in seconds, so it knows as much at one
// request a second as at thousands. What it knows of a tenant outlasts the
// tenant's connections.
package nextuse

import (
	"math"
	"time"
)

const (
	// memory is how many visits tell the pace of a tenant.
	memory = 8
	// away is after how many times its pace a tenant was away, as people are at
	// night: that says nothing about its pace when it is back.
	away = 16
	// soon is within how many dials' time a visitor's next query comes.
	soon = 4
	// visitors is how many of them tell whether one does.
	visitors = 32
)

// Policy is what is known of all visitors of a budget. One goroutine at a time uses it,
// with its tenants.
type Policy struct {
	began time.Time

	// Of visits that began with a dial:
	again float64       // the share that had another query soon, less than 1
	after time.Duration // how soon
}

// New returns a policy that knows nothing yet, where a dial takes about so long.
func New(cost time.Duration) *Policy { return &Policy{began: time.Now(), after: cost} }

// Tenant is what is known of one tenant. The zero value is one that was never here.
type Tenant struct {
	pace  pace
	freed time.Time // when a connection became idle
	fresh bool      // the latest use was the first of its connection
}

// Freed notes that a connection of the tenant became idle.
func (t *Tenant) Freed(now time.Time) { t.freed = now }

// Used notes that a use of a connection of the tenant begins, be it the connection's
// first, while a dial takes about cost.
func (p *Policy) Used(t *Tenant, first bool, cost time.Duration, now time.Time) {
	if gap := now.Sub(t.freed); t.fresh && gap < soon*cost {
		p.again = min(p.again+1./visitors, 1-1./visitors)
		p.after += (gap - p.after) / visitors
	}
	if t.fresh = first; first {
		p.again -= p.again / visitors
	}
	t.pace.add(now.Sub(p.began), cost)
}

// Rate returns how many uses a second are expected of a connection of the tenant that has
// been idle for a time.
func (p *Policy) Rate(t *Tenant, idle time.Duration, now time.Time) float64 {
	apart := max(t.pace.apart(now.Sub(p.began)), idle/2)
	return 1/apart.Seconds() + p.chance(idle)/p.after.Seconds()
}

// chance is how likely a visitor has another query when none came so far.
func (p *Policy) chance(idle time.Duration) float64 {
	yet := p.again * math.Exp(-idle.Seconds()/p.after.Seconds())
	return yet / (yet + 1 - p.again)
}
