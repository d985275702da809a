package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/dbpool"
)

// poolRoutes are the rows about what processes have: connections of this one, and the processes themselves.
func (a *Admin) poolRoutes() []route {
	return []route{
		{method: "GET", pattern: "pools", permission: auth.HealthRead, reach: allOf, part: partPool, handle: a.listPools},
		{method: "GET", pattern: "pools/{server}", permission: auth.HealthRead, reach: allOf, part: partPool, handle: a.readPool},
		{method: "GET", pattern: "instances", permission: auth.HealthRead, reach: allOf, part: partReports, handle: a.instances},
	}
}

// pool is what this instance's connections to a server are and did since it started.
type pool struct {
	Server      string  `json:"server"`
	Replica     bool    `json:"replica"`
	Breaker     string  `json:"breaker"`
	Budget      int     `json:"budget"`
	Borrowed    int     `json:"borrowed"`
	Conns       int     `json:"conns"`
	InUse       int     `json:"in_use"`
	Idle        int     `json:"idle"`
	Dialing     int     `json:"dialing"`
	Waiting     int     `json:"waiting"`
	Requests    int64   `json:"requests"`
	Waits       int64   `json:"waits"`
	WaitSeconds float64 `json:"wait_seconds"`
	Refused     int64   `json:"refused"`
	GaveUp      int64   `json:"gave_up"`
	Dials       int64   `json:"dials"`
	Failures    int64   `json:"failures"`
	Evictions   int64   `json:"evictions"`
	Switches    int64   `json:"switches"`
	LagSeconds  float64 `json:"lag_seconds"`
}

func (a *Admin) poolOf(server string) pool {
	s := a.opts.Pool.Stat(server)
	_, replica := a.opts.Pool.Machine(server)
	return pool{
		server, replica, s.Breaker, s.Budget, s.Borrowed, s.Conns, s.InUse, s.Idle, s.Dialing, s.Waiting, s.Requests, s.Waits, s.WaitTime.Seconds(), s.Refused, s.GaveUp,
		s.Dials, s.Failures, s.Evictions, s.Switches, s.Lag.Seconds(),
	}
}

// busiest is how many tenants the answers about pools have.
const busiest = 20

// listPools answers with the servers, and the tenants that wait for connections or use them most.
func (a *Admin) listPools(c *call) error {
	servers := a.opts.Pool.Servers()
	slices.Sort(servers)
	out := make([]pool, len(servers))
	for i, name := range servers {
		out[i] = a.poolOf(name)
	}
	return c.reply(http.StatusOK, map[string]any{"pools": out, "tenants": a.opts.Pool.Tenants(busiest)})
}

func (a *Admin) readPool(c *call) error {
	name := c.r.PathValue("server")
	if !slices.Contains(a.opts.Pool.Servers(), name) {
		return fmt.Errorf("%w: server %.80q", tenancy.ErrNotFound, name)
	}
	tenants := slices.DeleteFunc(a.opts.Pool.Tenants(maxKnown), func(t dbpool.TenantStat) bool { return t.Server != name })
	return c.reply(http.StatusOK, map[string]any{"pool": a.poolOf(name), "tenants": tenants[:min(busiest, len(tenants))]})
}

// instance is a process of the application.
type instance struct {
	Name      string    `json:"name"`
	Missing   bool      `json:"missing"`
	Ended     bool      `json:"ended"`
	StartedAt time.Time `json:"started_at"`
	WrittenAt time.Time `json:"written_at"`
	// ClockAhead is how far its clock is ahead of the database's.
	ClockAhead float64 `json:"clock_ahead_seconds"`
	CPU        float64 `json:"cpu_seconds"`
	RSS        int64   `json:"rss"`
	Heap       int64   `json:"heap"`
	// Now has processors and memory of these seconds, or is empty if nothing is known.
	Now map[string]*analytics.Figure `json:"now"`
}

// feedWait is how long a snapshot of the present may take.
const feedWait = 2 * time.Second

// instances lists the processes that wrote within the last hour, with what the feed says about now.
func (a *Admin) instances(c *call) error {
	o, err := a.opts.Reports.Overview(c.ctx(), c.id.Scope)
	if err != nil {
		return err
	}
	now := map[string]map[string]*analytics.Figure{}
	bounded, cancel := context.WithTimeout(c.ctx(), feedWait)
	defer cancel()
	switch live, err := a.opts.Reports.Live(bounded, c.id.Scope, 0); {
	case err == nil:
		for _, i := range live.Instances {
			now[i.Name] = i.Usage
		}
	case !noFeed(bounded, err): // the rest is known without it
		return err
	}
	out := []instance{}
	for _, i := range o.Instances {
		in := instance{i.Name, i.Missing, i.Ended, i.Started, i.Flushed, i.Offset.Seconds(), i.CPU.Seconds(), i.RSS, i.Heap, now[i.Name]}
		if in.Now == nil {
			in.Now = map[string]*analytics.Figure{}
		}
		out = append(out, in)
	}
	return c.reply(http.StatusOK, map[string]any{"instances": out, "time": o.Now})
}

// noFeed reports that the reports have no feed, or one that does not answer before bounded ends.
func noFeed(bounded context.Context, err error) bool {
	return errors.Is(err, tenancy.ErrInvalid) || err != nil && bounded.Err() != nil
}
