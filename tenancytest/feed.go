package tenancytest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
)

// TestFeed tests a feed of present usage. Open returns two ends of a new and empty one,
// such as those of two processes.
func TestFeed(t *testing.T, open func(t *testing.T) (instance, watcher analytics.Feed)) {
	t.Run("pulses", func(t *testing.T) {
		t.Parallel()
		instance, watcher := open(t)
		if watched, err := instance.Watched(t.Context()); err != nil || watched {
			t.Errorf("before anybody watches: got %v, %v", watched, err)
		}
		if got, err := watcher.Pulses(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("an empty feed: got %+v, %v", got, err)
		}
		if watched, err := instance.Watched(t.Context()); err != nil || !watched {
			t.Errorf("while somebody watches: got %v, %v", watched, err)
		}
		counts := analytics.PulseCounts{Requests: 7, Errors: 1, LatencyTime: 1 << 40, BytesOut: 3, InFlight: 2}
		first := analytics.Pulse{Instance: -5, Name: "a é", Epoch: 1, Sequence: 1, Uptime: time.Second, CPU: time.Minute, RSS: 1 << 33,
			Tenants: map[tenancy.ID]analytics.PulseCounts{"acme": counts, analytics.Application: {Requests: 1}}}
		second := analytics.Pulse{Instance: 1 << 62, Name: "b", Epoch: 3, Sequence: 2, Tenants: map[tenancy.ID]analytics.PulseCounts{}}
		newer := first
		newer.Sequence, newer.Tenants = 2, map[tenancy.ID]analytics.PulseCounts{"globex": counts}
		for _, p := range []*analytics.Pulse{&first, &second, &newer} {
			if err := instance.Put(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		got, err := watcher.Pulses(t.Context())
		if diff := cmp.Diff([]analytics.Pulse{newer, second}, got); err != nil || diff != "" {
			t.Errorf("got %v, want the newest of each instance (-want +got):\n%s", err, diff)
		}
	})
	t.Run("many tenants", func(t *testing.T) {
		t.Parallel()
		instance, watcher := open(t)
		p := analytics.Pulse{Instance: 1, Name: "a", Epoch: 1, Sequence: 1, Tenants: map[tenancy.ID]analytics.PulseCounts{}}
		for range 3000 {
			p.Tenants[tenancy.NewID()] = analytics.PulseCounts{Requests: 1 << 40, LatencyTime: 1 << 50, BytesOut: 1 << 50}
		}
		if err := instance.Put(t.Context(), &p); err != nil {
			t.Fatal(err)
		}
		got, err := watcher.Pulses(t.Context())
		if err != nil || len(got) != 1 || len(got[0].Tenants) != 3000 {
			t.Errorf("got %d pulses, %v, want one of 3,000 tenants", len(got), err)
		}
	})
}
