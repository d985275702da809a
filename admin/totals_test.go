package admin_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// steadyFeed says of each tenant that it has so many requests in flight.
type steadyFeed struct {
	inFlight map[tenancy.ID]int64
	pulses   atomic.Int64
}

func (*steadyFeed) Watched(context.Context) (bool, error)       { return true, nil }
func (*steadyFeed) Put(context.Context, *analytics.Pulse) error { return nil }

func (f *steadyFeed) Pulses(context.Context) ([]analytics.Pulse, error) {
	n := f.pulses.Add(1)
	p := analytics.Pulse{Instance: 1, Name: "one", Epoch: 1, Sequence: n, Uptime: time.Duration(n) * time.Second, Tenants: map[tenancy.ID]analytics.PulseCounts{}}
	for id, in := range f.inFlight {
		p.Tenants[id] = analytics.PulseCounts{Requests: n, InFlight: in}
	}
	return []analytics.Pulse{p}, nil
}

// The totals are those of the operator's scope, and no tenant is named.
func TestTotals(t *testing.T) {
	t.Parallel()
	feed := &steadyFeed{inFlight: map[tenancy.ID]int64{"t-aaa": 3, "t-bbb": 5}}
	var reports *analytics.Reports
	c := newConsoleWith(t, tenancytest.NewServer(t, "sqlite"), feed, func(o *admin.Options) { reports = o.Reports })
	c.keep(t) // so that the reports know the tenants
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = reports.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	server := c.serve(t)
	for topic, tenants := range map[string]int{"totals": 0, "now": 1} {
		lines := c.as(t, auth.RoleViewer, tenancy.ByIDs(c.a.ID)).stream(t, server, topic)
		found := false
		for frames := 0; !found && frames < 100 && lines.Scan(); {
			text, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			frames++
			var frame struct{ Data analytics.Live }
			if err := json.Unmarshal([]byte(text), &frame); err != nil {
				t.Fatal(err)
			}
			in := frame.Data.Total[analytics.InFlight.String()]
			if found = in != nil && in.Value == 3; found && len(frame.Data.Tenants) != tenants {
				t.Errorf("%s: got %d tenants, want %d: %s", topic, len(frame.Data.Tenants), tenants, text)
			}
			if strings.Contains(text, "bbb") || in != nil && in.Value > 3 {
				t.Errorf("%s: got %s, want nothing of another scope", topic, text)
			}
		}
		if !found {
			t.Errorf("%s: no frame had the figures of the scope", topic)
		}
	}
}
