package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
)

// BeginTask returns the task that begins or plans maintenance of tenants. Its parameters,
// none of which is needed, are mode (closed or read_only), message and contact for
// clients, and its times:
//
//   - for: it begins now and ends by itself after this time, such as 2h
//   - from and until, in the form of RFC 3339: it begins then and ends then; without
//     until it lasts until somebody ends it
//   - rule, zone and for: it comes again and again, at the times of the cron expression
//     in the time zone (default: UTC), and lasts so long each time; from and until bound
//     the times at which it begins
//
// Without any of them it begins now and lasts until somebody ends it. Tenants that are
// being provisioned, and those that are archived, cannot take part. What a run has begun stays
// as it is where the run does the task again.
func (g *Gate) BeginTask() tenancy.Task {
	return tenancy.Task{
		Eligible: lives,
		Validate: func(p tenancy.Params) error {
			m, err := maintenanceOf(p, time.Now())
			if err != nil {
				return err
			}
			m.Generation = "probe"
			return m.Validate()
		},
		Do: func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
			m, err := maintenanceOf(a.Params, time.Now())
			if err != nil {
				return err
			}
			return g.Tenant(t.ID).by(a).Begin(ctx, m)
		},
	}
}

// EndTask returns the task that ends maintenance of tenants, and all that was planned. It
// takes no parameters.
func (g *Gate) EndTask() tenancy.Task {
	return tenancy.Task{Do: func(ctx context.Context, t *tenancy.Tenant, _ tenancy.Attempt) error { return g.Tenant(t.ID).End(ctx) }}
}

// ParseParams returns the maintenance that the parameters of [Gate.BeginTask] describe, for
// [Scope.Begin]; times that they leave open count from now. What cannot be read is an
// error that wraps [tenancy.ErrInvalid].
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
	return m, only(p, "mode", "message", "contact", "for", "from", "until", "rule", "zone")
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
	for name, to := range map[string]*time.Time{"from": &w.Start, "until": &w.End} {
		if text, ok := p[name]; ok {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return nil, fmt.Errorf("%w: maintenance %s %.40q, want a time such as 2027-01-31T02:00:00Z", tenancy.ErrInvalid, name, text)
			}
			*to = t
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
