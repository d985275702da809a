package dbpool

import (
	"context"
	sqldriver "database/sql/driver"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
)

// slowConn takes a second for a query, and for each row and the end of the rows.
type slowConn struct {
	sqldriver.Conn
	left int
}

func (c *slowConn) QueryContext(context.Context, string, []sqldriver.NamedValue) (sqldriver.Rows, error) {
	time.Sleep(time.Second)
	return c, nil
}

func (c *slowConn) Columns() []string { return []string{"n"} }

func (c *slowConn) Next([]sqldriver.Value) error {
	time.Sleep(time.Second)
	if c.left--; c.left < 0 {
		return io.EOF
	}
	return nil
}

func (c *slowConn) Close() error { return nil }

// timing keeps the times of statements.
type timing []time.Duration

func (o *timing) ObserveWait(context.Context, tenancy.ID, time.Duration, error) {}
func (o *timing) ObserveRelease(tenancy.ID, time.Duration)                      {}
func (o *timing) ObserveStatement(_ context.Context, _ tenancy.ID, took time.Duration, _ bool, _ error) {
	*o = append(*o, took)
}

// A statement's time has that of its rows, and not what the application does between.
func TestObserverTakesTheDriversTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &timing{}
		inner := &slowConn{left: 2}
		c := &conn{
			inner: inner, query: inner,
			lane: &lane{observer: o, tenant: "acme", statements: sqltext.New("sqlite")},
		}
		rows, err := c.QueryContext(t.Context(), `SELECT n FROM notes`, nil)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next(nil) == nil {
			time.Sleep(time.Minute) // the application's
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if len(*o) != 1 || (*o)[0] != 4*time.Second {
			t.Errorf("got %v, want 4s once: the query, two rows and their end", *o)
		}
	})
}

// waits keeps the waits for connections.
type waits struct {
	timing
	all, held []time.Duration
	errs      int
}

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
		h := newHarness(t, 1, limits{budget: 1, dials: 1, queue: 10, wait: 5 * time.Second})
		defer h.close()
		h.server.delay = func() time.Duration { return time.Second }
		h.lanes[0].observer = o
		s := &connector{tenant: "t0", observer: o}
		s.lane.Store(h.lanes[0])
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
