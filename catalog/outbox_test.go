package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// service is a catalog with an outbox, as one process has them.
type service struct {
	*catalog.Catalog
	box *catalog.Outbox
}

// join returns a process over that database.
func join(t *testing.T, db *sqlx.DB, opts catalog.OutboxOptions, more catalog.Options) service {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	box, err := catalog.NewOutbox(db, &opts)
	if err != nil {
		t.Fatal(err)
	}
	more.Events = box
	cat, err := catalog.New(db, &more)
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return service{cat, box}
}

// run lets the outbox deliver until stop is called or the test ends. stop returns when
// Run has.
func (s service) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.box.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (s service) create(t *testing.T, slug string) tenancy.ID {
	t.Helper()
	made, err := s.Create(t.Context(), &tenancy.Tenant{Slug: slug, Status: tenancy.StatusActive})
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

func (s service) plan(t *testing.T, id tenancy.ID, plan string) {
	t.Helper()
	_, err := s.Edit(t.Context(), id, func(t *tenancy.Tenant) error { t.Plan = plan; return nil })
	if err != nil {
		t.Fatal(err)
	}
}

// settled waits until nothing is left to deliver.
func (s service) settled(t *testing.T) {
	t.Helper()
	testserver.Await(t, "nothing is left to deliver", func() bool {
		stat, err := s.box.Stat(t.Context())
		return err == nil && stat.Deliver.Pending == 0 && stat.Stream.Pending == 0 && stat.Deliver.Held == 0
	})
}

// versions are those of the events of a tenant, in the order in which they came.
func versions(events []catalog.Event, id tenancy.ID) (out []int64) {
	for _, e := range events {
		if e.Tenant == id {
			out = append(out, e.Version)
		}
	}
	return out
}

func TestEventsInMemoryConform(t *testing.T) {
	t.Parallel()
	tenancytest.TestEvents(t, func(t *testing.T, opts catalog.Options) (*catalog.Catalog, *tenancytest.Events) {
		events := &tenancytest.Events{}
		opts.Events = events
		cat, err := catalog.NewWithStore(tenancytest.NewStore(), &opts)
		if err != nil {
			t.Fatal(err)
		}
		return cat, events
	})
}

func TestOutboxConforms(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, server *tenancytest.Server) {
		tenancytest.TestEvents(t, func(t *testing.T, opts catalog.Options) (*catalog.Catalog, *tenancytest.Events) {
			events := &tenancytest.Events{}
			s := join(t, server.Database(t), catalog.OutboxOptions{Deliver: events.Deliver}, opts)
			s.run(t)
			return s.Catalog, events
		})
	})
}

// A change whose event cannot be written is not made.
func TestNoEventNoChange(t *testing.T) {
	t.Parallel()
	cat, err := catalog.NewWithStore(tenancytest.NewStore(), &catalog.Options{Events: &tenancytest.Events{Err: tenancy.ErrConflict}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = cat.Create(t.Context(), &tenancy.Tenant{ID: "acme", Slug: "acme"})
	if !errors.Is(err, tenancy.ErrUnavailable) || errors.Is(err, tenancy.ErrConflict) {
		t.Errorf("Create: got %v, want ErrUnavailable alone", err)
	}
	if _, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: "acme"}); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("Find: got %v, want ErrNotFound", err)
	}
	tenancytest.EachEngine(t, func(t *testing.T, server *tenancytest.Server) {
		db := server.Database(t)
		s := join(t, db, catalog.OutboxOptions{}, catalog.Options{})
		if _, err := db.ExecContext(t.Context(), `DROP TABLE tenancy_outbox`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(t.Context(), &tenancy.Tenant{ID: "acme", Slug: "acme"}); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("Create: got %v, want ErrUnavailable", err)
		}
		if _, err := s.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: "acme"}); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("Find: got %v, want ErrNotFound", err)
		}
	})
}

// One tenant's events fail, panic, or hang: those of others flow, and in the end all were
// delivered in order.
func TestOneTenantsFailureIsItsOwn(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(context.Context) error{
		"fails":            func(context.Context) error { return errors.New("the consumer is down") },
		"panics":           func(context.Context) error { panic("planted") },
		"hangs":            func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"invalid":          func(context.Context) error { return tenancy.ErrInvalid },
		"another conflict": func(context.Context) error { return tenancy.ErrConflict },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenancytest.EachEngine(t, func(t *testing.T, server *tenancytest.Server) {
				if name != "fails" && name != "hangs" && server.Name != "sqlite" {
					t.Skip("on SQLite alone")
				}
				events := &tenancytest.Events{}
				var bad atomic.Value
				var broken atomic.Bool
				broken.Store(true)
				s := join(t, server.Database(t), catalog.OutboxOptions{
					Parallel: 1, Timeout: 50 * time.Millisecond, RetryFrom: time.Millisecond, RetryMost: 20 * time.Millisecond,
					Deliver: func(ctx context.Context, e catalog.Event) error {
						if e.Tenant == bad.Load() && e.Version == 2 && broken.Load() {
							return fail(ctx)
						}
						return events.Deliver(ctx, e)
					},
				}, catalog.Options{})
				sick := s.create(t, "sick")
				bad.Store(sick)
				const n = 100 // more than a line has in memory
				for i := range n {
					s.plan(t, sick, fmt.Sprint(i))
				}
				var well []tenancy.ID
				for i := range 3 {
					well = append(well, s.create(t, fmt.Sprintf("well-%d", i)))
				}
				s.run(t)
				for i := range 5 {
					for _, id := range well {
						s.plan(t, id, fmt.Sprint(i))
					}
				}
				events.Wait(t, "the others' events", func(e *tenancytest.Events) bool {
					return !slices.ContainsFunc(well, func(id tenancy.ID) bool { return len(e.Of(id)) < 6 })
				})
				testserver.Await(t, "the tenant is held", func() bool {
					stat, err := s.box.Stat(t.Context())
					return err == nil && stat.Deliver.Held == 1 && stat.Failed > 2 && stat.Deliver.Pending >= n
				})
				if got := versions(events.All(), sick); !slices.Equal(got, []int64{1}) {
					t.Errorf("events of the sick tenant: got %v, want the first alone", got)
				}
				broken.Store(false)
				events.Wait(t, "the sick tenant's events", func(e *tenancytest.Events) bool { return len(e.Of(sick)) == n+1 })
				s.settled(t)
				for _, id := range append(well, sick) {
					if got := versions(events.All(), id); !slices.IsSorted(got) {
						t.Errorf("versions in the order of delivery: got %v", got)
					}
				}
			})
		})
	}
}

// A call that ignores the end of its context loses its place, and its tenant's events
// wait for it alone.
func TestCallThatNeverReturns(t *testing.T) {
	t.Parallel()
	events := &tenancytest.Events{}
	stuck := make(chan struct{})
	var bad atomic.Value
	bad.Store(tenancy.ID(""))
	var calls atomic.Int64
	server := tenancytest.NewServer(t, "sqlite")
	s := join(t, server.Database(t), catalog.OutboxOptions{
		Parallel: 1, Timeout: time.Millisecond, RetryFrom: time.Millisecond,
		Deliver: func(ctx context.Context, e catalog.Event) error {
			if e.Tenant == bad.Load() {
				calls.Add(1)
				<-stuck
			}
			return events.Deliver(ctx, e)
		},
	}, catalog.Options{})
	sick := s.create(t, "sick")
	bad.Store(sick)
	s.run(t)
	testserver.Await(t, "the call is overdue", func() bool {
		stat, err := s.box.Stat(t.Context())
		return err == nil && stat.Overdue == 1
	})
	s.plan(t, sick, "gold")
	well := s.create(t, "well")
	events.Wait(t, "the other's event", func(e *tenancytest.Events) bool { return len(e.Of(well)) == 1 })
	if n := calls.Load(); n != 1 {
		t.Errorf("the sick tenant: got %d calls at once, want 1", n)
	}
	close(stuck)
	s.settled(t)
	if got := versions(events.All(), sick); !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("got versions %v, want 1 and 2", got)
	}
	if stat, err := s.box.Stat(t.Context()); err != nil || stat.Overdue != 0 {
		t.Errorf("got %+v and %v, want nothing overdue", stat, err)
	}
}

// Of two instances one delivers, and when it ends the other goes on: all events in order,
// and each once, because the first ended in peace.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, server *tenancytest.Server) {
		db := server.Database(t)
		events := &tenancytest.Events{}
		var instances [2]service
		var delivered [2]atomic.Int64
		for i := range instances {
			instances[i] = join(t, db, catalog.OutboxOptions{Deliver: func(ctx context.Context, e catalog.Event) error {
				delivered[i].Add(1)
				return events.Deliver(ctx, e)
			}}, catalog.Options{})
		}
		stops := [2]func(){instances[0].run(t), instances[1].run(t)}
		id := instances[0].create(t, "acme")
		for i := range 20 {
			instances[i%2].plan(t, id, fmt.Sprint(i))
		}
		instances[0].settled(t)
		first := 0
		if delivered[1].Load() > 0 {
			first = 1
		}
		if n := delivered[1-first].Load(); n != 0 {
			t.Errorf("both deliver: %d and %d", delivered[first].Load(), n)
		}
		stops[first]()
		for i := range 20 {
			instances[i%2].plan(t, id, fmt.Sprint(-i-1))
		}
		instances[0].settled(t)
		got := versions(events.All(), id)
		if len(got) != 41 || !slices.IsSorted(got) || delivered[1-first].Load() != 20 {
			t.Errorf("got versions %v, %d of them from the second", got, delivered[1-first].Load())
		}
	})
}

// Whoever lost the lease marks nothing any more.
func TestLostLeaseMarksNothing(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, server *tenancytest.Server) {
		db := server.Database(t)
		began, goOn := make(chan struct{}, 10), make(chan struct{})
		s := join(t, db, catalog.OutboxOptions{Deliver: func(context.Context, catalog.Event) error {
			began <- struct{}{}
			<-goOn
			return nil
		}}, catalog.Options{})
		s.create(t, "acme")
		stop := s.run(t)
		<-began
		if _, err := db.ExecContext(t.Context(), `UPDATE tenancy_outbox_leases SET token = token + 1, holder = 'another', expires_at = 9000000000000000`); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		stop()
		var at int64
		if err := db.GetContext(t.Context(), &at, `SELECT delivered_at FROM tenancy_outbox`); err != nil || at != 0 {
			t.Errorf("got delivered_at %d and %v, want 0", at, err)
		}
	})
}

// Calls that had lost their place count no longer when the lease is another's.
func TestLostLeaseWithOverdueCall(t *testing.T) {
	t.Parallel()
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	stuck := make(chan struct{})
	defer close(stuck)
	var sick atomic.Value
	s := join(t, db, catalog.OutboxOptions{Timeout: time.Millisecond, Deliver: func(_ context.Context, e catalog.Event) error {
		if e.Tenant == sick.Load() {
			<-stuck
		}
		return nil
	}}, catalog.Options{})
	sick.Store(s.create(t, "acme"))
	s.run(t)
	overdue := func(n int64) func() bool {
		return func() bool {
			stat, err := s.box.Stat(t.Context())
			return err == nil && stat.Overdue == n
		}
	}
	testserver.Await(t, "the call is overdue", overdue(1))
	if _, err := db.ExecContext(t.Context(), `UPDATE tenancy_outbox_leases SET token = token + 1, holder = 'another', expires_at = 9000000000000000`); err != nil {
		t.Fatal(err)
	}
	s.create(t, "globex") // whose event is delivered, and cannot be marked
	testserver.Await(t, "nothing is overdue", overdue(0))
}

// memoryStream is a stream that fails when it is told to.
type memoryStream struct {
	tenancytest.Events

	fail atomic.Int64
}

func (s *memoryStream) Append(ctx context.Context, events []catalog.Event) error {
	if s.fail.Add(-1) >= 0 {
		return tenancy.ErrConflict
	}
	for _, e := range events {
		if err := s.Deliver(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// The stream gets all events in order, whatever happens to the function.
func TestStreamBesideFunction(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, server *tenancytest.Server) {
		stream := &memoryStream{}
		stream.fail.Store(3)
		s := join(t, server.Database(t), catalog.OutboxOptions{
			RetryFrom: time.Millisecond, Stream: stream,
			Deliver: func(context.Context, catalog.Event) error { return errors.New("down") },
		}, catalog.Options{})
		id := s.create(t, "acme")
		s.run(t)
		for i := range 300 {
			s.plan(t, id, fmt.Sprint(i))
		}
		stream.Wait(t, "all events", func(e *tenancytest.Events) bool { return len(e.All()) >= 301 })
		for i, v := range versions(stream.All(), id) {
			if v != int64(i+1) {
				t.Fatalf("event %d: got version %d, want %d", i, v, i+1)
			}
		}
		testserver.Await(t, "the stream has no more to get", func() bool {
			stat, err := s.box.Stat(t.Context())
			return err == nil && stat.Stream.Pending == 0 && stat.Streamed == 301 && stat.StreamFailed == 3 && stat.Deliver.Pending == 301
		})
	})
}

// Events are removed when their time is over and both have them, and not before.
func TestDeliveredEventsAreRemoved(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, server *tenancytest.Server) {
		db := server.Database(t)
		stream := &memoryStream{}
		stream.fail.Store(1 << 60)
		events := &tenancytest.Events{}
		s := join(t, db, catalog.OutboxOptions{Deliver: events.Deliver, Stream: stream, Keep: -1, RetryFrom: time.Millisecond, RetryMost: 5 * time.Millisecond},
			catalog.Options{})
		s.run(t)
		s.create(t, "acme")
		left := func() (n int) {
			if err := db.GetContext(t.Context(), &n, `SELECT COUNT(*) FROM tenancy_outbox`); err != nil {
				t.Fatal(err)
			}
			return n
		}
		testserver.Await(t, "the function has it, and the stream failed", func() bool {
			stat, err := s.box.Stat(t.Context())
			return err == nil && stat.Deliver.Pending == 0 && stat.StreamFailed > 3
		})
		_, err := db.ExecContext(t.Context(), `INSERT INTO tenancy_outbox (id, tenant_id, version, kind, time, actor, changes, delivered_at, streamed_at)
			SELECT 'done', 'done', 1, kind, time + 1, actor, changes, 1, 1 FROM tenancy_outbox`)
		if err != nil {
			t.Fatal(err)
		}
		testserver.Await(t, "the one behind it is removed", func() bool { return left() < 2 })
		if left() != 1 {
			t.Fatal("the event was removed before the stream had it")
		}
		stream.fail.Store(0)
		testserver.Await(t, "the event is removed", func() bool { return left() == 0 })
	})
}

// Check says that events wait, for whom, and why.
func TestOutboxCheck(t *testing.T) {
	t.Parallel()
	server := tenancytest.NewServer(t, "sqlite")
	s := join(t, server.Database(t), catalog.OutboxOptions{
		Late: time.Microsecond, Deliver: func(context.Context, catalog.Event) error { return errors.New("planted") },
	}, catalog.Options{})
	if err := s.box.Check(t.Context()); err != nil {
		t.Errorf("nothing waits: got %v", err)
	}
	s.create(t, "acme")
	if err := s.box.Check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) || !strings.Contains(err.Error(), "1 events wait for the function") {
		t.Errorf("nobody runs: got %v", err)
	}
	s.run(t)
	testserver.Await(t, "the problem is named", func() bool {
		err := s.box.Check(t.Context())
		return err != nil && strings.Contains(err.Error(), "planted")
	})
}

func TestOutboxRefuses(t *testing.T) {
	t.Parallel()
	server := tenancytest.NewServer(t, "sqlite")
	db := server.Database(t)
	for name, opts := range map[string]catalog.OutboxOptions{
		"poll": {Poll: -1}, "parallel": {Parallel: -1}, "too parallel": {Parallel: 1001}, "timeout": {Timeout: -1}, "retry": {RetryFrom: -1}, "late": {Late: -1},
	} {
		if _, err := catalog.NewOutbox(db, &opts); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := catalog.NewOutbox(nil, nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no database: got %v, want ErrInvalid", err)
	}
	box, err := catalog.NewOutbox(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Run(t.Context()); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("Run with nobody to deliver to: got %v, want ErrInvalid", err)
	}
	if _, err := catalog.New(server.Database(t), &catalog.Options{Events: box}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("another database: got %v, want ErrInvalid", err)
	}
	if err := box.WriteEvent(t.Context(), nil, catalog.Event{}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no transaction: got %v, want ErrInvalid", err)
	}
}
