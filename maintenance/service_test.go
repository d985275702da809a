package maintenance_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// await polls until the condition holds.
func await(t testing.TB, what string, within time.Duration, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for ; !holds(); time.Sleep(time.Millisecond) {
		if time.Since(began) > within {
			t.Fatalf("in vain waited %v for: %s", within, what)
		}
	}
	return time.Since(began)
}

func run(t testing.TB, gate *maintenance.Gate) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- gate.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func (k *rig) served(t testing.TB, id tenancy.ID) bool {
	return k.get(t, id, "/").Code == http.StatusOK
}

// Two instances over one database.
func TestService(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		a, b := newRig(t, maintenance.GateOptions{DB: db, Key: key}), newRig(t, maintenance.GateOptions{DB: db, Key: key})
		wantServed(t, "before a look", a.get(t, a.acme, "/"), false)
		wantServed(t, "before a look, no tenant", a.get(t, "", "/"), false)
		if err := a.gate.Refresh(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("no table: got %v, want ErrUnavailable", err)
		}
		wantServed(t, "after a look that failed", a.get(t, a.acme, "/"), false)
		for range 2 {
			if err := a.gate.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.gate.Check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("Check: got %v, want ErrUnavailable", err)
		}
		run(t, a.gate)
		run(t, b.gate)
		for _, k := range []*rig{a, b} {
			await(t, "a first look", time.Minute, func() bool { return k.served(t, k.acme) && k.served(t, "") })
			if err := k.gate.Check(t.Context()); err != nil {
				t.Errorf("Check: %v", err)
			}
		}

		if err := a.gate.Service().Begin(t.Context(), tenancy.Maintenance{Message: "Größe 😀"}); err != nil {
			t.Fatal(err)
		}
		wantServed(t, "begun here", a.get(t, a.acme, "/"), false)
		wantServed(t, "begun here, no tenant", a.get(t, "", "/"), false)
		took := await(t, "maintenance there", time.Minute, func() bool { return !b.served(t, b.acme) && !b.served(t, "") })
		t.Logf("seen after %v", took)
		if body := b.get(t, b.acme, "/").Body.String(); !strings.Contains(body, "Größe 😀") {
			t.Errorf("got %s, want the message", body)
		}
		secret, err := b.gate.Service().NewBypass(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := b.bypass(t, "", secret)
		wantServed(t, "a bypass for all", b.getWith(t, "globex-1", c), true)
		b.begin(t, tenancy.Maintenance{})
		wantServed(t, "the service's bypass of a tenant", b.getWith(t, b.acme, c), false)
		if err := b.gate.Service().Extend(t.Context(), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		wantServed(t, "extended", b.getWith(t, "globex-1", c), true)
		if err := b.gate.Service().End(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, "the end there", time.Minute, func() bool { return a.served(t, a.acme) })
		var actions []string
		for _, e := range b.changes() {
			actions = append(actions, e.Action)
		}
		want := []string{"maintenance.bypass", "tenant.maintenance", "maintenance.extend", "maintenance.end"}
		if !slices.Equal(actions, want) {
			t.Errorf("got the entries %q, want %q", actions, want)
		}
	})
}

// Under both, a request must pass both, and comes back when both have ended.
func TestServiceAndTenant(t *testing.T) {
	t.Parallel()
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	k := newRig(t, maintenance.GateOptions{DB: db})
	if err := errors.Join(k.gate.Migrate(t.Context()), k.gate.Refresh(t.Context())); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	until := func(d time.Duration) []tenancy.Window {
		return []tenancy.Window{{Start: began, End: began.Add(d)}}
	}
	const closed, readOnly = tenancy.MaintenanceClosed, tenancy.MaintenanceReadOnly
	for _, tt := range []struct {
		service, tenant         tenancy.MaintenanceMode
		serviceFor, tenantFor   time.Duration
		get, post               time.Duration // which is over first, or 0 for served
		servicePath, tenantPath string        // that are allowed
	}{
		{closed, closed, time.Hour, 2 * time.Hour, 2 * time.Hour, 2 * time.Hour, "", ""},
		{closed, closed, 2 * time.Hour, time.Hour, 2 * time.Hour, 2 * time.Hour, "", ""},
		{closed, readOnly, time.Hour, 2 * time.Hour, time.Hour, 2 * time.Hour, "", ""},
		{readOnly, closed, 2 * time.Hour, time.Hour, time.Hour, 2 * time.Hour, "", ""},
		{readOnly, readOnly, time.Hour, 2 * time.Hour, 0, 2 * time.Hour, "", ""},
		{closed, closed, time.Hour, 2 * time.Hour, 2 * time.Hour, 2 * time.Hour, "/", ""},
		{closed, closed, time.Hour, 2 * time.Hour, time.Hour, time.Hour, "", "/"},
		{closed, readOnly, time.Hour, 2 * time.Hour, 0, 2 * time.Hour, "/", ""},
		{closed, closed, time.Hour, 2 * time.Hour, 0, 0, "/", "/"},
	} {
		m := tenancy.Maintenance{Mode: tt.service, Windows: until(tt.serviceFor)}
		if tt.servicePath != "" {
			m.Paths = []string{tt.servicePath}
		}
		if err := k.gate.Service().Begin(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		m = tenancy.Maintenance{Mode: tt.tenant, Windows: until(tt.tenantFor)}
		if tt.tenantPath != "" {
			m.Paths = []string{tt.tenantPath}
		}
		k.begin(t, m)
		for method, want := range map[string]time.Duration{"GET": tt.get, "POST": tt.post} {
			w := k.serve(k.request(t, k.acme, method, "/"))
			wantServed(t, method, w, want == 0)
			if want == 0 {
				continue
			}
			seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
			got := time.Duration(seconds) * time.Second // rounded up
			if err != nil || got > want || got < want-time.Since(began) {
				t.Errorf("%+v: %s: got Retry-After %v, %v, want what is left of %v", tt, method, got, err, want)
			}
		}
	}
}

// Of changes at once, none is lost and none is made on top of what was not there.
func TestServiceChangesAtOnce(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		k := newRig(t, maintenance.GateOptions{DB: db})
		if err := k.gate.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var lost atomic.Int64
		const n = 8
		for range n {
			other := newRig(t, maintenance.GateOptions{DB: db})
			wg.Go(func() {
				if err := other.gate.Service().Begin(t.Context(), tenancy.Maintenance{}); err != nil {
					t.Logf("Begin: %v", err)
					lost.Add(1)
				}
			})
		}
		wg.Wait()
		var version int64
		if err := db.Get(&version, `SELECT version FROM tenancy_maintenance`); err != nil || version != n-lost.Load() || lost.Load() > 0 {
			t.Errorf("got version %d, %v, and %d changes lost, want %d", version, err, lost.Load(), n)
		}
	})
}

// gatedConnector opens connections while it is up.
type gatedConnector struct {
	driver.Connector
	down *atomic.Bool
}

func (c gatedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.down.Load() {
		return nil, errors.New("down")
	}
	return c.Connector.Connect(ctx)
}

// While the database is down, what was known holds.
func TestServiceDatabaseDown(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	tenant := s.Tenant(t, "database")
	c, err := s.Engine.Connector(tenant.Placement.Database)
	if err != nil {
		t.Fatal(err)
	}
	var down atomic.Bool
	plain := sql.OpenDB(gatedConnector{c, &down})
	plain.SetMaxIdleConns(-1)
	db := sqlx.NewDb(plain, s.Engine.DriverName())
	defer func() { _ = db.Close() }()
	var log bytes.Buffer
	k := newRig(t, maintenance.GateOptions{DB: db, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err := k.gate.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	if err := k.gate.Refresh(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) || k.served(t, k.acme) {
		t.Errorf("down from the start: got %v, want ErrUnavailable and no request let through", err)
	}
	w := k.get(t, k.acme, "/")
	if w.Header().Get("Retry-After") != "5" || strings.Contains(w.Body.String(), "down") || !strings.Contains(w.Body.String(), "#unavailable") {
		t.Errorf("got %v %s, want a client to come back soon", w.Header(), w.Body)
	}
	down.Store(false)
	if err := k.gate.Refresh(t.Context()); err != nil || !k.served(t, k.acme) {
		t.Errorf("up: got %v, want requests let through", err)
	}
	for _, closed := range []bool{false, true} {
		if closed {
			if err := k.gate.Service().Begin(t.Context(), tenancy.Maintenance{}); err != nil {
				t.Fatal(err)
			}
		}
		down.Store(true)
		for range 3 {
			if err := k.gate.Refresh(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) || k.served(t, k.acme) == closed {
				t.Errorf("down again: got %v, want what was known", err)
			}
		}
		if err := k.gate.Service().End(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) || k.served(t, k.acme) == closed {
			t.Errorf("End while it is down: got %v, want ErrUnavailable and no change", err)
		}
		down.Store(false)
		if err := k.gate.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := log.String(); strings.Count(got, "cannot read the service") != 3 || strings.Count(got, "record works again") != 3 {
		t.Errorf("got log %s, want each time once that it is down, and once that it is not", got)
	}

	// A record that nobody can read closes the service.
	for _, record := range []string{"{", `{"bypass": "x"}`, "[]"} {
		if _, err := db.Exec(`UPDATE tenancy_maintenance SET record = ?, version = version + 1`, record); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		for range 3 {
			if err := k.gate.Refresh(t.Context()); err != nil || k.served(t, k.acme) {
				t.Errorf("record %q: got %v, want the service closed", record, err)
			}
		}
		if got := log.String(); strings.Count(got, "cannot be read") != 1 {
			t.Errorf("record %q: got log %s, want it to say once why", record, got)
		}
		if err := k.gate.Service().End(t.Context()); err != nil || !k.served(t, k.acme) {
			t.Errorf("End of %q: got %v, want it ended", record, err)
		}
	}
}

// The entry of a change of the service's maintenance is in its transaction, and
// shows no secret.
func TestServiceIsAudited(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		trail, err := audit.New(db, nil)
		if err != nil {
			t.Fatal(err)
		}
		k := newRig(t, maintenance.GateOptions{DB: db, Audit: trail})
		if err := errors.Join(trail.Migrate(t.Context()), k.gate.Migrate(t.Context())); err != nil {
			t.Fatal(err)
		}
		ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada"})
		if err := k.gate.Service().Begin(ctx, tenancy.Maintenance{Message: "moving"}); err != nil {
			t.Fatal(err)
		}
		secret, err := k.gate.Service().NewBypass(ctx)
		if err != nil {
			t.Fatal(err)
		}
		list := func() (all []tenancy.Entry) {
			for e, err := range trail.Entries(t.Context(), audit.Filter{OldestFirst: true}) {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, e)
			}
			return all
		}
		all := list()
		if len(all) != 2 || all[0].Action != "maintenance.begin" || all[1].Action != "maintenance.bypass" || all[1].Actor.ID != "ada" || all[0].Tenant != "" {
			t.Fatalf("got %+v, want the entries of both changes", all)
		}
		after := string(all[1].Changes[0].After)
		if !strings.Contains(after, `"bypass":"[redacted]"`) || strings.Contains(after, tenancy.DigestOf(secret.Reveal()).String()) {
			t.Errorf("got %s, want no secret", after)
		}
		broken := newRig(t, maintenance.GateOptions{DB: db, Audit: &tenancytest.Audit{Err: tenancy.ErrConflict}})
		if err := broken.gate.Service().End(ctx); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("without an entry: got %v, want ErrUnavailable", err)
		}
		if err := errors.Join(k.gate.Refresh(ctx)); err != nil {
			t.Fatal(err)
		}
		wantServed(t, "maintenance that could not be ended", k.get(t, "", "/"), false)
		if got := list(); len(got) != 2 {
			t.Errorf("got %+v, want no entry of what was not done", got)
		}
		if _, err := maintenance.NewGate(k.cat, &maintenance.GateOptions{DB: s.Database(t), Audit: trail}); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("an auditor in another database: got %v, want ErrInvalid", err)
		}
	})
}

// Nobody changes the service's maintenance if an actor is required, and the audit says
// who tried.
func TestServiceRequiresActor(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	k := newRig(t, maintenance.GateOptions{DB: s.Database(t), RequireActor: true})
	if err := k.gate.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := k.gate.Service().Begin(t.Context(), tenancy.Maintenance{}); !errors.Is(err, tenancy.ErrForbidden) {
		t.Errorf("Begin by nobody: got %v, want ErrForbidden", err)
	}
	all := k.trail.All()
	if last := all[len(all)-1]; last.Action != "maintenance.begin" || last.Result != tenancy.AuditDenied {
		t.Errorf("got the entry %+v, want a denial", last)
	}
	ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorSystem})
	if err := errors.Join(k.gate.Service().Begin(ctx, tenancy.Maintenance{}), k.gate.Service().End(ctx)); err != nil {
		t.Errorf("by the system: %v", err)
	}
}
