package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/internal/problem"
	"github.com/artflow-studio/tenancy/maintenance"
)

// maintenanceRoutes are the rows about maintenance, of a tenant and of the whole service.
func (a *Admin) maintenanceRoutes() []route {
	var rows []route
	for _, base := range []route{
		{pattern: "tenants/{id}/maintenance", permission: auth.TenantsMaintenance, reach: oneOf, part: partMaintenance},
		{pattern: "maintenance", permission: auth.ServiceMaintenance, reach: allOf, part: partMaintenance},
	} {
		add := func(method, below, action string, handle func(*call) error) *route {
			r := base
			r.method, r.pattern, r.action, r.handle = method, base.pattern+below, action, handle
			rows = append(rows, r)
			return &rows[len(rows)-1]
		}
		read := add("GET", "", "", a.showMaintenance)
		read.permission = auth.TenantsRead
		begin := add("POST", "", "maintenance.begin", a.beginMaintenance)
		begin.idempotent, begin.body, begin.stepUp = true, true, base.reach == allOf // nobody closes the service by mistake
		add("DELETE", "", "maintenance.end", a.endMaintenance)
		extend := add("POST", "/extend", "maintenance.extend", a.extendMaintenance)
		extend.idempotent, extend.body = true, true
		bypass := add("POST", "/bypass", "maintenance.bypass", a.bypassMaintenance)
		bypass.idempotent = true
		drain := add("POST", "/drain", "maintenance.drain", a.drainMaintenance)
		drain.idempotent, drain.body, drain.lasts = true, true, drainMost+drainRest
	}
	return rows
}

// maintenanceOf returns what the row is about: the tenant in its path, or the service.
func (a *Admin) maintenanceOf(c *call) maintenance.Scope {
	if c.tenant != nil {
		return a.opts.Gate.Tenant(c.tenant.ID)
	}
	return a.opts.Gate.Service()
}

// maintenanceShown says what holds now, and what is planned.
type maintenanceShown struct {
	InForce bool      `json:"in_force"`
	EndsAt  time.Time `json:"ends_at,omitzero"`
	Next    *nextTime `json:"next"`
	// Upcoming are the next five times.
	Upcoming []nextTime `json:"upcoming"`
	// InFlight is how many requests are under way on this instance.
	InFlight int                `json:"in_flight"`
	Record   *maintenanceRecord `json:"record"`
}

type nextTime struct {
	StartsAt time.Time `json:"starts_at"`
	EndsAt   time.Time `json:"ends_at,omitzero"`
}

// maintenanceRecord is what an operator has written. The digest of the bypass has no field.
type maintenanceRecord struct {
	Mode    tenancy.MaintenanceMode `json:"mode"`
	Message string                  `json:"message"`
	Contact string                  `json:"contact"`
	Windows []maintenanceWindow     `json:"windows"`
	Allow   []netip.Prefix          `json:"allow"`
	Paths   []string                `json:"paths"`
	Bypass  bool                    `json:"bypass"`
	BeganAt time.Time               `json:"began_at"`
}

// maintenanceWindow is a [tenancy.Window] whose length is in seconds.
type maintenanceWindow struct {
	Start  time.Time `json:"start,omitzero"`
	End    time.Time `json:"end,omitzero"`
	Rule   string    `json:"rule,omitempty"`
	Length int64     `json:"length,omitempty"`
	Zone   string    `json:"zone,omitempty"`
}

func (c *call) replyMaintenance(of maintenance.Scope, s *maintenance.Status) error {
	out := maintenanceShown{InForce: s.InForce, EndsAt: s.EndsAt, InFlight: of.InFlight()}
	if !s.NextAt.IsZero() {
		out.Next = &nextTime{s.NextAt, s.NextEndsAt}
	}
	out.Upcoming = upcoming(*s)
	if m := s.Record; m != nil {
		out.Record = &maintenanceRecord{
			Mode: m.Mode, Message: m.Message, Contact: m.Contact, Windows: []maintenanceWindow{}, Allow: append([]netip.Prefix{}, m.Allow...),
			Paths: append([]string{}, m.Paths...), Bypass: m.Bypass != tenancy.Digest{}, BeganAt: m.BeganAt,
		}
		for _, w := range m.Windows {
			out.Record.Windows = append(out.Record.Windows, maintenanceWindow{w.Start, w.End, w.Rule, int64(w.Length / time.Second), w.Zone})
		}
	}
	return c.reply(http.StatusOK, out)
}

// upcoming returns the next five times at which maintenance begins, after what is in force.
func upcoming(s maintenance.Status) []nextTime {
	out := []nextTime{}
	for range 20 { // windows may touch each other
		at := s.EndsAt
		if !s.InForce && !s.NextAt.IsZero() {
			out, at = append(out, nextTime{s.NextAt, s.NextEndsAt}), s.NextEndsAt
		}
		if at.IsZero() || len(out) == 5 {
			break
		}
		s = maintenance.StatusOf(s.Record, at)
	}
	return out
}

func (a *Admin) showMaintenance(c *call) error {
	of := a.maintenanceOf(c)
	if c.tenant != nil {
		s := maintenance.StatusOf(c.tenant.Access.Maintenance, time.Now())
		return c.replyMaintenance(of, &s)
	}
	return c.replyChanged(of, nil)
}

// replyChanged answers with what there is after a change.
func (c *call) replyChanged(of maintenance.Scope, err error) error {
	if err != nil {
		return err
	}
	s, err := of.Status(c.ctx())
	if err != nil {
		return err
	}
	return c.replyMaintenance(of, &s)
}

// beginMaintenance begins or plans maintenance, in place of any that there is.
func (a *Admin) beginMaintenance(c *call) error {
	var in struct {
		Mode    tenancy.MaintenanceMode `json:"mode"`
		Message string                  `json:"message"`
		Contact string                  `json:"contact"`
		For     int64                   `json:"for"` // seconds from now on, in place of windows
		Windows []maintenanceWindow     `json:"windows"`
		Allow   []netip.Prefix          `json:"allow"`
		Paths   []string                `json:"paths"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	lasts, err := seconds("for", in.For)
	if err != nil {
		return err
	}
	m := tenancy.Maintenance{Mode: in.Mode, Message: in.Message, Contact: in.Contact, Allow: in.Allow, Paths: in.Paths}
	for i, w := range in.Windows {
		length, err := seconds(fmt.Sprintf("windows/%d/length", i), w.Length)
		if err != nil {
			return err
		}
		m.Windows = append(m.Windows, tenancy.Window{Start: w.Start, End: w.End, Rule: w.Rule, Length: length, Zone: w.Zone})
	}
	if lasts > 0 {
		if len(m.Windows) > 0 {
			return invalidField("for", "There are windows already.")
		}
		now := time.Now()
		m.Windows = []tenancy.Window{{Start: now, End: now.Add(lasts)}}
	}
	of := a.maintenanceOf(c)
	return c.replyChanged(of, validation(of.Begin(c.ctx(), m)))
}

func (a *Admin) endMaintenance(c *call) error {
	of := a.maintenanceOf(c)
	return c.replyChanged(of, of.End(c.ctx()))
}

func (a *Admin) extendMaintenance(c *call) error {
	var in struct {
		Until time.Time `json:"until"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if !in.Until.After(time.Now()) {
		return invalidField("until", "This is not a time to come.")
	}
	of := a.maintenanceOf(c)
	return c.replyChanged(of, conflict(of.Extend(c.ctx(), in.Until), "Maintenance is not in force, or it lasts until then in any case."))
}

// bypassMaintenance makes the secret of a link, which is shown once: to who asked. The path is below the tenant's own address.
func (a *Admin) bypassMaintenance(c *call) error {
	secret, err := a.maintenanceOf(c).NewBypass(c.ctx())
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, map[string]string{"secret": secret.Reveal(), "path": a.opts.Gate.BypassPath() + "/" + secret.Reveal()})
}

// How long a drain may take: unless the request says, and at most.
const (
	drainUsual = 90 * time.Second
	drainMost  = 5 * time.Minute
	drainRest  = 30 * time.Second // for what is not waiting
)

// drained says how a drain ended.
type drained struct {
	Drained  bool     `json:"drained"`
	InFlight int      `json:"in_flight"` // on this instance
	Missing  []string `json:"missing"`   // instances that did not say that they are done
}

// drainMaintenance waits until nothing is under way that maintenance refuses. What is under way when the time is over goes on.
func (a *Admin) drainMaintenance(c *call) error {
	var in struct {
		For int64 `json:"for"` // seconds
	}
	if len(c.body) > 0 {
		if err := c.decode(&in); err != nil {
			return err
		}
	}
	lasts := drainUsual
	if in.For != 0 {
		if in.For < 0 || in.For > int64(drainMost/time.Second) {
			return invalidField("for", "Want 1 to 300 seconds.")
		}
		lasts = time.Duration(in.For) * time.Second
	}
	of := a.maintenanceOf(c)
	bounded, cancel := context.WithTimeout(c.ctx(), lasts)
	defer cancel()
	var late *maintenance.DrainError
	err := a.recorded(c, "", func() error {
		err := of.Drain(bounded)
		if errors.As(err, &late) && c.ctx().Err() == nil { // not an error: the answer says what is left
			return nil
		}
		return err
	})
	if err != nil {
		return conflict(err, "Maintenance is not in force: begin it first.")
	}
	out := drained{Drained: late == nil, Missing: []string{}}
	if late != nil {
		out.InFlight, out.Missing = late.InFlight, append(out.Missing, late.Missing...)
	}
	return c.reply(http.StatusOK, out)
}

// maxSeconds is the longest time that a request names: a hundred years.
const maxSeconds = 100 * 366 * 24 * 3600

// seconds reads a length of time that the body's field has.
func seconds(field string, n int64) (time.Duration, error) {
	if n < 0 || n > maxSeconds {
		return 0, invalidField(field, "Want seconds, from 0 on.")
	}
	return time.Duration(n) * time.Second, nil
}

// invalidField is a validation error of one field of the body.
func invalidField(field, text string) error {
	return problem.New(problem.Validation, fmt.Errorf("%w: %s", tenancy.ErrInvalid, field), problem.Field{Pointer: "/" + field, Code: "malformed", Text: text})
}
