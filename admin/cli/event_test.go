package cli_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

// refuse runs an instance that takes no event of these tenants, until each of them has one that is stuck.
func (l *line) refuse(ids ...tenancy.ID) {
	l.t.Helper()
	refused := map[tenancy.ID]bool{}
	for _, id := range ids {
		refused[id] = true
	}
	box, err := catalog.NewOutbox(sqlx.NewDb(l.app.Outbox.Database(), "sqlite"), &catalog.OutboxOptions{RetryFrom: time.Hour, Deliver: func(_ context.Context, e catalog.Event) error {
		if refused[e.Tenant] {
			return errors.New("billing\x1b[2J does not like it")
		}
		return nil
	}})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(l.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- box.Run(ctx) }()
	for end := time.Now().Add(10 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		stuck, err := l.app.Outbox.Stuck(l.t.Context())
		if err != nil {
			l.t.Fatal(err)
		}
		if len(stuck) == len(ids) {
			break
		}
		if time.Now().After(end) {
			l.t.Fatalf("got %+v, want an event of each of %v stuck", stuck, ids)
		}
	}
	stop()
	if err := <-ended; err != nil {
		l.t.Fatal(err)
	}
}

// stuck returns the ID of the tenant's event that is stuck, or "".
func (l *line) stuck(id tenancy.ID) string {
	l.t.Helper()
	all, err := l.app.Outbox.Stuck(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, each := range all {
		if each.Event.Tenant == id {
			return each.Event.ID
		}
	}
	return ""
}

// Events that are refused are listed and given up, also those of a tenant whose record is gone. While the catalog does not answer, nobody knows
// whose event it is, and none is given up.
func TestEvents(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	if code, stdout, _ := l.call("", "event", "stuck"); code != 0 || stdout != "No event is stuck.\n" {
		t.Errorf("nothing is stuck: got %d %q", code, stdout)
	}
	ids := []tenancy.ID{"t-acme", "t-gone"}
	for _, id := range ids {
		if _, err := l.app.Catalog.Create(t.Context(), &tenancy.Tenant{ID: id, Slug: strings.TrimPrefix(string(id), "t-"), Status: tenancy.StatusProvisioning}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.app.Catalog.Delete(t.Context(), "t-gone"); err != nil {
		t.Fatal(err)
	}
	l.refuse(ids...)
	acme, gone := l.stuck("t-acme"), l.stuck("t-gone")
	code, stdout, _ := l.call("", "event", "stuck")
	for _, want := range []string{"acme", "t-gone", acme, gone, "tenant.create", "does not like it"} {
		stdout := strings.Join(strings.Fields(stdout), " ")
		if code != 0 || !strings.Contains(stdout, want) || strings.Contains(stdout, "\x1b") {
			t.Errorf("got %d and\n%s\nwant %q, and nothing that a terminal carries out", code, stdout, want)
		}
	}
	if code, stdout, _ := l.call("", "event", "stuck", "--json"); code != 0 || strings.Count(stdout, "\n") != 2 || !strings.Contains(stdout, `"waiting":1`) || !strings.Contains(stdout, gone) {
		t.Errorf("got %d %s, want both as JSON, one with an event that waits behind it", code, stdout)
	}

	// Neither without an answer, nor another event, nor a tenant that there never was.
	for args, want := range map[string]string{
		"event skip acme " + acme:              "Give --yes",
		"event skip acme " + gone + " --yes":   "the event that is stuck is " + acme,
		"event skip nobody " + acme + " --yes": "not found",
		"event skip t-nobody " + gone + " -y":  "no event of the tenant is stuck",
		"event skip acme":                      "accepts 2 arg",
	} {
		if code, _, stderr := l.call("", strings.Fields(args)...); code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: got %d %q, want it refused with %q", args, code, stderr, want)
		}
	}
	catalogOf := l.app.Catalog
	l.app.Catalog = closedCatalog(t)
	if code, _, stderr := l.call("", "event", "skip", "t-gone", gone, "--yes"); code != 3 {
		t.Errorf("a catalog that does not answer: got %d %s, want 3", code, stderr)
	}
	l.app.Catalog = catalogOf
	if l.stuck("t-acme") != acme || l.stuck("t-gone") != gone {
		t.Fatal("an event was given up by a command that failed")
	}

	if code, stdout, stderr := l.call("", "event", "skip", "acme", acme, "--yes", "--reason", "billing has it"); code != 0 || !strings.Contains(stdout, "is skipped") {
		t.Errorf("by the slug: got %d %s %s", code, stdout, stderr)
	}
	if code, stdout, stderr := l.call("", "event", "skip", "t-gone", gone, "--yes", "--json"); code != 0 || !strings.Contains(stdout, `"tenant":"t-gone"`) {
		t.Errorf("of a tenant that is gone: got %d %s %s, want it skipped", code, stdout, stderr)
	}
	if code, stdout, _ := l.call("", "event", "stuck"); code != 0 || stdout != "No event is stuck.\n" {
		t.Errorf("afterwards: got %d %q", code, stdout)
	}
	if code, stdout, _ := l.call("", "audit", "list", "--json", "--action", "event.skip"); code != 0 || strings.Count(stdout, "\n") != 2 || !strings.Contains(stdout, "billing has it") || !strings.Contains(stdout, gone) {
		t.Errorf("got %d %s, want an entry of each with its reason", code, stdout)
	}

	l.app.Outbox = nil
	for _, args := range []string{"event stuck", "event skip acme " + acme} {
		if code, _, stderr := l.call("", strings.Fields(args)...); code != 2 || !strings.Contains(stderr, "no outbox") {
			t.Errorf("%s without an outbox: got %d %s", args, code, stderr)
		}
	}
}

// closedCatalog returns a catalog whose database does not answer.
func closedCatalog(t *testing.T) *catalog.Catalog {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "closed.db"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.New(db, nil)
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}
