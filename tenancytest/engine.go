package tenancytest

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"regexp"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// EngineOptions are what [TestEngine] cannot find out by itself.
type EngineOptions struct {
	// LongStatement is a statement that runs for minutes when nobody ends it. The suite
	// needs it for the ability [driver.SessionKiller]. Default: SELECT SLEEP(600).
	LongStatement string
}

// TestEngine is the conformance suite for a [driver.Engine]. The engine's server must be
// there, and the engine must have the ability [driver.Databases]: the suite makes
// databases of its own, and drops them. It tests all abilities that the engine has, and
// skips those that it has not.
func TestEngine(t *testing.T, engine driver.Engine, opts *EngineOptions) {
	var o EngineOptions
	if opts != nil {
		o = *opts
	}
	if o.LongStatement == "" {
		o.LongStatement = `SELECT SLEEP(600)`
	}
	d, ok := engine.(driver.Databases)
	if !ok {
		t.Fatalf("%T has not the ability driver.Databases, without which the suite has no database", engine)
	}
	for name, test := range map[string]func(*engineRun){
		"Identify":          testEngineIdentify,
		"MissingDatabase":   testEngineMissing,
		"Create":            testEngineCreate,
		"Claim":             testEngineClaim,
		"Drop":              testEngineDrop,
		"Exclusive":         testEngineExclusive,
		"Size":              testEngineSize,
		"Inventory":         testEngineInventory,
		"Adopter":           testEngineAdopter,
		"ReadOnly":          testEngineReadOnly,
		"SessionCleaner":    testEngineSessionCleaner,
		"Switcher":          testEngineSwitcher,
		"FailureClassifier": testEngineFailures,
		"FaultClassifier":   testEngineFaults,
		"SendCounter":       testEngineSendCounter,
		"CloseNotifier":     testEngineCloseNotifier,
		"SessionKiller":     testEngineSessionKiller,
		"Interrupter":       testEngineInterrupter,
		"FileBacked":        testEngineFileBacked,
		"Replication":       testEngineReplication,
		"ConnSizer":         testEngineConnSizer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&engineRun{T: t, engine: engine, databases: d, opts: o})
		})
	}
}

// engineBound is how long the suite waits for what should take no time.
const engineBound = 2 * time.Minute

// engineRun is one run of a test of an engine.
type engineRun struct {
	*testing.T
	engine    driver.Engine
	databases driver.Databases
	opts      EngineOptions
}

// abilityOf returns an ability of the engine, or skips the test.
func abilityOf[T any](r *engineRun) T {
	r.Helper()
	a, ok := r.engine.(T)
	if !ok {
		r.Skip("the engine has not this ability")
	}
	return a
}

// tenant makes a tenant's database, which is dropped when the test ends.
func (r *engineRun) tenant() *tenancy.Tenant {
	r.Helper()
	t := NewTenant("engine")
	if err := r.databases.Create(r.Context(), t.Placement.Database, t.ID); err != nil {
		r.Fatalf("Create: %v", err)
	}
	r.dropped(t)
	return t
}

// dropped drops a tenant's database when the test ends, if it is still there.
func (r *engineRun) dropped(t *tenancy.Tenant) {
	r.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), engineBound)
		defer cancel()
		if err := r.databases.Drop(ctx, t.Placement.Database, t.ID); err != nil && !errors.Is(err, tenancy.ErrNotFound) {
			r.Errorf("Drop: %v", err)
		}
	})
}

// connector returns a connector of a database.
func (r *engineRun) connector(database string) sqldriver.Connector {
	r.Helper()
	c, err := r.engine.Connector(database)
	if err != nil {
		r.Fatalf("Connector: %v", err)
	}
	return c
}

// open opens a connection, which is closed when the test ends.
func (r *engineRun) open(c sqldriver.Connector) sqldriver.Conn {
	r.Helper()
	conn, err := c.Connect(r.Context())
	if err != nil {
		r.Fatalf("Connect: %v", err)
	}
	r.Cleanup(func() { _ = conn.Close() })
	return conn
}

// exec runs a statement on a connection.
func exec(ctx context.Context, conn sqldriver.Conn, statement string) error {
	x, ok := conn.(sqldriver.ExecerContext)
	if !ok {
		return fmt.Errorf("%T has no ExecContext", conn)
	}
	_, err := x.ExecContext(ctx, statement, nil)
	return err
}

// query runs a query on a connection, and returns how many rows there are.
func query(ctx context.Context, conn sqldriver.Conn, statement string) (n int, err error) {
	q, ok := conn.(sqldriver.QueryerContext)
	if !ok {
		return 0, fmt.Errorf("%T has no QueryContext", conn)
	}
	rows, err := q.QueryContext(ctx, statement, nil)
	if err != nil {
		return 0, err
	}
	dest := make([]sqldriver.Value, len(rows.Columns()))
	for err = rows.Next(dest); err == nil; err = rows.Next(dest) {
		n++
	}
	if err == io.EOF { //nolint:errorlint // the end of the rows
		err = nil
	}
	return n, errors.Join(err, rows.Close())
}

// must fails the test if an error is not nil.
func (r *engineRun) must(what string, err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// wants fails the test unless an error wraps another.
func (r *engineRun) wants(what string, err, want error) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Errorf("%s: got %v, want an error that wraps %v", what, err, want)
	}
}

// identified fails the test unless the server says that a connection reaches the
// tenant's database.
func (r *engineRun) identified(what string, conn sqldriver.Conn, t *tenancy.Tenant) {
	r.Helper()
	got, err := r.engine.Identify(r.Context(), conn)
	if want := (driver.Identity{Database: t.Placement.Database, Tenant: t.ID}); err != nil || got != want {
		r.Errorf("%s: Identify got %+v, %v, want %+v", what, got, err, want)
	}
}

// becomes waits until a condition holds.
func (r *engineRun) becomes(what string, holds func() bool) {
	r.Helper()
	for began := time.Now(); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > engineBound {
			r.Fatalf("%s: not within %v", what, engineBound)
		}
	}
}

// A connection says itself which database it reaches, and whose that is, also one of
// many at once.
func testEngineIdentify(r *engineRun) {
	if r.engine.DriverName() == "" {
		r.Error("DriverName: got none")
	}
	a, b := r.tenant(), r.tenant()
	errs := make(chan error)
	const each = 4
	for _, t := range []*tenancy.Tenant{a, b} {
		c := r.connector(t.Placement.Database)
		for range each {
			go func() {
				conn, err := c.Connect(r.Context())
				if err != nil {
					errs <- err
					return
				}
				got, err := r.engine.Identify(r.Context(), conn)
				if want := (driver.Identity{Database: t.Placement.Database, Tenant: t.ID}); err == nil && got != want {
					err = fmt.Errorf("got %+v, want %+v", got, want)
				}
				errs <- errors.Join(err, conn.Close())
			}()
		}
	}
	for range 2 * each {
		if err := <-errs; err != nil {
			r.Errorf("Identify: %v", err)
		}
	}
}

// A connection to a database that does not exist is ErrNotFound, and makes none.
func testEngineMissing(r *engineRun) {
	t := NewTenant("missing")
	conn, err := r.connector(t.Placement.Database).Connect(r.Context())
	if err == nil {
		_, err = r.engine.Identify(r.Context(), conn)
		_ = conn.Close()
	}
	r.wants("Connect", err, tenancy.ErrNotFound)
	if f, ok := r.engine.(driver.FaultClassifier); ok && !errors.Is(err, tenancy.ErrNotFound) && f.Fault(err) != driver.FaultDatabase {
		r.Errorf("Fault(%v): got %v, want one of the database", err, f.Fault(err))
	}
	if exists, err := r.databases.Exists(r.Context(), t.Placement.Database); exists || err != nil {
		r.Errorf("Exists: got %t, %v, want that connecting makes no database", exists, err)
	}
}

// Texts that the engine says where anybody may keep them have these characters only.
var positionText = regexp.MustCompile(`^[A-Za-z0-9.,:/-]{1,1000}$`)
