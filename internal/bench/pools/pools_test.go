//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// The rate has what was answered within the window; the times are those of
// requests that began in it.
func TestTally(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	sum := tally{window: window{at(10), at(20)}}
	sum.add(at(1), at(2), nil)                   // before
	sum.add(at(9), at(12), nil)                  // answered within
	sum.add(at(8), at(13), nil)                  // likewise
	sum.add(at(12), at(15), nil)                 // both
	sum.add(at(19), at(24), nil)                 // begun within
	sum.add(at(13), at(14), errors.New("no"))    // failed
	sum.add(at(1), at(2), errors.New("earlier")) // failed before
	got := sum.sample()
	want := sample{requests: 3, rate: 0.3, errors: 1. / 3, p50: 3 * time.Second, p99: 5 * time.Second}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// An answer of another tenant is no measurement.
func TestWrongTenant(t *testing.T) {
	t.Parallel()
	sum := tally{window: window{time.Now(), time.Now().Add(time.Hour)}}
	sum.add(time.Now(), time.Now(), same(&tenancy.Tenant{ID: "acme"}, "acme"))
	if err := sum.end(t.Context()); err != nil {
		t.Errorf("the tenant's own: got %v, want no error", err)
	}
	sum.add(time.Now(), time.Now(), same(&tenancy.Tenant{ID: "acme"}, "globex"))
	if err := sum.end(t.Context()); !errors.Is(err, errWrongTenant) {
		t.Errorf("another's: got %v, want %v", err, errWrongTenant)
	}
}

// slow is a side that answers after a while.
type slow struct{ time.Duration }

func (s slow) with(context.Context, *tenancy.Tenant, func(*sqlx.DB) error) error {
	time.Sleep(s.Duration)
	return nil
}
func (s slow) note() string { return "" }
func (s slow) close()       {}

// A worker waits for its answers; a stream does not.
func TestWorkAndStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config{warm: time.Second, length: 100 * time.Second}
		s, tenant := slow{10 * time.Second}, &tenancy.Tenant{ID: "acme"}

		sum := &tally{window: c.window()}
		work(t.Context(), s, func() *tenancy.Tenant { return tenant }, sum)
		if got := sum.sample(); got.rate != 0.1 || got.p99 != 10*time.Second {
			t.Errorf("worker: got %+v, want 0.1 answers per second after 10 seconds each", got)
		}

		sum = &tally{window: c.window()}
		stream(t.Context(), s, tenant, newRand(0, 0), 4, sum)
		if n := len(sum.times); n < 350 || n > 450 {
			t.Errorf("stream: got %d requests in 100 seconds, want about 400", n)
		}
		if got := sum.sample(); got.p50 != 10*time.Second || got.p99 != 10*time.Second {
			t.Errorf("stream: got %+v, want 10 seconds each", got)
		}
	})
}

// perTenant with slots lets in as many requests as there are.
func TestSlots(t *testing.T) {
	t.Parallel()
	s := &perTenant{
		slots: make(chan struct{}, 1),
		open:  func(string) (*sqlx.DB, error) { return &sqlx.DB{}, nil },
	}
	s.dbs = map[tenancy.ID]*sqlx.DB{"acme": nil}
	err := s.with(t.Context(), &tenancy.Tenant{ID: "acme"}, func(*sqlx.DB) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		return s.with(ctx, &tenancy.Tenant{ID: "acme"}, func(*sqlx.DB) error { return errors.New("two at a time") })
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
}

// Every side is measured for real, for a moment.
func TestSides(t *testing.T) {
	t.Parallel()
	for engine, sides := range map[testserver.Engine]string{
		testserver.Postgres: "dbpool dbpool:MaxConns=1 noidle naive pgbouncer pgbouncer:default_pool_size=1", testserver.MariaDB: "dbpool noidle naive",
	} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			c := config{
				engine: engine, sides: strings.Fields(sides), length: 500 * time.Millisecond, rounds: 1, load: -1,
				tenants: 4, quiet: 3, rate: 10, budget: 2, dir: t.TempDir(),
			}
			need(t, &c)
			g, err := prepare(t.Context(), c, 4)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := g.close(); err != nil {
					t.Error(err)
				}
			})
			for _, name := range g.sides {
				checkSide(t, g, name)
			}
		})
	}
}

func checkSide(t *testing.T, g *ground, name string) {
	t.Helper()
	got, err := g.runLoad(t.Context(), name, load{workers: 3, tenants: 4}, 0)
	if err != nil || got.errors > 0 || got.p99 == 0 {
		t.Errorf("%s, load: got %+v, %v, want answers without errors", name, got, err)
	}
	quiet, noisy, err := g.runBeside(t.Context(), name, 2, tenfold, 0)
	if err != nil || quiet.p99 == 0 || quiet.errors > 0 || noisy.requests < 2*quiet.requests { // ten thirds of them
		t.Errorf("%s, noisy: got %+v beside %+v, %v, want answers, and more requests of the noisy tenant", name, quiet, noisy, err)
	}
	cold, err := g.burst(t.Context(), name)
	if err != nil || cold.errors > 0 || cold.dials < 4 {
		t.Errorf("%s, cold: got %+v, %v, want at least a dial for each of 4 tenants", name, cold, err)
	}
	if !isBouncer(name) && (cold.dials != 4 || cold.unused != 0) {
		t.Errorf("%s, cold: got %d dials, %d unused, want 4, all used", name, cold.dials, cold.unused)
	}
}

// need skips a test whose programs are missing, or fails it where the project's
// own test command has promised them. PgBouncer is never promised: then it is
// left out.
func need(t *testing.T, c *config) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a server")
	}
	if err := c.complete(); err != nil {
		t.Fatal(err)
	}
	err := c.engine.Find()
	if err != nil && os.Getenv("TENANCY_TEST_REQUIRE") == "1" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	good := func() config {
		return config{engine: testserver.Postgres, sides: []string{"dbpool"}, length: time.Second, rounds: 1, load: -1, tenants: 1000, quiet: 50, rate: 4}
	}
	for name, c := range map[string]struct {
		change func(*config)
		budget int
		need   int
		sides  string // "" when it is an error
	}{
		"loads":      {func(*config) {}, 90, 1000, "dbpool"},
		"one load":   {func(c *config) { c.load = 1 }, 90, 150, "dbpool"},
		"scaled":     {func(c *config) { c.tenants = 30 }, 90, 30, "dbpool"},
		"noisy":      {func(c *config) { c.noisy = true }, 90, 51, "dbpool"},
		"few noisy":  {func(c *config) { c.noisy, c.tenants = true, 11 }, 90, 11, "dbpool"},
		"cold":       {func(c *config) { c.cold = true }, 50, 200, "dbpool"},
		"mariadb":    {func(c *config) { c.engine, c.sides = testserver.MariaDB, nil }, 90, 1000, "dbpool noidle"},
		"both":       {change: func(c *config) { c.noisy, c.cold = true, true }},
		"no engine":  {change: func(c *config) { c.engine = "oracle" }},
		"no load":    {change: func(c *config) { c.load = 5 }},
		"no side":    {change: func(c *config) { c.sides = []string{"dbpool", "magic"} }},
		"settings":   {func(c *config) { c.sides = []string{"dbpool:MaxConns=1;MinIdle=1"} }, 90, 1000, "dbpool:MaxConns=1;MinIdle=1"},
		"no setting": {change: func(c *config) { c.sides = []string{"dbpool:x=1"} }},
		"no number":  {change: func(c *config) { c.sides = []string{"dbpool:MaxConns=a"} }},
		"nothing":    {change: func(c *config) { c.sides = []string{"noidle:MaxConns=1"} }},
		"bouncer":    {change: func(c *config) { c.engine, c.sides = testserver.MariaDB, []string{"pgbouncer:x=1"} }},
		"no tenants": {change: func(c *config) { c.noisy, c.tenants = true, 1 }},
		"no time":    {change: func(c *config) { c.length = 0 }},
	} {
		conf := good()
		c.change(&conf)
		err := conf.complete()
		if c.sides == "" {
			if err == nil {
				t.Errorf("%s: got no error", name)
			}
			continue
		}
		if err != nil || conf.budget != c.budget || conf.need() != c.need || strings.Join(conf.sides, " ") != c.sides {
			t.Errorf("%s: got %v, budget %d, %d tenants, sides %v, want %d, %d, %s", name, err, conf.budget, conf.need(), conf.sides, c.budget, c.need, c.sides)
		}
	}
}
