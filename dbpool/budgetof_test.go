package dbpool

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// Servers that share a budget do not share a breaker.
func TestServersOfOneBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up := &fakeServer{t: t, budget: 4}
		down := &fakeServer{t: t, budget: 4, fail: func() error { return fmt.Errorf("down") }, delay: func() time.Duration { return time.Millisecond }}
		p, err := New(map[string]driver.Engine{"up": up, "down": down, "apart": up}, &Options{
			Budget: 4, Logger: slog.New(slog.DiscardHandler),
			Servers: map[string]ServerOptions{"down": {BudgetOf: "up"}, "apart": {Budget: 1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		use := func(server string, i int) error {
			name := fmt.Sprintf("%s%d", server, i)
			db, err := p.For(t.Context(), &tenancy.Tenant{ID: tenancy.ID(name), Placement: tenancy.Placement{Server: server, Database: name}})
			if err != nil {
				return err
			}
			return db.PingContext(t.Context())
		}
		for i := range 20 {
			if err := use("down", i); err == nil {
				t.Error("a server that is down: got no error")
			}
			if err := use("up", i); err != nil {
				t.Errorf("the other: %v", err)
			}
		}
		if n := down.dials.Load(); n > 4 {
			t.Errorf("got %d dials to the server that is down, want its breaker open", n)
		}
		got, want := p.Stat("down"), p.Stat("up")
		if got.Breaker != "open" || want.Breaker != "closed" {
			t.Errorf("got breakers %s and %s, want one open", got.Breaker, want.Breaker)
		}
		got.Breaker = want.Breaker
		if got != want || got.Budget != 4 || got.Conns != 4 {
			t.Errorf("got %+v and %+v, want one budget of 4 that is used up", got, want)
		}
		if got := p.Stat("apart"); got.Budget != 1 {
			t.Errorf("got %+v, want a budget of 1", got)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestServerOptionsAreChecked(t *testing.T) {
	t.Parallel()
	s := &fakeServer{t: t}
	for name, o := range map[string]map[string]ServerOptions{
		"unknown server":     {"b": {}},
		"negative budget":    {"a": {Budget: -1}},
		"negative conns":     {"a": {MaxConns: -1}},
		"budget of nobody":   {"a": {BudgetOf: "b"}},
		"budget of itself":   {"a": {BudgetOf: "a"}},
		"two budgets":        {"c": {BudgetOf: "a", Budget: 2}},
		"budget of a sharer": {"a": {BudgetOf: "c"}, "c": {BudgetOf: "a"}},
	} {
		if _, err := New(map[string]driver.Engine{"a": s, "c": s}, &Options{Servers: o}); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

// An error says which option is wrong.
func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	s := &fakeServer{t: t}
	for name, o := range map[string]Options{
		"Budget": {Budget: -1}, "Shared": {Shared: -1}, "MaxConns": {MaxConns: -1}, "MinIdle": {MinIdle: -1}, "MaxDials": {MaxDials: -1},
		"MaxQueue": {MaxQueue: -1}, "TenantMetrics": {TenantMetrics: -1}, "MaxWait": {MaxWait: -1},
		"BudgetOf": {Servers: map[string]ServerOptions{"c": {BudgetOf: "a", Budget: 2}}},
	} {
		if _, err := New(map[string]driver.Engine{"a": s, "c": s}, &o); !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want ErrInvalid that names it", name, err)
		}
	}
}
