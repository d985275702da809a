package admin_test

import (
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { o.ShownSettings = []string{"locale"} })
	cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
	tag := cl.do(t, "GET", "tenants/t-aaa/settings", "").header.Get("ETag")
	if a := cl.do(t, "PATCH", "tenants/t-aaa/settings", `{"settings":{"locale":"de"}}`); a.code != 428 {
		t.Errorf("without If-Match: got %d %s, want 428", a.code, a.body)
	}
	a := cl.do(t, "PATCH", "tenants/t-aaa/settings", `{"settings":{"locale":"de","token":"planted-secret","homepage":"off"}}`, "If-Match", tag)
	for _, want := range []string{`{"name":"homepage","value":"off","hidden":false}`, `{"name":"locale","value":"de","hidden":false}`, `{"name":"smtp.password","hidden":true}`, `{"name":"token","hidden":true}`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("got %d %s, want %s", a.code, a.body, want)
		}
	}
	if a := cl.do(t, "PATCH", "tenants/t-aaa/settings", `{"settings":{"locale":null}}`, "If-Match", tag); a.code != 412 {
		t.Errorf("an old version: got %d %s, want 412", a.code, a.body)
	}
	if a := cl.do(t, "PATCH", "tenants/t-aaa/settings", `{"settings":{"locale":null}}`, "If-Match", a.header.Get("ETag")); a.code != 200 || strings.Contains(a.body, "locale") {
		t.Errorf("got %d %s, want the setting removed", a.code, a.body)
	}
	for _, body := range []string{`{"settings":{}}`, `{"settings":{"a\u0000":"x"}}`} {
		if a := cl.do(t, "PATCH", "tenants/t-aaa/settings", body, "If-Match", cl.do(t, "GET", "tenants/t-aaa", "").header.Get("ETag")); a.problem() != "validation" {
			t.Errorf("%s: got %d %s, want validation", body, a.code, a.body)
		}
	}
	if a := cl.do(t, "GET", "tenants/t-aaa/audit", ""); !strings.Contains(a.body, "settings.token") { // and not its value: see check
		t.Errorf("got %s, want the change on the record", a.body)
	}
	got, err := c.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: "t-aaa"})
	if err != nil || got.Settings["token"] != "planted-secret" || got.Settings["smtp.password"] != "planted-secret" {
		t.Errorf("got %v, %v, want the settings kept", got, err)
	}
}

// TestSettingsOfRuns shows that a run hides the settings that it sets as the tenants' records do: check looks for the planted value.
func TestSettingsOfRuns(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { o.ShownSettings = []string{"locale"} })
	plan, err := c.runner.Plan(t.Context(), "update", runs.Spec{IDs: []tenancy.ID{"t-aaa"}, Params: tenancy.Params{"setting.token": "planted-secret", "setting.locale": "de", "plan": "pro"}})
	if err == nil {
		_, err = c.runner.Start(t.Context(), plan.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	cl := c.as(t, auth.RoleViewer, tenancy.AllTenants())
	for _, path := range []string{"runs", "runs/" + plan.ID, "tenants/t-aaa/runs"} {
		if a := cl.do(t, "GET", path, ""); !strings.Contains(a.body, `{"plan":"pro","setting.locale":"de","setting.token":"[redacted]"}`) {
			t.Errorf("%s: got %s, want the token hidden", path, a.body)
		}
	}
}

func TestAddressesAndHomepage(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
	tag := cl.do(t, "GET", "tenants/t-aaa/addresses", "").header.Get("ETag")
	a := cl.do(t, "PUT", "tenants/t-aaa/addresses", `{"allow":["192.0.2.7","10.1.2.3/8","::ffff:192.0.2.0/120"],"deny":["2001:db8::/32"]}`, "If-Match", tag)
	if a.code != 200 || !strings.Contains(a.body, `"allow":["192.0.2.7/32","10.0.0.0/8","192.0.2.0/24"]`) || !strings.Contains(a.body, `"deny":["2001:db8::/32"]`) {
		t.Errorf("got %d %s, want the prefixes masked", a.code, a.body)
	}
	tag = a.header.Get("ETag")
	for _, bad := range []string{"10.0.0.0/33", "", "example.com", "fe80::1%eth0", "::ffff:1.2.3.4/90"} {
		if a := cl.do(t, "PUT", "tenants/t-aaa/addresses", `{"allow":["10.0.0.0/8","`+bad+`"],"deny":[]}`, "If-Match", tag); a.problem() != "validation" || !strings.Contains(a.body, `"/allow/1"`) {
			t.Errorf("%q: got %d %s, want validation of the second", bad, a.code, a.body)
		}
	}
	if a := cl.do(t, "GET", "tenants/t-aaa/homepage", ""); !strings.Contains(a.body, `"on":true`) {
		t.Errorf("got %s, want the homepage on", a.body)
	}
	if a := cl.do(t, "PUT", "tenants/t-aaa/homepage", `{"on":false}`, "If-Match", tag); !strings.Contains(a.body, `"on":false`) {
		t.Errorf("got %s, want the homepage off", a.body)
	}
	if got, err := c.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: "t-aaa"}); err != nil || got.Settings["homepage"] != "off" || got.Settings["smtp.password"] == "" {
		t.Errorf("got %v, %v, want one setting changed", got, err)
	}
}

func TestTokensAreRevoked(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	if a := c.as(t, auth.RoleOperator, tenancy.AllTenants()).do(t, "POST", "tenants/t-aaa/tokens/revoke", ""); a.code != 200 {
		t.Fatalf("got %d %s", a.code, a.body)
	}
	if got, err := c.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: "t-aaa"}); err != nil || got.Access.TokenGeneration != 1 {
		t.Errorf("got %v, %v, want the next generation", got, err)
	}
}

// A tenant that leaves the scope between the look at the request and the change is not changed: as here, when the key of the request is written.
func TestScopeCountsInTheChange(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"tenants/t-aaa/suspend", "tenants/t-aaa/archive", "tenants/t-aaa/tokens/revoke"} {
		c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
		cl := c.as(t, auth.RoleOwner, tenancy.ByTags("eu"))
		if _, err := c.db.Exec(`CREATE TRIGGER leaves AFTER INSERT ON tenancy_admin_keys BEGIN
			UPDATE tenancy_tenants SET tags = 'us', version = version + 1 WHERE id = 't-aaa'; END`); err != nil {
			t.Fatal(err)
		}
		if a := cl.do(t, "POST", path, "", "Idempotency-Key", "1"); a.code != 404 {
			t.Errorf("%s: got %d %s, want 404", path, a.code, a.body)
		}
		got, err := c.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: "t-aaa"})
		if err != nil || got.Status != tenancy.StatusActive || got.Version != c.a.Version+1 || got.Tags[0] != "us" {
			t.Errorf("%s: got %+v, %v, want it as it was", path, got, err)
		}
	}
}
