package admin_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
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
		{cl, "purge", now, "", 409, "conflict", "archived"},   // without a reason
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
