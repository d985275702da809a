package dbpool_test

import (
	"bytes"
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestDBIsTheTenantsOwn(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		for _, slug := range []string{"acme", "globex"} {
			ctx := tenancy.NewContext(t.Context(), s.Tenant(t, slug))
			db, err := pool.DB(ctx)
			if err != nil {
				t.Fatal(err)
			}
			db.MustExec(`CREATE TABLE notes (slug VARCHAR(63))`)
			db.MustExec(`INSERT INTO notes (slug) VALUES ('` + slug + `')`)
			err = pool.Tx(ctx, nil, func(tx *sqlx.Tx) error {
				var got []string
				if err := tx.Select(&got, `SELECT slug FROM notes`); err != nil || len(got) != 1 || got[0] != slug {
					t.Errorf("got %q, %v, want %s alone", got, err, slug)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if st := pool.Stat(s.Name); st.Conns != 2 || st.InUse != 0 || st.Idle != 2 || st.Dials != 2 {
			t.Errorf("got %+v, want an idle connection for each of 2 tenants", st)
		}
	})
}

func TestDBErrors(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	pool := s.Pool(t, nil)
	if _, err := pool.DB(t.Context()); !errors.Is(err, tenancy.ErrNoTenant) {
		t.Errorf("no tenant: got %v, want ErrNoTenant", err)
	}
	elsewhere := tenancytest.NewTenant("acme")
	elsewhere.Placement.Server = "elsewhere"
	if _, err := pool.For(t.Context(), elsewhere); !errors.Is(err, tenancy.ErrUnavailable) || !strings.Contains(err.Error(), `"elsewhere"`) {
		t.Errorf("unknown server: got %v, want ErrUnavailable that names it", err)
	}
	odd := tenancytest.NewTenant("acme")
	odd.Placement = tenancy.Placement{Server: s.Name, Database: "../acme"}
	if _, err := pool.For(t.Context(), odd); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("odd database name: got %v, want ErrInvalid", err)
	}
	tenant := s.Tenant(t, "acme")
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
	if _, err := pool.For(t.Context(), tenant); !errors.Is(err, tenancy.ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
	for _, servers := range []map[string]driver.Engine{nil, {"x": nil}} {
		if _, err := dbpool.New(servers, nil); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("New(%v): got %v, want ErrInvalid", servers, err)
		}
	}
	if _, err := dbpool.New(map[string]driver.Engine{"x": s.Engine}, &dbpool.Options{MaxConns: -1}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("New with MaxConns -1: got %v, want ErrInvalid", err)
	}
}

func TestStampedeOpensOneHandle(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	pool := s.Pool(t, nil)
	tenant := s.Tenant(t, "acme")
	var first atomic.Pointer[sqlx.DB]
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			db, err := pool.For(t.Context(), tenant)
			if err != nil {
				t.Error(err)
				return
			}
			if !first.CompareAndSwap(nil, db) && first.Load() != db {
				t.Error("got two handles for one tenant")
			}
		})
	}
	wg.Wait()
}

// A database that is another tenant's, or nobody's, is never handed out.
func TestWrongDatabase(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		var log bytes.Buffer
		acme, globex := s.Tenant(t, "acme").Clone(), s.Tenant(t, "globex")
		acme.Placement = globex.Placement
		check := func(what string, want tenancy.ID, text string) {
			t.Helper()
			pool := s.Pool(t, &dbpool.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			db, err := pool.For(t.Context(), acme)
			if err != nil {
				t.Fatal(err)
			}
			var one int
			err = db.Get(&one, `SELECT 1`)
			var wrong *dbpool.IdentityError
			if !errors.As(err, &wrong) || !errors.Is(err, tenancy.ErrUnavailable) || wrong.Tenant != acme.ID || wrong.Got.Tenant != want {
				t.Errorf("%s: got %v, want an IdentityError", what, err)
			}
			for _, part := range []string{"level=ERROR", text, "want_tenant=" + string(acme.ID) + " ", "got_tenant=" + cmp.Or(string(want), `""`) + " "} {
				if !strings.Contains(log.String(), part) {
					t.Errorf("%s: got log %q, want %q in it", what, &log, part)
				}
			}
			if st := pool.Stat(s.Name); st.Conns != 0 {
				t.Errorf("%s: got %d connections, want none left", what, st.Conns)
			}
			log.Reset()
		}
		check("another tenant's", globex.ID, "reached another tenant's database, and was closed")
		db, err := s.Pool(t, nil).For(t.Context(), globex)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExec(`DROP TABLE tenancy_marker`)
		check("nobody's", "", "reached a database without an owner, and was closed; create or adopt it")
		db.MustExec(`CREATE TABLE tenancy_marker (only_row SMALLINT NOT NULL PRIMARY KEY, tenant_id VARCHAR(36) NOT NULL)`)
		db.MustExec(`INSERT INTO tenancy_marker VALUES (1, '` + string(globex.ID) + `')`) // for the clean-up
	})
}

func TestDroppedUnderTheTenant(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		tenant := s.Tenant(t, "acme")
		if err := s.Engine.(driver.Databases).Drop(t.Context(), tenant.Placement.Database, tenant.ID); err != nil {
			t.Fatal(err)
		}
		db, err := pool.For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.PingContext(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) || !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("got %v, want ErrUnavailable because of ErrNotFound", err)
		}
		if ok, err := pool.Exists(t.Context(), tenant); ok || err != nil {
			t.Errorf("Exists: got %v, %v, want false: connecting makes no database", ok, err)
		}
	})
}

func TestMovedTenant(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	other := tenancytest.NewServer(t, "sqlite")
	pool, err := dbpool.New(map[string]driver.Engine{"old": s.Engine, "new": other.Engine}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	tenant := s.Tenant(t, "acme")
	tenant.Placement.Server = "old"
	moved := tenant.Clone()
	moved.Placement.Server = "new"
	moved.Version++
	if err := pool.Create(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	file := func(db *sqlx.DB) (name string) {
		t.Helper()
		if err := db.Get(&name, `SELECT file FROM pragma_database_list WHERE name = 'main'`); err != nil {
			t.Error(err)
		}
		return name
	}
	before, _ := pool.For(t.Context(), tenant)
	if got := file(before); !strings.HasPrefix(got, s.DSN) {
		t.Errorf("before the move: got %s, want a file in %s", got, s.DSN)
	}
	after, _ := pool.For(t.Context(), moved)
	stale, _ := pool.For(t.Context(), tenant) // by an older record
	for _, db := range []*sqlx.DB{before, after, stale} {
		if got := file(db); !strings.HasPrefix(got, other.DSN) {
			t.Errorf("after the move: got %s, want a file in %s", got, other.DSN)
		}
	}
	testserver.Await(t, "without a connection to the old place", func() bool { return pool.Stat("old").Conns == 0 })
}

// archived returns the record of a tenant whose database may be dropped.
func archived(t *tenancy.Tenant) *tenancy.Tenant {
	t = t.Clone()
	t.Status = tenancy.StatusArchived
	return t
}

func TestCreateClaimDrop(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		ctx := t.Context()
		pool := s.Pool(t, nil)
		acme := s.Tenant(t, "acme")
		thief := tenancytest.NewTenant("thief")
		thief.Placement = acme.Placement
		db, err := pool.For(ctx, acme)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExec(`CREATE TABLE notes (id INT)`)
		for what, err := range map[string]error{
			"Create over a database": pool.Create(ctx, acme), "Create over another's": pool.Create(ctx, thief), "Claim of another's": pool.Claim(ctx, thief),
		} {
			if !errors.Is(err, tenancy.ErrExists) {
				t.Errorf("%s: got %v, want ErrExists", what, err)
			}
		}
		if err := pool.Drop(ctx, acme); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("Drop of a tenant that is active: got %v, want ErrInvalid", err)
		}
		if err := pool.Drop(ctx, archived(thief)); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("Drop of another's: got %v, want ErrForbidden", err)
		}
		if err := pool.Claim(ctx, acme); err != nil {
			t.Errorf("Claim of its own: %v", err)
		}
		if err := db.Get(new(int), `SELECT COUNT(*) FROM notes`); err != nil {
			t.Errorf("after all that: %v, want the table untouched", err)
		}
		if size, err := pool.Size(ctx, acme); err != nil || size <= 0 {
			t.Errorf("Size: got %d, %v, want bytes", size, err)
		}
		if err := pool.Drop(ctx, archived(acme)); err != nil {
			t.Fatalf("Drop: %v", err)
		}
		if ok, err := pool.Exists(ctx, acme); ok || err != nil {
			t.Errorf("Exists: got %v, %v, want false", ok, err)
		}
		if err := pool.Drop(ctx, archived(acme)); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("Drop again: got %v, want ErrNotFound", err)
		}
		if _, err := pool.Size(ctx, acme); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("Size of none: got %v, want ErrNotFound", err)
		}
	})
}

// A creation that was cut off before the marker leaves an empty database, which
// may be claimed; one with tables may not.
func TestClaimUnmarked(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		tenant := s.Tenant(t, "acme")
		db, err := pool.For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExec(`CREATE TABLE notes (id INT)`)
		db.MustExec(`DROP TABLE tenancy_marker`)
		if err := pool.Claim(t.Context(), tenant); !errors.Is(err, tenancy.ErrExists) {
			t.Errorf("Claim with a table: got %v, want ErrExists", err)
		}
		db.MustExec(`DROP TABLE notes`)
		if err := pool.Claim(t.Context(), tenant); err != nil {
			t.Errorf("Claim of an empty one: %v", err)
		}
	})
}

func TestCreateAtOnce(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		tenants := make([]*tenancy.Tenant, 8)
		errs := make([]error, len(tenants))
		database := "shared_" + string(tenancy.NewID())
		var wg sync.WaitGroup
		for i := range tenants {
			tenants[i] = tenancytest.NewTenant("t")
			tenants[i].Placement = tenancy.Placement{Server: s.Name, Database: database}
			wg.Go(func() { errs[i] = pool.Create(t.Context(), tenants[i]) })
		}
		wg.Wait()
		won := 0
		for i, err := range errs {
			if err == nil {
				won++
				t.Cleanup(func() { _ = pool.Drop(context.WithoutCancel(t.Context()), archived(tenants[i])) })
			} else if !errors.Is(err, tenancy.ErrExists) {
				t.Errorf("got %v, want ErrExists", err)
			}
		}
		if won != 1 {
			t.Errorf("got %d creations of one database, want 1", won)
		}
	})
}

func TestCreateEndedContext(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		tenant := tenancytest.NewTenant("acme")
		tenant.Placement.Server = s.Name
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := pool.Create(ctx, tenant); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if ok, err := pool.Exists(t.Context(), tenant); ok || err != nil {
			t.Errorf("Exists: got %v, %v, want nothing made", ok, err)
		}
	})
}

func TestTxAndWith(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, &dbpool.Options{MaxConns: 1})
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		err := pool.With(ctx, func(c *sqlx.Conn) error {
			_, err := c.ExecContext(ctx, `CREATE TABLE notes (id INT)`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, fn := range []func(){
			func() { _ = pool.With(ctx, func(*sqlx.Conn) error { panic("oh") }) },
			func() {
				_ = pool.Tx(ctx, nil, func(tx *sqlx.Tx) error { tx.MustExec(`INSERT INTO notes VALUES (1)`); panic("oh") })
			},
		} {
			func() {
				defer func() { _ = recover() }()
				fn()
			}()
		}
		var n int
		db, _ := pool.DB(ctx)
		if err := db.GetContext(ctx, &n, `SELECT COUNT(*) FROM notes`); err != nil || n != 0 {
			t.Errorf("after panics: got %d, %v, want the connection back and nothing written", n, err)
		}
		if err := pool.With(t.Context(), nil); !errors.Is(err, tenancy.ErrNoTenant) {
			t.Errorf("With without a tenant: got %v, want ErrNoTenant", err)
		}
		if err := pool.Tx(t.Context(), nil, nil); !errors.Is(err, tenancy.ErrNoTenant) {
			t.Errorf("Tx without a tenant: got %v, want ErrNoTenant", err)
		}
	})
}

// fakeEngine dials with a function.
type fakeEngine struct {
	driver.Engine
	dial func(context.Context) (sqldriver.Conn, error)
}

func (e fakeEngine) DriverName() string                                { return "sqlite" }
func (e fakeEngine) Connector(string) (sqldriver.Connector, error)     { return e, nil }
func (e fakeEngine) Connect(c context.Context) (sqldriver.Conn, error) { return e.dial(c) }
func (e fakeEngine) Driver() sqldriver.Driver                          { return nil }

func TestDialErrors(t *testing.T) {
	t.Parallel()
	dials := 0
	pool, err := dbpool.New(map[string]driver.Engine{"": fakeEngine{dial: func(ctx context.Context) (sqldriver.Conn, error) {
		dials++
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("gave up: %w", err)
		}
		return nil, sqldriver.ErrBadConn
	}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	db, err := pool.For(t.Context(), tenancytest.NewTenant("acme"))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(); !errors.Is(err, tenancy.ErrUnavailable) || errors.Is(err, sqldriver.ErrBadConn) || dials != 1 {
		t.Errorf("got %v after %d dials, want ErrUnavailable after one", err, dials)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if err := db.PingContext(ctx); err != context.DeadlineExceeded { //nolint:errorlint // as it is
		t.Errorf("got %v, want the deadline as it is", err)
	}
}

// A database is dropped, by somebody else, under a connection that is warm: the
// next uses fail, and nothing is written to nowhere.
func TestDroppedUnderAWarmConnection(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		db, err := s.Pool(t, nil).For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExec(`CREATE TABLE notes (id INT)`)
		db.MustExec(`INSERT INTO notes VALUES (1)`)
		if err := s.Pool(t, nil).Drop(t.Context(), archived(tenant)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(150 * time.Millisecond)                  // a file is looked at ten times a second
		_, first := db.Exec(`INSERT INTO notes VALUES (2)`) // may meet a connection that the server has just ended
		_, second := db.Exec(`INSERT INTO notes VALUES (2)`)
		if first == nil || !errors.Is(second, tenancy.ErrUnavailable) {
			t.Errorf("got %v and %v, want an error and ErrUnavailable", first, second)
		}
		// Another tenant gets the name: the old handle never reaches its rows.
		other := tenancytest.NewTenant("other")
		other.Placement = tenant.Placement
		pool := s.Pool(t, nil)
		if err := pool.Create(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pool.Drop(t.Context(), archived(other)) }()
		theirs, err := pool.For(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		theirs.MustExec(`CREATE TABLE notes (id INT)`)
		time.Sleep(150 * time.Millisecond)
		if err := db.Get(new(int), `SELECT COUNT(*) FROM notes`); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("the old handle: got %v, want ErrUnavailable", err)
		}
	})
}

func TestNoTenant(t *testing.T) {
	t.Parallel()
	pool := tenancytest.NewServer(t, "sqlite").Pool(t, nil)
	for _, tenant := range []*tenancy.Tenant{nil, {Placement: tenancy.Placement{Server: "sqlite", Database: "x"}}} {
		_, err := pool.For(t.Context(), tenant)
		for what, err := range map[string]error{"For": err, "Create": pool.Create(t.Context(), tenant), "Drop": pool.Drop(t.Context(), tenant)} {
			if !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%s of %+v: got %v, want ErrInvalid", what, tenant, err)
			}
		}
	}
}

// A request that waits while its tenant moves is served by the new place.
func TestWaitingAcrossAMove(t *testing.T) {
	t.Parallel()
	s, other := tenancytest.NewServer(t, "sqlite"), tenancytest.NewServer(t, "sqlite")
	pool, err := dbpool.New(map[string]driver.Engine{"sqlite": s.Engine, "new": other.Engine}, &dbpool.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	tenant := s.Tenant(t, "acme")
	moved := tenant.Clone()
	moved.Placement.Server, moved.Version = "new", 2
	if err := pool.Create(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	db, err := pool.For(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	hold, err := db.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file := make(chan string)
	go func() {
		var name string
		_ = db.Get(&name, `SELECT file FROM pragma_database_list WHERE name = 'main'`)
		file <- name
	}()
	for pool.Stat("sqlite").Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := pool.For(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	if got := <-file; !strings.HasPrefix(got, other.DSN) {
		t.Errorf("got %s, want a file in %s", got, other.DSN)
	}
	if err := hold.Close(); err != nil {
		t.Error(err)
	}
}

// One tenant's broken database does not close the server to the others.
func TestBrokenDatabaseOfOne(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	broken, sound := s.Tenant(t, "broken"), s.Tenant(t, "sound")
	if err := os.WriteFile(filepath.Join(s.DSN, broken.Placement.Database+".db"), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(filepath.Join(s.DSN, broken.Placement.Database+".db")) })
	pool := s.Pool(t, nil)
	bad, _ := pool.For(t.Context(), broken)
	good, _ := pool.For(t.Context(), sound)
	for range 10 {
		if err := bad.Ping(); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("the broken one: got %v, want ErrUnavailable", err)
		}
	}
	if err := good.Ping(); err != nil {
		t.Errorf("the sound one: %v", err)
	}
}

// A server that hangs takes nothing from another one.
func TestServersAreIndependent(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	goesOn := make(chan struct{})
	hangs := fakeEngine{dial: func(ctx context.Context) (sqldriver.Conn, error) {
		select {
		case <-goesOn:
			return nil, errors.New("down")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	pool, err := dbpool.New(map[string]driver.Engine{"sqlite": s.Engine, "hangs": hangs}, &dbpool.Options{
		Budget: 2, MaxDials: 1, MaxWait: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	var wg sync.WaitGroup
	for range 20 {
		tenant := tenancytest.NewTenant("stuck")
		tenant.Placement.Server = "hangs"
		db, err := pool.For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := db.PingContext(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
				t.Errorf("the server that hangs: got %v, want ErrUnavailable", err)
			}
		})
	}
	db, err := pool.For(t.Context(), s.Tenant(t, "acme"))
	if err != nil {
		t.Fatal(err)
	}
	testserver.Await(t, "waiting for the server that hangs", func() bool { return pool.Stat("hangs").Waiting > 0 })
	for range 100 {
		if err := db.PingContext(t.Context()); err != nil {
			t.Errorf("the other: %v", err)
		}
	}
	close(goesOn)
	wg.Wait()
}

// A record that names an impossible place is an error each time, and does not
// lead to the place before.
func TestMoveToAnImpossiblePlace(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	pool := s.Pool(t, nil)
	tenant := s.Tenant(t, "acme")
	if _, err := pool.For(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	moved := tenant.Clone()
	moved.Version++
	moved.Placement.Database = "../other"
	for range 2 {
		if db, err := pool.For(t.Context(), moved); !errors.Is(err, tenancy.ErrInvalid) || db != nil {
			t.Errorf("got %v, %v, want ErrInvalid and no handle", db, err)
		}
	}
	if db, err := pool.For(t.Context(), tenant); err != nil || db.Ping() != nil {
		t.Errorf("the record before: got %v, want it to be served", err)
	}
}

// A tenant that was asked for before its database was made is served as soon as
// it is.
func TestCreateAfterRequests(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	pool := s.Pool(t, nil)
	tenant := s.Tenant(t, "acme")
	other := tenancytest.NewTenant("other")
	other.Placement.Server = tenant.Placement.Server
	db, err := pool.For(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := db.Ping(); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("before: got %v, want ErrNotFound", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := pool.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(); err != nil {
		t.Errorf("after: got %v, want a connection", err)
	}
}

// A connection is not lost when an argument of a query panics.
func TestPanicsInArguments(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, &dbpool.Options{MaxConns: 1, MaxWait: 2 * time.Minute})
		db, err := pool.For(t.Context(), s.Tenant(t, "acme"))
		if err != nil {
			t.Fatal(err)
		}
		query := db.Rebind(`SELECT CAST(? AS CHAR(9))`)
		for name, use := range map[string]func() error{
			"query": func() error { return db.Get(new(string), query, panics{}) },
			"exec":  func() error { _, err := db.Exec(query, panics{}); return err },
			"prepared query": func() error {
				stmt, err := db.Preparex(query)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = stmt.Close() }()
				return stmt.Get(new(string), panics{})
			},
			"prepared exec": func() error {
				stmt, err := db.Preparex(query)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = stmt.Close() }()
				_, err = stmt.Exec(panics{})
				return err
			},
			"transaction": func() error {
				return pool.Tx(tenancy.NewContext(t.Context(), s.Tenant(t, "other")), nil, func(tx *sqlx.Tx) error {
					return tx.Get(new(string), query, panics{})
				})
			},
		} {
			func() {
				defer func() { _ = recover() }()
				if err := use(); err == nil {
					t.Errorf("%s: got no error", name)
				}
			}()
			if n := pool.Stat(s.Name).InUse; n != 0 {
				t.Errorf("%s: got %d connections in use, want none", name, n)
			}
		}
		var got string
		if err := db.Get(&got, query, "x"); err != nil || got[:1] != "x" {
			t.Errorf("afterwards: got %q, %v, want x", got, err)
		}
	})
}

type panics struct{}

func (panics) Value() (sqldriver.Value, error) { panic("on purpose") }
