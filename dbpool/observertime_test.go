package dbpool

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// waits keeps the waits for connections, and for how long those were held.
type waits struct {
	all, held []time.Duration
	errs      int
}

func (o *waits) ObserveStatement(context.Context, tenancy.ID, time.Duration, bool, error) {}

func (o *waits) ObserveWait(_ context.Context, _ tenancy.ID, wait time.Duration, err error) {
	o.all = append(o.all, wait)
	if err != nil {
		o.errs++
	}
}

func (o *waits) ObserveRelease(_ tenancy.ID, held time.Duration) { o.held = append(o.held, held) }

// A wait is as long as it was, and nothing for a connection that is idle.
func TestObserverWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &waits{}
		engine, _ := NewFakeServer(t, 1, time.Second)
		p, err := New(map[string]driver.Engine{"main": engine}, &Options{Budget: 1, MaxDials: 1, MaxQueue: 10, MaxWait: 5 * time.Second, Observer: o})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.Close() }()
		if _, err := p.For(t.Context(), &tenancy.Tenant{ID: "t0", Placement: tenancy.Placement{Server: "main", Database: "t0"}}); err != nil {
			t.Fatal(err)
		}
		s := p.handles["t0"].connector
		for range 2 {
			c, err := s.Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		c, err := s.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Connect(t.Context()); err == nil {
			t.Error("got a connection beyond the budget")
		}
		_ = c.Close()
		if want := []time.Duration{time.Second, 0, 0, 5 * time.Second}; !slices.Equal(o.all, want) || o.errs != 1 {
			t.Errorf("got waits of %v, %d in vain, want %v, one in vain", o.all, o.errs, want)
		}
		if want := []time.Duration{time.Minute, time.Minute, 5 * time.Second}; !slices.Equal(o.held, want) {
			t.Errorf("got connections held for %v, want %v", o.held, want)
		}
	})
}
