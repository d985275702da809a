package maintenance

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

type noEditor struct{}

func (noEditor) Edit(context.Context, tenancy.ID, func(*tenancy.Tenant) error) (*tenancy.Tenant, error) {
	return nil, tenancy.ErrNotFound
}

// newDatabase returns an empty database. Package tenancytest, which imports this one, has no part in its inner tests.
func newDatabase(t *testing.T) *sqlx.DB {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "gate.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// A look that began before a change does not bring back what was.
func TestLooksInOrder(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	g, err := NewGate(noEditor{}, &GateOptions{DB: db, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := g.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	early, late := g.ticket(), g.ticket()
	g.saw(ctx, late, time.Now(), &tenancy.Maintenance{Generation: "late"}, 7, nil)
	g.saw(ctx, early, time.Now(), nil, 6, nil)
	g.failed(ctx, early, tenancy.ErrUnavailable)
	if p := g.service.Load(); p.Maintenance == nil || p.Generation != "late" || g.failing {
		t.Errorf("got %+v, want what was seen later", p)
	}
	before := g.ticket()
	if err := g.Service().Begin(ctx, tenancy.Maintenance{}); err != nil { // version 1: the database is another one than was seen
		t.Fatal(err)
	}
	g.saw(ctx, before, time.Now(), nil, 0, nil)
	if p := g.service.Load(); p.Maintenance == nil || p.Generation != "late" {
		t.Errorf("got %+v, want neither what a look before the change saw, nor what is older than what was seen", p)
	}
	if err := g.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if p := g.service.Load(); p.version != 1 {
		t.Errorf("got version %d, want what is in the database, though it is older", p.version)
	}
}

// A instance that has not seen the service's record yet looks before it counts.
func TestDrainLooksFirst(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	var gates [2]*Gate
	for i := range gates {
		var err error
		if gates[i], err = NewGate(noEditor{}, &GateOptions{DB: db, Logger: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
		if err := gates[i].Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := gates[i].Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := gates[0].Service().Begin(t.Context(), tenancy.Maintenance{}); err != nil {
		t.Fatal(err)
	}
	if err := gates[1].drainHere(t.Context(), Drain{ID: "d", Version: 1}); err != nil || !gates[1].knows(1) {
		t.Errorf("got %v and done, before the record was seen", err)
	}
}

// What the service's maintenance let pass is waited for when the tenant's begins, and
// the other way round.
func TestDrainOfOneScopeCountsWhatTheOtherLet(t *testing.T) {
	t.Parallel()
	g, err := NewGate(noEditor{}, &GateOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	inForce := tenancy.Maintenance{Mode: tenancy.MaintenanceClosed, Paths: []string{"/x"}, Generation: "1", BeganAt: now}
	planned := inForce
	planned.Windows = []tenancy.Window{{Start: now.Add(time.Hour)}}
	ofService := Drain{BeganAt: now.UnixMicro(), Generation: "1"}
	ofTenant := ofService
	ofTenant.Tenant = "acme"
	for version, tt := range []struct {
		service, tenant           *tenancy.Maintenance
		serviceWaits, tenantWaits int
	}{
		{nil, nil, 1, 1}, {&inForce, nil, 0, 1}, {nil, &inForce, 1, 0}, {&inForce, &inForce, 0, 0},
		{&inForce, &planned, 0, 1}, {&planned, &inForce, 1, 0}, {&planned, &planned, 1, 1},
	} {
		if _, err := g.set(tt.service, int64(version+1)); err != nil {
			t.Fatal(err)
		}
		served := false
		r := httptest.NewRequest(http.MethodPost, "/x", nil)
		r = r.WithContext(tenancy.NewContext(r.Context(), &tenancy.Tenant{ID: "acme", Access: tenancy.Access{Maintenance: tt.tenant}}))
		g.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			served = true
			if got := g.flights.count("", ofService.admits); got != tt.serviceWaits {
				t.Errorf("%d: the service's drain waits for %d, want %d", version, got, tt.serviceWaits)
			}
			if got := g.flights.count("acme", ofTenant.admits); got != tt.tenantWaits {
				t.Errorf("%d: the tenant's drain waits for %d, want %d", version, got, tt.tenantWaits)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
		if n := g.flights.count("", ofService.admits); !served || n != 0 {
			t.Errorf("%d: got served %v, and %d in flight afterwards", version, served, n)
		}
	}
}

// A tenant that was made again under its ID begins with version 1, and is served.
func TestDrainOfTenantMadeAgain(t *testing.T) {
	t.Parallel()
	g, err := NewGate(noEditor{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	before := &tenancy.Tenant{ID: "acme", Version: 7, CreatedAt: first}
	again := &tenancy.Tenant{ID: "acme", Version: 1, CreatedAt: first.Add(time.Hour)}
	drain := func(of *tenancy.Tenant) {
		t.Helper()
		d := Drain{ID: "d", Tenant: of.ID, Version: of.Version, CreatedAt: of.CreatedAt.UnixMicro()}
		if err := g.drainHere(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	drain(before)
	if g.tooOld(again) || g.tooOld(before) {
		t.Error("drained at version 7: want it served, and the tenant that was made again")
	}
	drain(again)
	drain(before) // whoever drains by a record that is cached
	if !g.tooOld(before) || g.tooOld(again) {
		t.Error("drained again: want the tenant of before refused, and no other")
	}
}

// A logger may be slow, and may ask the gate.
func TestGateLogsWithoutItsLock(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	asks := &asking{}
	g, err := NewGate(noEditor{}, &GateOptions{DB: db, Logger: slog.New(asks)})
	if err != nil {
		t.Fatal(err)
	}
	asks.gate = g
	ctx := t.Context()
	g.failed(ctx, g.ticket(), tenancy.ErrUnavailable)
	unreadable := &tenancy.Maintenance{Windows: []tenancy.Window{{Rule: "of another version", Length: time.Hour}}}
	g.saw(ctx, g.ticket(), time.Now(), unreadable, 1, tenancy.ErrInvalid)
	if want := 4; asks.n != want {
		t.Errorf("got %d lines of the log, want %d", asks.n, want)
	}
}

// asking is a handler of logs that fails where the gate's lock is held.
type asking struct {
	slog.Handler
	gate *Gate
	n    int
}

func (*asking) Enabled(context.Context, slog.Level) bool { return true }

func (a *asking) Handle(_ context.Context, r slog.Record) error {
	a.n++
	if !a.gate.mu.TryLock() {
		panic("the gate's lock is held while it logs: " + r.Message)
	}
	a.gate.mu.Unlock()
	return nil
}

// Drains of long ago are forgotten.
func TestForget(t *testing.T) {
	t.Parallel()
	g, err := NewGate(noEditor{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g.mark(&tenancy.Tenant{ID: "acme", Version: 5})
	g.mark(&tenancy.Tenant{ID: "acme", Version: 3})
	g.mark(&tenancy.Tenant{ID: "globex", Version: 1})
	tenant := &tenancy.Tenant{ID: "acme", Version: 4}
	if !g.tooOld(tenant) || g.tooOld(&tenancy.Tenant{ID: "acme", Version: 5}) || g.tooOld(&tenancy.Tenant{ID: "other"}) {
		t.Error("want records of before a drain to be too old, and no others")
	}
	g.forget(time.Now().Add(markLife - time.Minute))
	if !g.tooOld(tenant) {
		t.Error("got it forgotten early")
	}
	g.forget(time.Now().Add(markLife + time.Minute))
	if g.tooOld(tenant) || g.drained.Load() != nil {
		t.Error("want it forgotten")
	}
	synctest.Test(t, func(t *testing.T) {
		g, err := NewGate(noEditor{}, &GateOptions{Poll: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		g.mark(&tenancy.Tenant{ID: "acme", Version: 5})
		ctx, stop := context.WithTimeout(t.Context(), markLife+2*time.Hour)
		defer stop()
		if err := g.Run(ctx); err != nil || g.drained.Load() != nil {
			t.Errorf("Run: got %v, and %v, want it forgotten", err, g.drained.Load())
		}
	})
}

// However many tenants are under maintenance, so many plans are remembered.
func TestPlansAreBounded(t *testing.T) {
	t.Parallel()
	g, err := NewGate(noEditor{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2*maxPlans + 10 {
		g.planOf(t.Context(), &tenancy.Tenant{ID: tenancy.ID(strconv.Itoa(i)), Access: tenancy.Access{Maintenance: &tenancy.Maintenance{}}})
	}
	n := 0
	g.plans.Range(func(any, any) bool { n++; return true })
	if n > maxPlans {
		t.Errorf("got %d plans, want at most %d", n, maxPlans)
	}
}

// Once begun, a change of the service's record is made, whatever becomes of its
// context; and one that no record may hold is not.
func TestServiceStoreEdit(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	g, err := NewGate(noEditor{}, &GateOptions{DB: db, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := &tenancy.Maintenance{Mode: tenancy.MaintenanceClosed, Generation: "1"}
	ctx, cancel := context.WithCancel(t.Context())
	_, version, err := g.store.edit(ctx, actionBegin, func(*tenancy.Maintenance) (*tenancy.Maintenance, error) { cancel(); return m, nil })
	if err != nil || version != 1 {
		t.Errorf("cancelled meanwhile: got version %d, %v, want it written", version, err)
	}
	if _, _, err := g.store.edit(ctx, actionBegin, func(*tenancy.Maintenance) (*tenancy.Maintenance, error) { return m, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: got %v", err)
	}
	bad := *m
	bad.Windows = make([]tenancy.Window, 65)
	if _, _, err := g.store.edit(t.Context(), actionBegin, func(*tenancy.Maintenance) (*tenancy.Maintenance, error) { return &bad, nil }); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("65 windows: got %v, want ErrInvalid", err)
	}
}

// hung is a database that never answers.
type hung struct{}

func (hung) Driver() driver.Driver { return nil }

func (hung) Connect(ctx context.Context) (driver.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A database that does not answer holds up no look forever, and a health check says
// that nobody has looked.
func TestServiceDatabaseHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plain := sql.OpenDB(hung{})
		defer func() { _ = plain.Close() }()
		g, err := NewGate(noEditor{}, &GateOptions{DB: sqlx.NewDb(plain, "sqlite"), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := g.Refresh(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) || time.Since(began) != readTimeout {
			t.Errorf("got %v after %v, want ErrUnavailable after %v", err, time.Since(began), readTimeout)
		}
		g.saw(t.Context(), g.ticket(), time.Now(), nil, 0, nil)
		for range 5 {
			if err := g.Check(t.Context()); (err != nil) != (time.Since(began) > 17*time.Second) {
				t.Errorf("Check after %v: got %v", time.Since(began), err)
			}
			_ = g.Refresh(t.Context())
		}
	})
}

// waiting is a catalog that never answers.
type waiting struct{}

func (waiting) Edit(ctx context.Context, _ tenancy.ID, _ func(*tenancy.Tenant) error) (*tenancy.Tenant, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// What a caller ends is the caller's end: not the database's failure.
func TestCallerEnds(t *testing.T) {
	t.Parallel()
	drain := func(s func(*Gate) Scope) func(context.Context, *Gate) error {
		return func(ctx context.Context, g *Gate) error {
			err := s(g).Drain(ctx)
			var late *DrainError
			if !errors.As(err, &late) {
				t.Errorf("Drain: got %v, want a DrainError", err)
			}
			return err
		}
	}
	tenant := func(g *Gate) Scope { return g.Tenant("acme") }
	for name, call := range map[string]func(context.Context, *Gate) error{
		"Migrate":              func(ctx context.Context, g *Gate) error { return g.Migrate(ctx) },
		"Refresh":              func(ctx context.Context, g *Gate) error { return g.Refresh(ctx) },
		"Status of a tenant":   func(ctx context.Context, g *Gate) error { _, err := tenant(g).Status(ctx); return err },
		"Status":               func(ctx context.Context, g *Gate) error { _, err := g.Service().Status(ctx); return err },
		"Drain of a tenant":    drain(tenant),
		"Drain of the service": drain((*Gate).Service),
	} {
		for _, want := range []error{context.Canceled, context.DeadlineExceeded} {
			synctest.Test(t, func(t *testing.T) {
				plain := sql.OpenDB(hung{})
				defer func() { _ = plain.Close() }()
				g, err := NewGate(waiting{}, &GateOptions{DB: sqlx.NewDb(plain, "sqlite"), Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if want == context.Canceled { //nolint:errorlint // one of the two
					time.AfterFunc(time.Second/2, cancel)
				}
				if err := call(ctx, g); !errors.Is(err, want) || errors.Is(err, tenancy.ErrUnavailable) {
					t.Errorf("%s: got %v, want %v", name, err, want)
				}
			})
		}
	}
}

// broken is a database whose driver gives up by itself.
type broken struct{ hung }

func (broken) Connect(context.Context) (driver.Conn, error) {
	return nil, fmt.Errorf("dial: %w", context.DeadlineExceeded)
}

// The end of a context of the driver's own is not the caller's.
func TestDriverGivesUp(t *testing.T) {
	t.Parallel()
	plain := sql.OpenDB(broken{})
	defer func() { _ = plain.Close() }()
	g, err := NewGate(noEditor{}, &GateOptions{DB: sqlx.NewDb(plain, "sqlite"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	_, status := g.Service().Status(t.Context())
	for what, err := range map[string]error{"Migrate": g.Migrate(t.Context()), "Status": status, "Drain": g.Service().Drain(t.Context())} {
		if !errors.Is(err, tenancy.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want ErrUnavailable", what, err)
		}
	}
}
