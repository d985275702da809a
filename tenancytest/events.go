package tenancytest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

// Events collects the events of changes. Beside a store in memory it is a
// [catalog.EventWriter]; beside a [catalog.Outbox], its method Deliver is what to
// deliver to. The zero Events is empty and ready to use, by many goroutines at once.
type Events struct {
	// Err, if it is set before the first use, is what each call fails with.
	Err error

	mu     sync.Mutex // guards what follows
	events []catalog.Event
	more   chan struct{} // closed when there is one more
}

var _ catalog.EventWriter = (*Events)(nil)

// WriteEvent keeps the event at once.
func (e *Events) WriteEvent(ctx context.Context, _ *sql.Tx, event catalog.Event) error {
	return e.Deliver(ctx, event)
}

// Deliver keeps the event.
func (e *Events) Deliver(_ context.Context, event catalog.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Err != nil {
		return e.Err
	}
	e.events = append(e.events, event)
	if e.more != nil {
		close(e.more)
		e.more = nil
	}
	return nil
}

// All returns all events in the order in which they came, as often as they did.
func (e *Events) All() []catalog.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.events)
}

// Of returns the events of a tenant, each once.
func (e *Events) Of(id tenancy.ID) []catalog.Event {
	var out []catalog.Event
	for _, event := range e.All() {
		again := slices.ContainsFunc(out, func(other catalog.Event) bool { return other.ID == event.ID })
		if event.Tenant == id && !again {
			out = append(out, event)
		}
	}
	return out
}

// Wait returns when the condition holds, which is asked anew after each event, and ends
// the test if that takes longer than two minutes.
func (e *Events) Wait(t testing.TB, what string, holds func(*Events) bool) {
	t.Helper()
	timeout := time.After(2 * time.Minute)
	for {
		e.mu.Lock()
		if e.more == nil {
			e.more = make(chan struct{})
		}
		more := e.more
		e.mu.Unlock()
		if holds(e) {
			return
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("tenancytest: %s: it did not happen in two minutes, after %d events", what, len(e.All()))
		}
	}
}

// TestEvents is the conformance suite for a [catalog.EventWriter]. The function returns a
// catalog over a new and empty store, with the options and the writer, and where the
// events of the catalog arrive.
func TestEvents(t *testing.T, open func(t *testing.T, opts catalog.Options) (*catalog.Catalog, *Events)) {
	for name, test := range map[string]func(*testing.T, *catalog.Catalog, *Events){
		"EachChange":  testEachChange,
		"NoChange":    testNoChange,
		"OrderAtOnce": testEventOrder,
		"MadeAgain":   testEventsOfNames,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, events := open(t, catalog.Options{SecretSettings: []string{"smtp.password"}})
			test(t, c, events)
		})
	}
}

// eventText returns what an event says, in a line.
func eventText(e catalog.Event) string {
	out := fmt.Sprintf("%d %s", e.Version, e.Kind)
	for _, c := range e.Changes {
		out += fmt.Sprintf(" %s:%s>%s", c.Field, c.Before, c.After)
	}
	return out
}

func testEachChange(t *testing.T, c *catalog.Catalog, events *Events) {
	actor := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada", Reason: "ünpaid \"invoice\""}
	ctx := tenancy.WithActor(t.Context(), actor)
	acme, err := c.Create(ctx, &tenancy.Tenant{Slug: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	id := acme.ID
	edit := func(change func(*tenancy.Tenant)) error {
		_, err := c.Edit(ctx, id, func(t *tenancy.Tenant) error { change(t); return nil })
		return err
	}
	_, activate := c.SetStatus(ctx, id, tenancy.StatusActive)
	_, rename := c.Rename(ctx, id, "apex")
	_, domain := c.AddDomain(ctx, id, "A.example")
	err = errors.Join(activate, rename, domain,
		edit(func(t *tenancy.Tenant) { t.Plan = "gold" }),
		edit(func(t *tenancy.Tenant) { t.Limits = map[string]int64{"seats": 9} }),
		edit(func(t *tenancy.Tenant) {
			t.Settings = map[string]string{"colour": "b\"lü", "smtp.password": "planted"}
		}),
		edit(func(t *tenancy.Tenant) { t.Placement = tenancy.Placement{Server: "eu", Database: "acme"} }),
		edit(func(t *tenancy.Tenant) { t.Tags = []string{"eu"} }),
		edit(func(t *tenancy.Tenant) { t.Name, t.Plan = "Apex", "" }),
		edit(func(t *tenancy.Tenant) { t.Settings["smtp.password"] = "planted again" }))
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []tenancy.Status{tenancy.StatusArchived, tenancy.StatusPurging} {
		if _, err := c.SetStatus(ctx, id, status); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`1 tenant.create name:>"acme" slug:>"acme" status:>"provisioning"`,
		`2 tenant.status status:"provisioning">"active"`,
		`3 tenant.slug slug:"acme">"apex"`,
		`4 tenant.domains domains:>["a.example"]`,
		`5 tenant.plan plan:>"gold"`,
		`6 tenant.limits limits.seats:>9`,
		`7 tenant.settings settings.colour:>"b\"lü" settings.smtp.password:>"[redacted]"`,
		`8 tenant.placement placement.database:>"acme" placement.server:>"eu"`,
		`9 tenant.tags tags:>["eu"]`,
		`10 tenant.update name:"acme">"Apex" plan:"gold">`,
		`11 tenant.settings settings.smtp.password:"[redacted]">"[redacted]"`,
		`12 tenant.status status:"active">"archived"`,
		`13 tenant.status status:"archived">"purging"`,
		`14 tenant.delete domains:["a.example"]> limits.seats:9> name:"Apex"> placement.database:"acme"> placement.server:"eu"> ` +
			`settings.colour:"b\"lü"> settings.smtp.password:"[redacted]"> slug:"apex"> status:"purging"> tags:["eu"]>`,
	}
	events.Wait(t, "all events", func(e *Events) bool { return len(e.Of(id)) >= len(want) })
	for i, e := range events.Of(id) {
		if got := eventText(e); i >= len(want) || got != want[i] {
			t.Errorf("event %d:\ngot  %s\nwant %s", i, got, want[min(i, len(want)-1)])
		}
		if e.Actor != actor || tenancy.ID(e.ID).Validate() != nil || e.Time.Before(acme.CreatedAt.Add(-time.Minute)) || e.Time.Location() != time.UTC {
			t.Errorf("event %d: got ID %q, actor %+v at %v", i, e.ID, e.Actor, e.Time)
		}
		if text := fmt.Sprintf("%+v %s", e, e.Changes); strings.Contains(text, "planted") {
			t.Errorf("a secret is in the event %s", text)
		}
	}
}

// testNoChange looks whether what is refused, and what changes nothing, has no event.
func testNoChange(t *testing.T, c *catalog.Catalog, events *Events) {
	ctx := t.Context()
	acme := create(t, c, tenancy.Tenant{Slug: "acme", Status: tenancy.StatusActive})
	_, same := c.SetStatus(ctx, acme.ID, tenancy.StatusActive)
	if same != nil {
		t.Fatal(same)
	}
	_, illegal := c.SetStatus(ctx, acme.ID, tenancy.StatusProvisioning)
	wantErr(t, "an illegal status", illegal, tenancy.ErrInvalid)
	_, taken := c.Create(ctx, &tenancy.Tenant{Slug: "acme"})
	wantErr(t, "a slug that is taken", taken, tenancy.ErrExists)
	stale := acme.Clone()
	stale.Version--
	_, conflict := c.Update(ctx, stale)
	wantErr(t, "an old version", conflict, tenancy.ErrConflict)
	wantErr(t, "a deletion of an active tenant", c.Delete(ctx, acme.ID), tenancy.ErrInvalid)
	if _, err := c.SetStatus(ctx, acme.ID, tenancy.StatusBlocked); err != nil {
		t.Fatal(err)
	}
	events.Wait(t, "the second change", func(e *Events) bool { return len(e.Of(acme.ID)) >= 2 })
	for i, want := range []string{"tenant.create", "tenant.status"} {
		if got := events.Of(acme.ID)[i]; got.Kind != want || got.Version != int64(i+1) {
			t.Errorf("got %s, want %d %s", eventText(got), i+1, want)
		}
	}
	for _, e := range events.All() {
		if e.Tenant != acme.ID {
			t.Errorf("an event without a change: %s of %s", eventText(e), e.Tenant)
		}
	}
}

// testEventOrder lets 16 writers change four tenants, and looks whether the events of each
// came in the order of the changes.
func testEventOrder(t *testing.T, c *catalog.Catalog, events *Events) {
	const writers, tenants = 16, 4
	var all []*tenancy.Tenant
	for i := range tenants {
		all = append(all, create(t, c, tenancy.Tenant{Slug: fmt.Sprintf("tenant-%d", i), Status: tenancy.StatusActive}))
	}
	changes := 10
	if testing.Short() {
		changes = 4
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range changes {
				id := all[(w+i)%tenants].ID
				for { // a tenant may have changed more often meanwhile than one attempt bears
					_, err := c.Edit(t.Context(), id, func(t *tenancy.Tenant) error {
						t.Plan = fmt.Sprintf("plan-%d-%d", w, i)
						return nil
					})
					if err == nil {
						break
					}
					if !errors.Is(err, tenancy.ErrConflict) {
						t.Errorf("Edit: %v", err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	for _, made := range all {
		now := find(t, c, tenancy.RefID, string(made.ID))
		events.Wait(t, "all events of a tenant", func(e *Events) bool { return int64(len(e.Of(made.ID))) >= now.Version })
		for i, e := range events.Of(made.ID) {
			if e.Version != int64(i+1) {
				t.Fatalf("event %d of a tenant: got version %d, want %d", i, e.Version, i+1)
			}
		}
	}
}

// testEventsOfNames looks whether a tenant that is made again under its ID has its events
// behind those of the one before.
func testEventsOfNames(t *testing.T, c *catalog.Catalog, events *Events) {
	for range 2 {
		create(t, c, tenancy.Tenant{ID: "again", Slug: "acme"})
		if err := c.Delete(t.Context(), "again"); err != nil {
			t.Fatal(err)
		}
	}
	events.Wait(t, "four events", func(e *Events) bool { return len(e.Of("again")) >= 4 })
	for i, want := range []string{"1 tenant.create", "2 tenant.delete", "1 tenant.create", "2 tenant.delete"} {
		if got := eventText(events.Of("again")[i]); !strings.HasPrefix(got, want) {
			t.Errorf("event %d: got %s, want %s", i, got, want)
		}
	}
}
