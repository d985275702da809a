package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// schemas is of tenants whose schemas lack one migration, except those whose database is down.
type schemas struct{ down error }

func (s schemas) Status(context.Context, *tenancy.Tenant) (*migrate.Status, error) {
	return &migrate.Status{Version: 1, Target: 2, Pending: []migrate.Change{{Version: 2, File: "00002_x.sql"}}}, s.down
}

func TestTenantNow(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	pool := s.Pool(t, nil)
	c := newConsole(t, s, func(o *admin.Options) { o.Pool = pool })
	cl := c.as(t, auth.RoleViewer, tenancy.ByIDs(c.a.ID))
	if a := cl.do(t, "GET", "tenants/t-aaa/migrations", ""); !strings.Contains(a.body, `"up_to_date":false`) || !strings.Contains(a.body, "00002_x.sql") {
		t.Errorf("got %d %s, want a migration that lacks", a.code, a.body)
	}
	if a := cl.do(t, "GET", "tenants/t-aaa/pool", ""); !strings.Contains(a.body, `{"tenant":null}`) {
		t.Errorf("got %d %s, want no connections", a.code, a.body)
	}
	if a := cl.do(t, "GET", "tenants/t-aaa/health", ""); !strings.Contains(a.body, `"health":"unknown"`) {
		t.Errorf("got %d %s, want unknown", a.code, a.body)
	}
	for _, what := range []string{"migrations", "pool", "health", "runs"} {
		if a := cl.do(t, "GET", "tenants/t-bbb/"+what, ""); a.code != 404 {
			t.Errorf("%s of another tenant: got %d %s, want 404", what, a.code, a.body)
		}
	}
	used := s.Tenant(t, "used")
	made, err := c.cat.Create(t.Context(), used)
	if err != nil {
		t.Fatal(err)
	}
	db, err := pool.For(t.Context(), made)
	if err == nil {
		_, err = db.Exec(`SELECT 1`)
	}
	if err != nil {
		t.Fatal(err)
	}
	if a := c.as(t, auth.RoleViewer, tenancy.AllTenants()).do(t, "GET", "tenants/"+string(made.ID)+"/pool", ""); !strings.Contains(a.body, `"conns":1`) {
		t.Errorf("got %d %s, want a connection", a.code, a.body)
	}
}

func TestMigrationsOfADatabaseThatIsDown(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) {
		o.Migrations = schemas{errors.Join(tenancy.ErrUnavailable, errors.New("planted-secret"))}
	})
	if a := c.as(t, auth.RoleViewer, tenancy.AllTenants()).do(t, "GET", "tenants/t-aaa/migrations", ""); a.code != 503 {
		t.Errorf("got %d %s, want 503", a.code, a.body)
	}
}

// A run for one tenant is seen in the runs of this tenant, and by its other ones not.
func TestRunsOfATenant(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	tasks := runs.Tasks(maintenance.Tasks(c.cat))
	tasks["migrate"] = tenancy.Task{Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }}
	runner, err := runs.New(c.db, c.cat, &runs.Options{Tasks: tasks, Poll: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin, err = admin.New(c.db, c.cat, &admin.Options{Runs: runner, Limiter: everything{}, Auth: auth.Options{OptionalSecondFactor: true}}); err != nil {
		t.Fatal(err)
	}
	cl := c.as(t, auth.RoleOperator, tenancy.ByIDs(c.a.ID))
	a := cl.do(t, "POST", "tenants/t-aaa/migrate", "", "Idempotency-Key", "k")
	if a.code != 202 || a.header.Get("Location") == "" {
		t.Fatalf("got %d %s, want a run", a.code, a.body)
	}
	if b := cl.do(t, "POST", "tenants/t-aaa/migrate", "", "Idempotency-Key", "k"); b.body != a.body {
		t.Errorf("again: got %s, want %s", b.body, a.body)
	}
	if a := cl.do(t, "POST", "tenants/t-aaa/seed", ""); a.problem() != "not-configured" || !strings.Contains(a.body, `The task \"seed\" is not in`) {
		t.Errorf("a task that there is not: got %d %s, want not-configured", a.code, a.body)
	}
	var list struct{ Runs []struct{ Task string } }
	if cl.do(t, "GET", "tenants/t-aaa/runs", "").into(t, &list); len(list.Runs) != 1 || list.Runs[0].Task != "migrate" {
		t.Errorf("got %+v, want the run", list)
	}
	all := c.as(t, auth.RoleOperator, tenancy.AllTenants())
	if all.do(t, "GET", "tenants/t-bbb/runs", "").into(t, &list); len(list.Runs) != 0 {
		t.Errorf("of another tenant: got %+v, want none", list)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
	if a := cl.do(t, "POST", "tenants/t-aaa/maintenance/drain", ""); a.code != 409 {
		t.Errorf("without maintenance: got %d %s, want 409", a.code, a.body)
	}
	if a := cl.do(t, "POST", "tenants/t-aaa/maintenance/drain", `{"for":301}`); a.problem() != "validation" {
		t.Errorf("for too long: got %d %s, want validation", a.code, a.body)
	}
	if a := cl.do(t, "POST", "tenants/t-aaa/maintenance", `{"mode":"closed"}`); a.code != 200 {
		t.Fatalf("begin: got %d %s", a.code, a.body)
	}
	if a := cl.do(t, "POST", "tenants/t-aaa/maintenance/drain", `{"for":300}`); a.code != 200 || !strings.Contains(a.body, `"drained":true`) {
		t.Errorf("got %d %s, want it drained", a.code, a.body)
	}
	// The same key gets the same answer, although a drain would be refused by now; and one with a key may take as long as one without.
	for i, body := range []string{`{"for":300}`, `{"for":300}`, `{"for":1}`} {
		a := cl.do(t, "POST", "tenants/t-aaa/maintenance/drain", body, "Idempotency-Key", "once")
		if want := []int{200, 200, 422}[i]; a.code != want {
			t.Errorf("with a key, call %d: got %d %s, want %d", i+1, a.code, a.body, want)
		}
		if i == 0 {
			cl.do(t, "DELETE", "tenants/t-aaa/maintenance", "")
		}
	}
}

// Neither an action for many tenants nor one for a single one takes an archived tenant back.
func TestArchivedTenantsAreNotRestoredByStatus(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	if _, err := c.cat.SetStatus(t.Context(), c.a.ID, tenancy.StatusArchived); err != nil {
		t.Fatal(err)
	}
	cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
	if a := cl.do(t, "POST", "tenants/t-aaa/deactivate", ""); a.code != 409 {
		t.Errorf("one: got %d %s, want 409", a.code, a.body)
	}
	var p planned
	cl.do(t, "POST", "actions/bulk-deactivate", `{"dry_run":true,"ids":["t-aaa","t-bbb"]}`).into(t, &p)
	if p.Eligible != 1 || p.Skipped != 1 {
		t.Errorf("many: got %+v, want the archived one left out", p)
	}
}

// halves is of tenants whose migration was cut off: of one before its statement was answered, of the other by its failure.
type halves struct{}

func (halves) Status(_ context.Context, t *tenancy.Tenant) (*migrate.Status, error) {
	half := &migrate.HalfError{Version: 2, File: "00002_x.sql", Statement: 3, Text: "INSERT planted-secret"}
	if t.Slug == "bbb" {
		half.Down, half.Problem = true, "duplicate planted-secret"
	}
	return &migrate.Status{Version: 1, Target: 2, Pending: []migrate.Change{{Version: 2, File: "00002_x.sql"}}, Half: half}, nil
}

// A migration that was cut off is shown with its file and the number of its statement, without the statement or what the server said. No answer has planted-secret.
func TestHalfMigrationIsShown(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { o.Migrations = halves{} })
	cl := c.as(t, auth.RoleViewer, tenancy.AllTenants())
	for id, want := range map[string]string{
		"t-aaa": `"half":{"version":2,"file":"00002_x.sql","down":false,"statement":3,"failed":false}`,
		"t-bbb": `"half":{"version":2,"file":"00002_x.sql","down":true,"statement":3,"failed":true}`,
	} {
		if a := cl.do(t, "GET", "tenants/"+id+"/migrations", ""); a.code != 200 || !strings.Contains(a.body, want) || !strings.Contains(a.body, `"up_to_date":false`) {
			t.Errorf("%s: got %d %s, want %s", id, a.code, a.body, want)
		}
	}
	c = newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	if a := c.as(t, auth.RoleViewer, tenancy.AllTenants()).do(t, "GET", "tenants/t-aaa/migrations", ""); a.code != 200 || strings.Contains(a.body, "half") {
		t.Errorf("got %d %s, want none", a.code, a.body)
	}
}
