package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t, tenancytest.NewServer(t, name), nil)
			cl := c.as(t, auth.RoleOperator, tenancy.ByIDs(c.a.ID))
			type key struct {
				ID, Name   string
				ReplacedBy string    `json:"replaced_by"`
				ExpiresAt  time.Time `json:"expires_at"`
			}
			var made, next struct {
				Text string
				Key  key
			}
			list := func() (keys []key) {
				t.Helper()
				a := cl.do(t, "GET", "tenants/t-aaa/keys", "")
				var in struct{ Keys []key }
				a.into(t, &in)
				for _, secret := range []string{made.Text, next.Text, "hash"} {
					if secret != "" && strings.Contains(a.body, secret) {
						t.Errorf("got %s, want neither text nor hash", a.body)
					}
				}
				return in.Keys
			}
			issued := cl.do(t, "POST", "tenants/t-aaa/keys", `{"name":"importer","scopes":["notes:write"],"allow":["192.0.2.0/24"],"ttl":3600}`)
			issued.into(t, &made)
			if issued.code != 201 || made.Key.ExpiresAt.IsZero() || !strings.HasPrefix(made.Text, "test_t-aaa_"+made.Key.ID) {
				t.Fatalf("got %d %s, want a key of an hour", issued.code, issued.body)
			}
			if keys := list(); len(keys) != 1 || keys[0].Name != "importer" {
				t.Errorf("got %+v, want the key", keys)
			}
			cl.do(t, "POST", "tenants/t-aaa/keys/"+made.Key.ID+"/rotate", `{"after":60}`).into(t, &next)
			if keys := list(); len(keys) != 2 || keys[0].ReplacedBy != next.Key.ID || next.Text == made.Text {
				t.Errorf("got %+v, want the old and the new key", keys)
			}
			if a := cl.do(t, "POST", "tenants/t-aaa/keys/"+made.Key.ID+"/rotate", `{}`); a.code != 409 {
				t.Errorf("a second rotation: got %d %s, want 409", a.code, a.body)
			}
			if a := cl.do(t, "DELETE", "tenants/t-aaa/keys/"+made.Key.ID, ""); a.code != 204 || len(list()) != 1 {
				t.Errorf("revoked: got %d %s", a.code, a.body)
			}
			if a := cl.do(t, "DELETE", "tenants/t-aaa/keys", ""); a.code != 204 || len(list()) != 0 {
				t.Errorf("all revoked: got %d %s", a.code, a.body)
			}
			for body, want := range map[string]int{`{"name":"x","ttl":-1}`: 422, `{"name":"x","ttl":9223372036854775807}`: 422, `{"name":"x","scopes":["a b"]}`: 422,
				`{"name":"x","allow":["nowhere"]}`: 400, `{"name":"x","hash":"x"}`: 400} {
				if a := cl.do(t, "POST", "tenants/t-aaa/keys", body); a.code != want {
					t.Errorf("%s: got %d %s, want %d", body, a.code, a.body, want)
				}
			}
			for _, path := range []string{"tenants/t-bbb/keys", "tenants/t-none/keys"} {
				if a := cl.do(t, "POST", path, `{"name":"x"}`); a.code != 404 {
					t.Errorf("%s: got %d %s, want 404", path, a.code, a.body)
				}
			}
			log := c.as(t, auth.RoleOwner, tenancy.AllTenants()).do(t, "GET", "audit?tenant=t-aaa", "")
			for _, want := range []string{"key.issue", "key.rotate", "key.revoke", "key.revoke_all"} {
				if !strings.Contains(log.body, `"action":"`+want+`"`) {
					t.Errorf("got %s, want %s", log.body, want)
				}
			}
			if strings.Contains(log.body, made.Text) {
				t.Error("the audit has a key's text")
			}
		})
	}
}

// What changes keys, and what closes the service, asks for fresh credentials, as the table says.
func TestKeysNeedFreshCredentials(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	for _, row := range c.Table() {
		changes := row.Method != "GET" && strings.Contains(row.Pattern, "/keys") || row.Method == "POST" && row.Pattern == "maintenance"
		if changes && !row.StepUp {
			t.Errorf("%s %s: no step-up", row.Method, row.Pattern)
		}
	}
}
