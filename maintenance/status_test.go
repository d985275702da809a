package maintenance_test

import (
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance"
)

func TestStatusOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(h int) time.Time { return now.Add(time.Duration(h) * time.Hour) }
	for name, tt := range map[string]struct {
		m    *tenancy.Maintenance
		want maintenance.Status
	}{
		"none":            {nil, maintenance.Status{}},
		"until it ends":   {&tenancy.Maintenance{}, maintenance.Status{InForce: true}},
		"a window":        {&tenancy.Maintenance{Windows: []tenancy.Window{{Start: at(-1), End: at(2)}}}, maintenance.Status{InForce: true, EndsAt: at(2)}},
		"windows touch":   {&tenancy.Maintenance{Windows: []tenancy.Window{{Start: at(-1), End: at(2)}, {Start: at(2), End: at(3)}}}, maintenance.Status{InForce: true, EndsAt: at(3)}},
		"planned":         {&tenancy.Maintenance{Windows: []tenancy.Window{{Start: at(1), End: at(2)}}}, maintenance.Status{NextAt: at(1), NextEndsAt: at(2)}},
		"over":            {&tenancy.Maintenance{Windows: []tenancy.Window{{Start: at(-2), End: at(-1)}}}, maintenance.Status{}},
		"a rule":          {&tenancy.Maintenance{Windows: []tenancy.Window{{Rule: "0 18 * * *", Length: time.Hour}}}, maintenance.Status{NextAt: at(6), NextEndsAt: at(7)}},
		"cannot be read":  {&tenancy.Maintenance{Windows: []tenancy.Window{{Rule: "x", Length: time.Hour}}}, maintenance.Status{InForce: true}},
		"open, no end":    {&tenancy.Maintenance{Windows: []tenancy.Window{{Start: at(-1)}}}, maintenance.Status{InForce: true}},
		"planned, no end": {&tenancy.Maintenance{Windows: []tenancy.Window{{Start: at(1)}}}, maintenance.Status{NextAt: at(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := maintenance.StatusOf(tt.m, now)
			tt.want.Record = tt.m
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
