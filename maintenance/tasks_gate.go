package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
)

// BeginTask returns the task that begins maintenance of tenants. Its parameters, none of
// which is needed, are mode (closed or read_only), message and contact for clients, and
// for, after what time it ends by itself, such as 2h. Tenants that are being provisioned,
// and those that are archived, cannot take part.
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
			return g.Tenant(t.ID).Begin(ctx, m)
		},
	}
}

// EndTask returns the task that ends maintenance of tenants, and all that was planned. It
// takes no parameters.
func (g *Gate) EndTask() tenancy.Task {
	return tenancy.Task{Do: func(ctx context.Context, t *tenancy.Tenant, _ tenancy.Attempt) error { return g.Tenant(t.ID).End(ctx) }}
}

// maintenanceOf reads the parameters of BeginTask.
func maintenanceOf(p tenancy.Params, now time.Time) (tenancy.Maintenance, error) {
	m := tenancy.Maintenance{Mode: tenancy.MaintenanceClosed, Message: p["message"], Contact: p["contact"]}
	if mode, ok := p["mode"]; ok {
		m.Mode = tenancy.MaintenanceMode(mode)
	}
	if text, ok := p["for"]; ok {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return m, fmt.Errorf("%w: maintenance for %.40q, want a time such as 2h", tenancy.ErrInvalid, text)
		}
		m.Windows = []tenancy.Window{{Start: now, End: now.Add(d)}}
	}
	return m, only(p, "mode", "message", "contact", "for")
}
