package dbpool

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
)

// Stat is what a server's connections are and did, since the pool was made.
type Stat struct {
	// Budget is the most there may be; Conns how many there are, in use, idle,
	// being dialled and being closed.
	// Borrowed is how many there may be beyond the budget, of those that instances
	// share. When that falls, there may be more for a moment, until they are
	// given back.
	Budget   int `json:"budget"`
	Borrowed int `json:"borrowed"`
	Conns    int `json:"conns"`
	InUse    int `json:"in_use"`
	Idle     int `json:"idle"`
	Dialing  int `json:"dialing"`
	// Waiting is the number of requests that wait now.
	Waiting int `json:"waiting"`
	// Requests counts connections asked for. Of those, Waits had to wait,
	// WaitTime in all; HandOvers got one that their tenant gave back or that
	// was dialled; Refused did not wait because it was hopeless; GaveUp timed
	// out.
	Requests  int64         `json:"requests"`
	Waits     int64         `json:"waits"`
	WaitTime  time.Duration `json:"wait_time_ns"`
	HandOvers int64         `json:"hand_overs"`
	Refused   int64         `json:"refused"`
	GaveUp    int64         `json:"gave_up"`
	// Dials counts connections begun, Failures those that failed. Evictions
	// counts idle connections that gave their place to another tenant's; Switches
	// how many of them were switched to its database, without a dial.
	Dials     int64 `json:"dials"`
	Failures  int64 `json:"failures"`
	Evictions int64 `json:"evictions"`
	Switches  int64 `json:"switches"`
	// Breaker is "closed" while the server answers, "open" while it is taken to
	// be down, and "half-open" while one dial is tried.
	Breaker string `json:"breaker"`
	// Lag is how far a read replica is behind at the most; 0 if that is not known.
	Lag time.Duration `json:"lag_ns"`
}

// DialsPerRequest tells whether the tenants that are busy at a time fit into the
// budget: next to nothing when they do, towards one when nearly every request
// needs a connection of its own dialled. Then only a larger budget helps.
func (s Stat) DialsPerRequest() float64 {
	if s.Requests == 0 {
		return 0
	}
	return float64(s.Dials) / float64(s.Requests)
}

// Stat returns the figures of the server of that name, or the zero Stat. Of
// servers that share a budget each has those of all, except for its breaker and its
// lag.
func (p *Pool) Stat(server string) Stat {
	p.mu.RLock()
	s, ok := p.servers[server]
	p.mu.RUnlock()
	if !ok {
		return Stat{}
	}
	return s.snapshot()
}

func (s *server) snapshot() Stat {
	now := time.Now()
	out := statOf(s.Budget())
	out.Breaker = s.Breaker(now)
	if lag, ok := s.progress.Load().lag(now); ok {
		out.Lag = lag
	}
	return out
}

// statOf returns what a budget has and did.
func statOf(b *sched.Budget) Stat {
	s := b.Stat()
	return Stat{
		Budget: s.Budget, Borrowed: s.Borrowed, Conns: s.Conns, InUse: s.InUse, Idle: s.Idle, Dialing: s.Dialing, Waiting: s.Waiting,
		Requests: s.Requests, Waits: s.Waits, WaitTime: s.WaitTime, HandOvers: s.HandOvers, Refused: s.Refused, GaveUp: s.GaveUp,
		Dials: s.Dials, Failures: s.Failures, Evictions: s.Evictions, Switches: s.Switches,
	}
}

// TenantStat is what one tenant has of its server's connections now.
type TenantStat struct {
	Tenant   tenancy.ID `json:"tenant"`
	Server   string     `json:"server"`
	Database string     `json:"database"`
	Conns    int        `json:"conns"`
	Idle     int        `json:"idle"`
	Waiting  int        `json:"waiting"`
	// Heat is how many connections the tenant asked for lately: each counts
	// half as much after ten seconds, and so on.
	Heat float64 `json:"heat"`
	// Down is whether its database is taken to be down, while the server is up.
	Down bool `json:"down"`
}

// Tenants returns the tenants that use their connections most, n at the most.
// It looks at every tenant that the pool knows.
func (p *Pool) Tenants(n int) []TenantStat {
	now := time.Now()
	out := []TenantStat{}
	p.eachHandle(func(h *handle) {
		if stat, ok := h.stat(now); ok {
			out = append(out, stat)
		}
	})
	slices.SortFunc(out, func(a, b TenantStat) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(b.Heat, a.Heat), cmp.Compare(a.Tenant, b.Tenant))
	})
	return out[:min(max(n, 0), len(out))]
}

// Tenant returns what one tenant has of its server's connections now, or false if it
// asked for none lately. It looks at that tenant alone.
func (p *Pool) Tenant(id tenancy.ID) (TenantStat, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	h := p.handles[id]
	if h == nil {
		return TenantStat{}, false
	}
	return h.stat(time.Now())
}

// stat returns what the tenant has, or false if it has no lane. The caller has the
// pool's lock.
func (h *handle) stat(now time.Time) (TenantStat, bool) {
	l := h.connector.lane()
	if l == nil {
		return TenantStat{}, false
	}
	has := l.Stat(now)
	return TenantStat{
		Tenant: h.tenant, Server: h.server.Name(), Database: h.placement.Database,
		Conns: has.Conns, Idle: has.Idle, Waiting: has.Waiting, Heat: math.Round(100*has.Heat) / 100, Down: has.Down,
	}, true
}

// Known reports whether the pool has a handle of the tenant.
func (p *Pool) Known(id tenancy.ID) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.handles[id] != nil
}
