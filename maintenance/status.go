package maintenance

import (
	"context"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Status says what maintenance there is at a time.
type Status struct {
	// Record is what was begun or planned, or nil. It must not be modified.
	Record *tenancy.Maintenance
	// InForce reports whether it holds.
	InForce bool
	// EndsAt is when what is in force ends; the zero time is not known.
	EndsAt time.Time
	// NextAt is when it holds next, if it does not hold now, and NextEndsAt when that ends; the zero times are not known.
	NextAt, NextEndsAt time.Time
}

// StatusOf returns what the record, which may be nil, says about that time. Maintenance with unreadable windows
// is in force.
func StatusOf(m *tenancy.Maintenance, at time.Time) Status {
	if m == nil {
		return Status{}
	}
	p, err := newPlan(m, "")
	if err != nil {
		return Status{Record: m, InForce: true}
	}
	at = at.UTC().Truncate(time.Microsecond) // without a monotonic clock
	s := p.look(at)
	if s.open {
		return Status{Record: m, InForce: true, EndsAt: s.end.UTC()}
	}
	out := Status{Record: m}
	if !s.until.IsZero() {
		out.NextAt, out.NextEndsAt = s.until.UTC(), p.look(s.until).end.UTC()
	}
	return out
}

// Status reads the record and returns what it says about now. If you have the tenant's record, [StatusOf] needs
// no I/O.
func (s Scope) Status(ctx context.Context) (Status, error) {
	m, _, err := s.get(ctx)
	if err != nil {
		return Status{}, tenancy.Wrap("maintenance.Scope.Status", s.tenant, err)
	}
	return StatusOf(m, now()), nil
}

// BypassPath returns the path before the secret of [Scope.NewBypass].
func (g *Gate) BypassPath() string { return g.opts.BypassPath }
