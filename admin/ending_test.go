package admin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestArchiveRestorePurge(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl, support := c.as(t, auth.RoleOwner, tenancy.AllTenants()), c.as(t, auth.RoleSupport, tenancy.AllTenants())
	purge, now := `{"confirm":"aaa"}`, `{"confirm":"aaa","now":true}`
	for _, step := range []struct {
		who          *client
		verb, body   string
		reason       string
		code         int
		problem      string
		statusBehind tenancy.Status
	}{
		{cl, "restore", "", "", 409, "conflict", "active"},
		{cl, "purge", purge, "", 409, "conflict", "active"},
		{cl, "archive", "", "", 200, "", "archived"},
		{support, "restore", "", "", 403, "forbidden", "archived"},
		{support, "deactivate", "", "", 409, "conflict", "archived"}, // which would restore it
		{cl, "restore", "", "", 200, "", "inactive"},
		{cl, "archive", "", "", 200, "", "archived"},
		{cl, "purge", `{"confirm":"bbb","now":true}`, "leaving", 422, "validation", "archived"},
		{cl, "purge", purge, "", 409, "conflict", "archived"}, // within the grace time
		{cl, "purge", now, "", 422, "validation", "archived"}, // without a reason
		{cl, "purge", now, "leaving", 200, "", ""},
	} {
		var headers []string
		if step.reason != "" {
			headers = []string{"X-Reason", step.reason}
		}
		a := step.who.do(t, "POST", "tenants/t-aaa/"+step.verb, step.body, headers...)
		if a.code != step.code || a.code != 200 && a.problem() != step.problem {
			t.Errorf("%s %s: got %d %s, want %d %s", step.verb, step.body, a.code, a.body, step.code, step.problem)
		}
		got, err := c.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: "t-aaa"})
		switch {
		case step.statusBehind == "":
			if !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("%s: got %+v, %v, want no record", step.verb, got, err)
			}
		case err != nil || got.Status != step.statusBehind:
			t.Errorf("%s: got %+v, %v, want it %s", step.verb, got, err, step.statusBehind)
		}
	}
	done := 0
	for e, err := range c.trail.Entries(t.Context(), catalog.AuditFilter{Tenant: "t-aaa"}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Actor.Reason == "leaving" && e.Actor.Kind == tenancy.ActorOperator && e.Result == tenancy.AuditDone {
			done++
		}
	}
	if done < 2 {
		t.Errorf("got %d entries of the purge with its actor and reason, want that it began and that the record was deleted", done)
	}
}

func TestRestoreAndPurgeWantFreshCredentials(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	if _, err := c.cat.SetStatus(t.Context(), c.a.ID, tenancy.StatusArchived); err != nil {
		t.Fatal(err)
	}
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	if _, err := c.db.Exec(`UPDATE tenancy_auth_sessions SET data = REPLACE(data, '"authenticated":"2', '"authenticated":"1')`); err != nil {
		t.Fatal(err)
	}
	for verb, body := range map[string]string{"restore": "", "purge": `{"confirm":"aaa","now":true}`} {
		if a := cl.do(t, "POST", "tenants/t-aaa/"+verb, body, "X-Reason", "leaving"); a.problem() != "step-up" {
			t.Errorf("%s: got %d %s, want a step-up", verb, a.code, a.body)
		}
	}
}

// A tenant that is being made becomes nothing else by a verb, nor by two: it would be served without a database.
func TestHalfMadeTenantsStay(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	half, err := c.cat.Create(t.Context(), &tenancy.Tenant{Slug: "half", Placement: tenancy.Placement{Server: "sqlite", Database: "half"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"activate", "suspend", "block", "deactivate", "archive", "activate"} {
		a := cl.do(t, "POST", "tenants/"+string(half.ID)+"/"+verb, "")
		if a.code != 409 || a.problem() != "unfinished" || !strings.Contains(a.body, "Resume") {
			t.Errorf("%s: got %d %s, want unfinished that says to resume the creation", verb, a.code, a.body)
		}
		if got, err := c.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(half.ID)}); err != nil || got.Status != tenancy.StatusProvisioning || got.Version != 1 {
			t.Fatalf("%s: got %+v, %v, want no change", verb, got, err)
		}
	}
	if a := cl.do(t, "POST", "tenants/"+string(half.ID)+"/restore", ""); a.code != 409 {
		t.Errorf("restore: got %d %s, want a conflict", a.code, a.body)
	}
	if a := cl.do(t, "POST", "actions/bulk-activate", `{"dry_run":true,"ids":["`+string(half.ID)+`","t-aaa"]}`); !strings.Contains(a.body, `"eligible":1`) || !strings.Contains(a.body, "resume its creation") {
		t.Errorf("bulk: got %d %s, want it left out, and why", a.code, a.body)
	}
	// It goes by its purge alone.
	path := "tenants/" + string(half.ID) + "/purge"
	if a := cl.do(t, "POST", path, `{"confirm":"half"}`); a.code != 409 {
		t.Errorf("purge within the grace time: got %d %s, want a conflict", a.code, a.body)
	}
	if a := cl.do(t, "POST", path, `{"confirm":"half","now":true}`, "X-Reason", "never finished"); a.code != 200 {
		t.Errorf("purge: got %d %s, want it done", a.code, a.body)
	}
}

// resumeless restores and purges, and cannot resume.
type resumeless struct{ admin.Lifecycle }

// A creation that was cut off is resumed, by who may make tenants and in their name; other tenants are not. Without the ability there is no such route.
func TestResume(t *testing.T) {
	t.Parallel()
	server := tenancytest.NewServer(t, "sqlite")
	c := newConsole(t, server, nil)
	cl, support := c.as(t, auth.RoleOperator, tenancy.AllTenants()), c.as(t, auth.RoleSupport, tenancy.AllTenants())
	half, err := c.cat.Create(t.Context(), &tenancy.Tenant{Slug: "half", Placement: tenancy.Placement{Server: server.Name, Database: "tenant_half"}})
	if err != nil {
		t.Fatal(err)
	}
	path := "tenants/" + string(half.ID) + "/resume"
	if a := support.do(t, "POST", path, ""); a.code != 403 {
		t.Errorf("support: got %d %s, want it forbidden", a.code, a.body)
	}
	if a := c.as(t, auth.RoleOperator, tenancy.ByIDs(c.a.ID)).do(t, "POST", path, ""); a.code != 404 {
		t.Errorf("outside of the scope: got %d %s, want it not found", a.code, a.body)
	}
	if a := cl.do(t, "POST", "tenants/t-aaa/resume", ""); a.code != 409 || a.problem() != "conflict" {
		t.Errorf("an active tenant: got %d %s, want a conflict", a.code, a.body)
	}
	for range 2 { // with one key it is done once
		if a := cl.do(t, "POST", path, "", "Idempotency-Key", "k", "X-Reason", "cut off"); a.code != 200 || !strings.Contains(a.body, `"status":"active"`) {
			t.Fatalf("resume: got %d %s, want the tenant active", a.code, a.body)
		}
	}
	if a := cl.do(t, "POST", path, ""); a.code != 409 {
		t.Errorf("again: got %d %s, want a conflict", a.code, a.body)
	}
	now, err := c.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(half.ID)})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := server.Pool(t, nil).Exists(t.Context(), now); !ok || err != nil {
		t.Errorf("the database exists: got %v, %v, want true", ok, err)
	}
	entries := 0
	for e, err := range c.trail.Entries(t.Context(), catalog.AuditFilter{Tenant: half.ID}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Action == "tenant.status" && e.Actor.Kind == tenancy.ActorOperator && e.Actor.Reason == "cut off" && e.Result == tenancy.AuditDone {
			entries++
		}
	}
	if entries != 1 {
		t.Errorf("got %d entries of the operator with the reason, want 1", entries)
	}
	without := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { o.Lifecycle = resumeless{o.Lifecycle} })
	cl = without.as(t, auth.RoleOwner, tenancy.AllTenants())
	if a := cl.do(t, "POST", "tenants/t-aaa/resume", ""); a.problem() != "not-configured" {
		t.Errorf("without the ability: got %d %s, want not-configured", a.code, a.body)
	}
	if a := cl.do(t, "POST", "tenants/t-aaa/restore", ""); a.problem() == "not-configured" {
		t.Errorf("restore without the ability to resume: got %d %s", a.code, a.body)
	}
}

// Tenants that are provisioning or purging for more than ten minutes need attention.
func TestStuckTenantsNeedAttention(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := newConsole(t, s, nil)
		cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
		attention := func() map[string]string {
			t.Helper()
			c.RunOnce(t.Context())
			var o struct {
				Attention []struct {
					Kind, Text string
					Since      time.Time
				}
			}
			cl.do(t, "GET", "analytics/overview", "").into(t, &o)
			out := map[string]string{}
			for _, a := range o.Attention {
				if strings.HasPrefix(a.Kind, "half-") {
					out[a.Kind] = a.Text
					if age := time.Since(a.Since); age < 2*time.Hour {
						t.Errorf("%s: got since %v, want that of the oldest", a.Kind, a.Since)
					}
				}
			}
			return out
		}
		for slug, status := range map[string]tenancy.Status{"h1": tenancy.StatusProvisioning, "h2": tenancy.StatusProvisioning, "h3": tenancy.StatusProvisioning, "p1": tenancy.StatusPurging, "p2": tenancy.StatusPurging} {
			if _, err := c.cat.Create(t.Context(), &tenancy.Tenant{ID: tenancy.ID(slug), Slug: slug, Status: status}); err != nil {
				t.Fatal(err)
			}
		}
		if got := attention(); len(got) != 0 {
			t.Errorf("of tenants that are being made: got %v, want nothing", got)
		}
		for id, age := range map[string]time.Duration{"h1": time.Hour, "h2": 3 * time.Hour, "p1": 2 * time.Hour, "t-aaa": 5 * time.Hour} {
			if _, err := c.db.Exec(c.db.Rebind(`UPDATE tenancy_tenants SET updated_at = ? WHERE id = ?`), time.Now().Add(-age).UnixMicro(), id); err != nil {
				t.Fatal(err)
			}
		}
		got := attention()
		if len(got) != 2 || !strings.HasPrefix(got["half-made"], "2 tenants have been provisioning") || !strings.HasPrefix(got["half-purged"], "1 tenant has been purging") {
			t.Errorf("got %v, want two that are half made and one that is half purged", got)
		}
		for _, id := range []tenancy.ID{"h1", "h2", "p1"} {
			if err := c.cat.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if got := attention(); len(got) != 0 {
			t.Errorf("when they are gone: got %v, want nothing", got)
		}
	})
}

// timed notes for how long a purge may take.
type timed struct {
	admin.Lifecycle
	lasts time.Duration
}

func (s *timed) Purge(ctx context.Context, _ tenancy.ID) error {
	until, _ := ctx.Deadline()
	s.lasts = time.Until(until)
	return nil
}

// An Idempotency-Key, which the page always sends, leaves the time that a database, its migrations and its last backup take.
func TestKeysLeaveTime(t *testing.T) {
	t.Parallel()
	var created time.Duration
	purged := &timed{}
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) {
		create := o.Create
		o.Create = func(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
			until, _ := ctx.Deadline()
			created = time.Until(until)
			return create(ctx, t)
		}
		o.Lifecycle = purged
	})
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	if a := cl.do(t, "POST", "tenants", `{"slug":"ccc"}`, "Idempotency-Key", "1"); a.code != 201 {
		t.Fatalf("create: got %d %s", a.code, a.body)
	}
	if a := cl.do(t, "POST", "tenants/t-aaa/purge", `{"confirm":"aaa"}`, "Idempotency-Key", "2"); a.code != 200 {
		t.Fatalf("purge: got %d %s", a.code, a.body)
	}
	if created < 5*time.Minute || purged.lasts < 30*time.Minute {
		t.Errorf("got %v to create and %v to purge, want about 10 minutes and an hour", created, purged.lasts)
	}
}

// What is refused because of the state that a thing is in says so: nobody else has changed it.
func TestConflictsSayWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	for _, tt := range []struct{ path, body, want string }{
		{"tenants/t-aaa/purge", `{"confirm":"aaa"}`, "The tenant is active: archive it first."},
		{"tenants/t-aaa/restore", "", "this one is active"},
		{"tenants/t-aaa/resume", "", "the tenant is active"},
		{"tenants/t-aaa/maintenance/drain", "", "Maintenance is not in force"},
	} {
		a := cl.do(t, "POST", tt.path, tt.body)
		if a.code != 409 || a.problem() != "conflict" || !strings.Contains(a.body, tt.want) || strings.Contains(a.body, "meanwhile") {
			t.Errorf("%s: got %d %s, want %q", tt.path, a.code, a.body, tt.want)
		}
	}
	if a := cl.do(t, "POST", "tenants/t-aaa/archive", ""); a.code != 200 {
		t.Fatalf("archive: got %d %s", a.code, a.body)
	}
	for path, want := range map[string]string{"tenants/t-aaa/suspend": "The tenant is archived; restore it first.", "tenants/t-aaa/purge": "grace time"} {
		body := ""
		if strings.HasSuffix(path, "purge") {
			body = `{"confirm":"aaa"}`
		}
		if a := cl.do(t, "POST", path, body); a.code != 409 || !strings.Contains(a.body, want) {
			t.Errorf("%s: got %d %s, want %q", path, a.code, a.body, want)
		}
	}
	if a := cl.do(t, "POST", "tenants/t-aaa/purge", `{"confirm":"aaa","now":true}`); a.code != 422 || !strings.Contains(a.body, "X-Reason") {
		t.Errorf("without a reason: got %d %s, want 422 that asks for one", a.code, a.body)
	}
	var p planned
	cl.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"ids":["t-bbb"]}`).into(t, &p)
	if a := cl.do(t, "POST", "runs/"+p.Plan+"/retry", ""); a.code != 409 || !strings.Contains(a.body, "The run is planned") {
		t.Errorf("a retry of a plan: got %d %s, want its state", a.code, a.body)
	}
}

// poolered refuses to purge and to resume, as it does behind a pooler in transaction mode.
type poolered struct{ admin.Lifecycle }

var errPoolered = fmt.Errorf("%w: a pooler in transaction mode", tenancy.ErrInvalid)

func (poolered) Purge(context.Context, tenancy.ID) error    { return errPoolered }
func (poolered) PurgeNow(context.Context, tenancy.ID) error { return errPoolered }
func (poolered) Resume(context.Context, tenancy.ID) (*tenancy.Tenant, error) {
	return nil, errPoolered
}

// lines is a log that several goroutines write.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// What is refused for another reason than the tenant's state is not said to be, and the log has the reason.
func TestRefusalsAreNotGuessed(t *testing.T) {
	t.Parallel()
	var log lines
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) {
		o.Lifecycle, o.Logger = poolered{o.Lifecycle}, slog.New(slog.NewTextHandler(&log, nil))
	})
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	for status, id := range map[tenancy.Status]tenancy.ID{tenancy.StatusArchived: "t-aaa", tenancy.StatusProvisioning: "t-bbb"} {
		if _, err := c.db.Exec(`UPDATE tenancy_tenants SET status = ? WHERE id = ?`, status, id); err != nil {
			t.Fatal(err)
		}
	}
	for path, body := range map[string]string{"tenants/t-aaa/purge": `{"confirm":"aaa","now":true}`, "tenants/t-bbb/resume": ""} {
		a := cl.do(t, "POST", path, body, "X-Reason", "leaving")
		if a.code != 409 || !strings.Contains(a.body, "log says why") || strings.Contains(a.body, "grace") || strings.Contains(a.body, "Nothing is left") {
			t.Errorf("%s: got %d %s, want that the log says why", path, a.code, a.body)
		}
		if !strings.Contains(log.String(), "path=/api/tenancy/"+path) || !strings.Contains(log.String(), "pooler in transaction mode") {
			t.Errorf("%s: the log has %q, want the reason", path, log.String())
		}
	}
}
