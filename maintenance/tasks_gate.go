package maintenance

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/ipnet"
)

// BeginTask returns the task that begins or plans maintenance of tenants. Its parameters,
// none of which is needed, are mode (closed, which is the default, or read_only), message
// and contact for clients, allow (addresses and prefixes of addresses that are served,
// separated by commas), paths (prefixes of paths that are served, separated by commas), and
// its times:
//
//   - for: it begins now and ends by itself after this time, such as 2h
//   - from and until, in the form of RFC 3339: it begins then and ends then; without
//     until it lasts until somebody ends it
//   - rule, zone and for: it comes again and again, at the times of the cron expression
//     in the time zone (default: UTC), and lasts so long each time; from and until bound
//     the times at which it begins
//
// Without any of them it begins now and lasts until somebody ends it.
//
// It takes the place of maintenance that is in force or planned, and keeps of that the
// message, the contact, the addresses and the paths whose parameter is missing; an empty
// parameter removes them. Times and the mode are not kept, and a bypass of before does not
// work any more. What a run has begun stays as it is where the run does the task again.
// Tenants that are being provisioned, and those that are archived, cannot take part.
func (g *Gate) BeginTask() tenancy.Task {
	return tenancy.Task{
		Eligible: lives,
		Validate: func(p tenancy.Params) error {
			m, err := maintenanceOf(p, time.Now())
			if err != nil {
				return err
			}
			_, err = begun(m, "")
			return err
		},
		Do: func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
			return g.Tenant(t.ID).by(a).BeginParams(ctx, a.Params)
		},
	}
}

// EndTask returns the task that ends maintenance of tenants, and all that was planned. It
// takes no parameters.
func (g *Gate) EndTask() tenancy.Task {
	return tenancy.Task{Do: func(ctx context.Context, t *tenancy.Tenant, _ tenancy.Attempt) error { return g.Tenant(t.ID).End(ctx) }}
}

// BeginParams begins or plans maintenance as the parameters of [Gate.BeginTask] say, and
// keeps what they do not name. Errors are those of [ParseParams] and [Scope.Begin].
func (s Scope) BeginParams(ctx context.Context, p tenancy.Params) error {
	const op = "maintenance.Scope.BeginParams"
	m, err := maintenanceOf(p, time.Now())
	if err != nil {
		return tenancy.Wrap(op, s.tenant, err)
	}
	return s.begin(ctx, op, m, func(m, before *tenancy.Maintenance) { keepUnnamed(m, before, p) })
}

// keepUnnamed takes what the parameters do not name from maintenance that is in force or planned. One that is over has nothing to
// say: nobody expects that the addresses of last month's are served.
func keepUnnamed(m, before *tenancy.Maintenance, p tenancy.Params) {
	if s := StatusOf(before, m.BeganAt); !s.InForce && s.NextAt.IsZero() {
		return
	}
	for name, keep := range map[string]func(){
		"message": func() { m.Message = before.Message },
		"contact": func() { m.Contact = before.Contact },
		"allow":   func() { m.Allow = before.Allow },
		"paths":   func() { m.Paths = before.Paths },
	} {
		if _, named := p[name]; !named {
			keep()
		}
	}
}

// ParseParams returns the maintenance that the parameters of [Gate.BeginTask] describe, as it
// is where there is none yet; times that they leave open count from now. What cannot be read
// is an error that wraps [tenancy.ErrInvalid].
func ParseParams(p tenancy.Params) (tenancy.Maintenance, error) {
	m, err := maintenanceOf(p, time.Now())
	return m, tenancy.Wrap("maintenance.ParseParams", "", err)
}

// maintenanceOf reads the parameters of BeginTask.
func maintenanceOf(p tenancy.Params, now time.Time) (tenancy.Maintenance, error) {
	m := tenancy.Maintenance{Mode: tenancy.MaintenanceClosed, Message: p["message"], Contact: p["contact"]}
	if mode, ok := p["mode"]; ok {
		m.Mode = tenancy.MaintenanceMode(mode)
	}
	windows, err := windowsOf(p, now)
	if err != nil {
		return m, err
	}
	m.Windows = windows
	if m.Allow, err = prefixesOf(p["allow"]); err != nil {
		return m, err
	}
	m.Paths = list(p["paths"])
	return m, only(p, "mode", "message", "contact", "allow", "paths", "for", "from", "until", "rule", "zone")
}

// prefixesOf reads a list of addresses and of prefixes of addresses.
func prefixesOf(text string) (out []netip.Prefix, err error) {
	for _, each := range list(text) {
		p, err := ipnet.Parse(each)
		if err != nil {
			return nil, fmt.Errorf("maintenance allow: %w", err)
		}
		out = append(out, p)
	}
	return out, nil
}

// list divides a list whose parts commas separate.
func list(text string) (out []string) {
	for each := range strings.SplitSeq(text, ",") {
		if each = strings.TrimSpace(each); each != "" {
			out = append(out, each)
		}
	}
	return out
}

// windowsOf reads the parameters of BeginTask about time.
func windowsOf(p tenancy.Params, now time.Time) ([]tenancy.Window, error) {
	w := tenancy.Window{Rule: p["rule"], Zone: p["zone"]}
	if text, ok := p["for"]; ok {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("%w: maintenance for %.40q, want a time such as 2h", tenancy.ErrInvalid, text)
		}
		w.Length = d
	}
	for _, limit := range []struct {
		name string
		to   *time.Time
	}{{"from", &w.Start}, {"until", &w.End}} {
		if text, ok := p[limit.name]; ok {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return nil, fmt.Errorf("%w: maintenance %s %.40q, want a time such as 2027-01-31T02:00:00Z", tenancy.ErrInvalid, limit.name, text)
			}
			*limit.to = t
		}
	}
	switch {
	case w.Rule != "":
		if w.Length == 0 {
			return nil, fmt.Errorf("%w: maintenance with a rule needs the parameter for, its length, such as 2h", tenancy.ErrInvalid)
		}
		if _, err := newWindow(w); err != nil {
			return nil, err
		}
		return []tenancy.Window{w}, nil
	case w.Zone != "":
		return nil, fmt.Errorf("%w: the parameter zone without a rule", tenancy.ErrInvalid)
	case w.Length == 0 && w.Start.IsZero() && w.End.IsZero():
		return nil, nil
	case w.Length != 0 && !w.End.IsZero():
		return nil, fmt.Errorf("%w: maintenance with an end and a length, want one of them", tenancy.ErrInvalid)
	}
	if w.Start.IsZero() {
		w.Start = now
	}
	if w.Length != 0 {
		w.End, w.Length = w.Start.Add(w.Length), 0
	}
	if !w.End.IsZero() && !w.End.After(w.Start) {
		return nil, fmt.Errorf("%w: maintenance ends before it begins", tenancy.ErrInvalid)
	}
	return []tenancy.Window{w}, nil
}
