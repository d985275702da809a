package analytics_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// street is a store with neighbours: noisy, and n0 to n7 on the server main, others on another. Noisy took 60 % of the
// server's statement time and of instance 1's processor time; n0 to n2 became slow in instance 1 alone.
type street struct {
	store tenancytest.UsageStore
	now   time.Time
}

func (s *street) part(id tenancy.ID, ago time.Duration, source, n int64, latency time.Duration, statements, cpu int64) analytics.Part {
	p := usageOf(id, s.now.Add(-ago), n, 0, latency)
	p.Source = source
	p.Counts.Values[analytics.StatementTime], p.Counts.Values[analytics.CPUTime] = statements, cpu
	return p
}

func newStreet(t *testing.T, store tenancytest.UsageStore) *street {
	t.Helper()
	var tenants []*tenancy.Tenant
	for i := range 10 {
		tenant := tenancytest.NewTenant(fmt.Sprintf("n%d", i))
		tenant.ID, tenant.Tags, tenant.Placement.Server = tenancy.ID(tenant.Slug), []string{[]string{"eu", "us"}[i%2]}, []string{"main", "main", "other"}[i/4]
		tenants = append(tenants, tenant)
	}
	noisy := tenancytest.NewTenant("noisy")
	noisy.ID, noisy.Tags, noisy.Placement.Server = "noisy", []string{"eu"}, "main"
	now, err := store.Write(t.Context(), &analytics.Batch{Tenants: append(tenants, noisy)})
	if err != nil {
		t.Fatal(err)
	}
	return &street{store, now.Truncate(time.Minute)}
}

func (s *street) write(t *testing.T, parts ...analytics.Part) {
	t.Helper()
	for id := range int64(2) {
		i := analytics.Instance{ID: id + 1, Name: fmt.Sprintf("instance %d", id+1), Interval: time.Second, Recorded: analytics.Columns()}
		b := &analytics.Batch{Instance: i}
		if id == 0 {
			b.Parts = parts
		}
		if _, err := s.store.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNeighbours(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		s := newStreet(t, store)
		reports := newReports(t, store)
		got, err := reports.Neighbours(t.Context(), tenancy.AllTenants(), time.Time{})
		if err != nil || len(got.Noisy) != 0 || got.Note == "" || got.Period.To.Before(s.now) {
			t.Fatalf("nobody did anything: got %+v, %v", got, err)
		}
		var parts []analytics.Part
		for i := range 8 {
			id := tenancy.ID(fmt.Sprintf("n%d", i))
			latency := 10 * time.Millisecond
			if i < 3 {
				latency = 100 * time.Millisecond
			}
			requests := int64(25)
			if i == 7 {
				requests = 19 // too few
			}
			parts = append(parts, s.part(id, 2*time.Hour, 1, 25, 10*time.Millisecond, 1000, 1000),
				s.part(id, 2*time.Minute, 1, requests, latency, 5_000, 5_000), s.part(id, 2*time.Minute, 2, 25, 10*time.Millisecond, 0, 5_000))
		}
		parts = append(parts, s.part("n8", 2*time.Minute, 1, 25, time.Second, 1_000_000, 0), // on the other server
			s.part("noisy", 3*time.Minute, 1, 1000, time.Second, 60_000, 61_000), s.part(analytics.Unattributed, 3*time.Minute, 1, 0, 0, 0, 20_000))
		s.write(t, parts...)
		if got, err = reports.Neighbours(t.Context(), tenancy.AllTenants(), s.now); err != nil {
			t.Fatal(err)
		}
		if !got.Period.To.Equal(s.now) || got.Period.To.Sub(got.Period.From) != 5*time.Minute ||
			got.Before.To != got.Period.From || !got.Before.From.Equal(got.Period.From.Add(-24*time.Hour).Truncate(time.Hour)) {
			t.Errorf("got the periods %+v and %+v", got.Period, got.Before)
		}
		if len(got.Noisy) != 2 {
			t.Fatalf("got %+v, want noisy, for two things", got.Noisy)
		}
		for _, n := range got.Noisy {
			on, compared, share, total := "main", 8, 0.6, 100_000.0
			if n.Resource == analytics.ResourceProcessor { // without n7, and of what nobody did
				on, compared, share, total = "instance 1", 7, 61.0/121, 121_000
			}
			if n.ID != "noisy" || n.On != on || n.Compared != compared || n.Share != share || n.Total.Value != total || n.Used.Value != share*total {
				t.Errorf("%s: got %+v %v of %v, want %v of %v on %s", n.Resource, n, n.Used, n.Total, share, total, on)
			}
			// Of all of their requests, half were fast, but the 95th percentile is slow.
			if n.SlowedTotal != 3 || len(n.Slowed) != 3 {
				t.Errorf("%s: got %+v, want n0, n1 and n2", n.Resource, n.Slowed)
				continue
			}
			for i, each := range n.Slowed {
				if each.ID != tenancy.ID(fmt.Sprintf("n%d", i)) || each.Factor < 8 || each.Factor > 12 || each.P95.Value < 80_000 || each.Before.Value > 12_000 || each.P95.Error == 0 {
					t.Errorf("%s: got %+v, want n%d ten times as slow", n.Resource, each, i)
				}
			}
		}
		// In a scope the total is that of its tenants alone, and no instance has a name.
		got, err = reports.Neighbours(t.Context(), tenancy.ByTags("eu"), s.now)
		if err != nil || len(got.Noisy) != 2 {
			t.Fatalf("eu: got %+v, %v, want noisy, for two things", got, err)
		}
		for _, n := range got.Noisy {
			if n.Total.Value > 81_000 || n.SlowedTotal != 2 || n.On != "main" && n.On != "" {
				t.Errorf("eu: got %+v, want only tenants with the tag", n)
			}
		}
		for _, scope := range []tenancy.Scope{{}, tenancy.ByTags("us"), tenancy.ByIDs("noisy")} {
			if got, err := reports.Neighbours(t.Context(), scope, s.now); err != nil || len(got.Noisy) != 0 {
				t.Errorf("%v: got %+v, %v, want nobody", scope, got, err)
			}
		}
		if got, err := reports.Neighbours(t.Context(), tenancy.AllTenants(), s.now.Add(-20*time.Minute)); err != nil || len(got.Noisy) != 0 {
			t.Errorf("before: got %+v, %v, want nobody", got, err)
		}
		for _, at := range []time.Time{s.now.Add(time.Hour), s.now.Add(-72 * time.Hour)} {
			if _, err := reports.Neighbours(t.Context(), tenancy.AllTenants(), at); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("at %v: got %v, want %v", at, err, tenancy.ErrInvalid)
			}
		}
	})
}

// One slow tenant of many is no finding, and neither is a tenant that took half.
func TestNeighboursThresholds(t *testing.T) {
	t.Parallel()
	store, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		slow, others int
		noisy        int64
		want         int
	}{
		{1, 5, 60_000, 0}, {1, 4, 60_000, 1}, {2, 8, 60_000, 1}, {0, 8, 60_000, 0}, {8, 8, 8 * 5_000, 0}, {8, 8, 8*5_000 + 1, 1},
	} {
		s := newStreet(t, store)
		at := s.now.Add(-time.Minute)
		var parts []analytics.Part
		for i := range 8 {
			id := tenancy.ID(fmt.Sprintf("n%d", i))
			if err := store.Forget(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			requests, latency := int64(20), time.Millisecond
			if i < tt.slow {
				latency = 2 * time.Millisecond
			}
			if i >= tt.others {
				requests = 0
			}
			parts = append(parts, s.part(id, time.Hour, 1, 20, time.Millisecond, 1, 0), s.part(id, 2*time.Minute, 1, requests, latency, 5_000, 0))
		}
		if err := store.Forget(t.Context(), "noisy"); err != nil {
			t.Fatal(err)
		}
		s = newStreet(t, store)
		s.write(t, append(parts, s.part("noisy", 2*time.Minute, 1, 0, 0, tt.noisy, 0))...)
		got, err := newReports(t, store).Neighbours(t.Context(), tenancy.AllTenants(), at.Add(time.Minute))
		if err != nil || len(got.Noisy) != tt.want {
			t.Errorf("%+v: got %+v, %v, want %d", tt, got.Noisy, err, tt.want)
		}
	}
}
