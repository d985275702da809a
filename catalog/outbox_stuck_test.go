package catalog_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// An event that is refused for ever can be looked at and skipped, with an entry of the
// audit; the events behind it are delivered then, long before it would have been tried again.
func TestSkipStuckEvent(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, server *tenancytest.Server) {
		db := server.Database(t)
		trail, err := audit.New(db, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := trail.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		events := &tenancytest.Events{}
		s := join(t, db, catalog.OutboxOptions{
			Deliver: func(ctx context.Context, e catalog.Event) error {
				if e.Kind == "tenant.plan" && e.Version == 2 {
					return errors.New("the consumer\ndoes not like it")
				}
				return events.Deliver(ctx, e)
			},
			RetryFrom: time.Hour, RetryMost: time.Hour, Audit: trail,
		}, catalog.Options{})
		id := s.create(t, "acme")
		for _, plan := range []string{"a", "b", "c"} {
			s.plan(t, id, plan)
		}
		other := join(t, db, catalog.OutboxOptions{Audit: trail}, catalog.Options{}) // a process that delivers nothing
		if err := other.box.Skip(t.Context(), id, "x"); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("nothing is stuck yet: got %v, want ErrNotFound", err)
		}
		s.run(t)
		var stuck []catalog.StuckEvent
		testserver.Await(t, "an event is stuck with two behind it", func() bool {
			stuck, err = other.box.Stuck(t.Context())
			return err != nil || len(stuck) == 1 && stuck[0].Waiting == 2
		})
		if err != nil {
			t.Fatal(err)
		}
		e := stuck[0]
		if e.Event.Tenant != id || e.Event.Version != 2 || e.Attempts != 1 || e.Problem != "the consumer does not like it" || time.Until(e.Next) < 50*time.Minute {
			t.Errorf("got %+v", e)
		}
		if err := other.box.Skip(t.Context(), id, "x"); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("another event: got %v, want ErrConflict", err)
		}
		ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada", Reason: "billing knows"})
		if err := other.box.Skip(ctx, id, e.Event.ID); err != nil {
			t.Fatal(err)
		}
		s.settled(t)
		if got := versions(events.All(), id); !slices.Equal(got, []int64{1, 3, 4}) {
			t.Errorf("got versions %v, want 1, 3 and 4", got)
		}
		if stuck, err := s.box.Stuck(t.Context()); err != nil || len(stuck) != 0 {
			t.Errorf("afterwards: got %+v, %v", stuck, err)
		}
		var found []tenancy.Entry
		for entry, err := range trail.Entries(t.Context(), audit.Filter{Tenant: id}) {
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, entry)
		}
		if len(found) != 1 || found[0].Action != "event.skip" || found[0].Object != e.Event.ID || found[0].Actor.ID != "ada" || found[0].Result != tenancy.AuditDone {
			t.Errorf("got entries %+v, want one of the skipped event", found)
		}
	})
}

// An event that is skipped while it is tried once more, and fails, is given up all the same: the
// events behind it do not wait until it would have been tried again, and none of them is stuck.
func TestSkipDuringAnAttempt(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, server *tenancytest.Server) {
		db := server.Database(t)
		events := &tenancytest.Events{}
		tried, release := make(chan struct{}, 10), make(chan struct{})
		var again atomic.Bool
		s := join(t, db, catalog.OutboxOptions{
			Deliver: func(ctx context.Context, e catalog.Event) error {
				if e.Version != 2 {
					return events.Deliver(ctx, e)
				}
				if again.Load() {
					tried <- struct{}{}
					<-release
				}
				return errors.New("the consumer does not like it")
			},
			RetryFrom: time.Hour, RetryMost: time.Hour,
		}, catalog.Options{})
		id := s.create(t, "acme")
		for _, plan := range []string{"a", "b", "c"} {
			s.plan(t, id, plan)
		}
		stop := s.run(t)
		var stuck []catalog.StuckEvent
		testserver.Await(t, "an event is stuck", func() (ok bool) {
			var err error
			stuck, err = s.box.Stuck(t.Context())
			return err == nil && len(stuck) == 1
		})
		stop()
		again.Store(true)
		if _, err := db.ExecContext(t.Context(), `UPDATE tenancy_outbox_held SET due_at = 1`); err != nil {
			t.Fatal(err)
		}
		s.run(t)
		<-tried
		if err := s.box.Skip(t.Context(), id, stuck[0].Event.ID); err != nil {
			t.Fatal(err)
		}
		close(release)
		s.settled(t)
		if got := versions(events.All(), id); !slices.Equal(got, []int64{1, 3, 4}) {
			t.Errorf("got versions %v, want 1, 3 and 4", got)
		}
		if n := len(tried); n != 0 {
			t.Errorf("the event that was skipped was tried %d times more", n)
		}
	})
}
