package admin_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

const anotherPassword = "a new horse, another staple"

func TestPasswordsOverHTTP(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	owner := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	if a := owner.do(t, "POST", "auth/password", `{"current":"`+password+`","password":"`+anotherPassword+`"}`); a.code != 204 {
		t.Fatalf("change: got %d %s", a.code, a.body)
	}
	if a := owner.do(t, "POST", "auth/password", `{"current":"`+password+`","password":"`+anotherPassword+`"}`); a.code != 401 {
		t.Errorf("the old one: got %d %s, want 401", a.code, a.body)
	}
	o, err := c.Auth().CreateOperator(t.Context(), auth.OperatorSpec{Email: "vic@example.com", Role: auth.RoleViewer, Scope: tenancy.AllTenants(), Password: password})
	if err != nil {
		t.Fatal(err)
	}
	var link struct {
		Token string
		Sent  bool
	}
	if a := owner.do(t, "POST", "operators/"+o.ID+"/reset", ""); a.code != 201 {
		t.Fatalf("reset: got %d %s", a.code, a.body)
	} else if a.into(t, &link); link.Token == "" || link.Sent {
		t.Fatalf("got %+v, want a token", link)
	}
	stranger := c.client()
	if a := stranger.do(t, "POST", "auth/reset", `{"token":"`+link.Token+`","password":"short"}`); a.problem() != "validation" || !strings.Contains(a.body, `"/password"`) {
		t.Errorf("weak: got %d %s, want validation", a.code, a.body)
	}
	if a := stranger.do(t, "POST", "auth/reset", `{"token":"`+link.Token+`","password":"`+anotherPassword+`"}`); a.code != 204 {
		t.Errorf("got %d %s, want 204", a.code, a.body)
	}
	if a := stranger.do(t, "POST", "auth/sign-in", `{"email":"vic@example.com","password":"`+anotherPassword+`"}`); a.code != 200 {
		t.Errorf("got %d %s, want the new password to do", a.code, a.body)
	}
	var sessions struct{ Sessions []struct{ ID string } }
	if owner.do(t, "GET", "operators/"+o.ID+"/sessions", "").into(t, &sessions); len(sessions.Sessions) != 1 {
		t.Fatalf("got %+v, want one session", sessions)
	}
	if a := owner.do(t, "DELETE", "operators/"+o.ID+"/sessions/"+sessions.Sessions[0].ID, ""); a.code != 204 {
		t.Errorf("got %d %s, want 204", a.code, a.body)
	}
	if a := stranger.do(t, "GET", "me", ""); a.code != 401 || a.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("got %d %s, want the session ended", a.code, a.body)
	}
	// A rescue needs attention.
	boss, err := c.Auth().CreateOperator(t.Context(), auth.OperatorSpec{Email: "boss@example.com", Role: auth.RoleOwner, Scope: tenancy.AllTenants(), Password: password})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := c.Auth().Rescue(t.Context(), boss.Email)
	if err != nil {
		t.Fatal(err)
	}
	if a := stranger.do(t, "POST", "auth/rescue", `{"token":"`+token.Reveal()+`","password":"`+anotherPassword+`"}`); a.code != 200 {
		t.Fatalf("rescue: got %d %s", a.code, a.body)
	}
	if a := owner.do(t, "GET", "analytics/overview", ""); !strings.Contains(a.body, `"kind":"rescue-used"`) {
		t.Errorf("got %s, want it to need attention", a.body)
	}
}

func TestInvitationsAreListedAndRevoked(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	owner := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	var link struct{ Token string }
	owner.do(t, "POST", "invitations", `{"email":"new@example.com","role":"viewer","scope":{"ids":["t-bbb"]}}`).into(t, &link)
	var list struct{ Invitations []struct{ ID, Email string } }
	if owner.do(t, "GET", "invitations", "").into(t, &list); len(list.Invitations) != 1 || list.Invitations[0].Email != "new@example.com" {
		t.Fatalf("got %+v, want one", list)
	}
	scoped := c.as(t, auth.RoleSecurity, tenancy.ByIDs(c.a.ID))
	if a := scoped.do(t, "GET", "invitations", ""); strings.Contains(a.body, "t-bbb") {
		t.Errorf("in another scope: got %s, want none", a.body)
	}
	if a := scoped.do(t, "DELETE", "invitations/"+list.Invitations[0].ID, ""); a.code != 403 && a.code != 404 {
		t.Errorf("in another scope: got %d %s, want a refusal", a.code, a.body)
	}
	if a := owner.do(t, "DELETE", "invitations/"+list.Invitations[0].ID, ""); a.code != 204 {
		t.Fatalf("got %d %s", a.code, a.body)
	}
	if a := c.client().do(t, "POST", "auth/accept", `{"token":"`+link.Token+`","password":"`+password+`"}`); a.code != 401 {
		t.Errorf("revoked: got %d %s, want 401", a.code, a.body)
	}
}

// A machine may do what its token was granted, and its entries name it.
func TestMachines(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	owner := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	var made struct {
		Text  string
		Token struct{ ID string }
	}
	if a := owner.do(t, "POST", "tokens", `{"name":"ci","permissions":["tenants.read","tenants.status","tenants.keys","audit.read"],"scope":{"tags":["eu"]},"ttl":3600}`); a.code != 201 {
		t.Fatalf("got %d %s", a.code, a.body)
	} else {
		a.into(t, &made)
	}
	machine := c.client()
	do := func(method, path, body string) answer {
		return machine.do(t, method, path, body, "Authorization", "Bearer "+made.Text)
	}
	for _, tt := range []struct {
		method, path, body string
		code               int
		problem            string
	}{
		{"GET", "tenants/t-aaa", "", 200, ""}, {"GET", "tenants/t-bbb", "", 404, "unknown"}, {"GET", "me", "", 200, ""},
		{"POST", "tenants/t-aaa/suspend", "", 200, ""}, {"GET", "operators", "", 403, "forbidden"}, {"GET", "sessions", "", 403, "forbidden"}, {"GET", "views", "", 403, "forbidden"},
		{"POST", "tenants/t-aaa/archive", "", 403, "forbidden"}, {"DELETE", "tenants/t-aaa/keys", "", 403, "step-up"},
	} {
		if a := do(tt.method, tt.path, tt.body); a.code != tt.code || a.problem() != tt.problem {
			t.Errorf("%s %s: got %d %s, want %d %s", tt.method, tt.path, a.code, a.body, tt.code, tt.problem)
		}
	}
	if a := owner.do(t, "GET", "tenants/t-aaa/audit?action=tenant.status", ""); !strings.Contains(a.body, `{"kind":"token","id":"`+made.Token.ID+`","name":"ci"`) {
		t.Errorf("got %s, want the token named", a.body)
	}
	if a := owner.do(t, "GET", "tokens", ""); !strings.Contains(a.body, `"used_from":"127.0.0.1"`) || strings.Contains(a.body, made.Text) {
		t.Errorf("got %s, want its last use, and not its text", a.body)
	}
	if a := owner.do(t, "GET", "me", "", "Authorization", "Bearer "+made.Text); a.code != 400 {
		t.Errorf("a cookie beside it: got %d %s, want 400", a.code, a.body)
	}
	if a := owner.do(t, "DELETE", "tokens/"+made.Token.ID, ""); a.code != 204 {
		t.Fatalf("got %d %s", a.code, a.body)
	}
	if a := do("GET", "tenants", ""); a.code != 401 {
		t.Errorf("revoked: got %d %s, want 401", a.code, a.body)
	}
}

func TestRulesAndSettings(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	owner := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	tag := owner.do(t, "GET", "ip-rules", "").header.Get("ETag")
	if a := owner.do(t, "POST", "ip-rules/check", `{"all":["192.0.2.0/24"]}`); a.code != 200 || !strings.Contains(a.body, `"you":true`) || !strings.Contains(a.body, `"your_address":"127.0.0.1"`) {
		t.Errorf("got %d %s, want oneself locked out", a.code, a.body)
	}
	for body, want := range map[string]string{`{"all":["192.0.2.0/24"]}`: "locks-out-you", `{"roles":{"owner":["x"]}}`: "/roles/owner/0", `{"roles":{"nobody":["127.0.0.1"]}}`: "unknown"} {
		if a := owner.do(t, "PUT", "ip-rules", body, "If-Match", tag); a.problem() != "validation" || !strings.Contains(a.body, want) {
			t.Errorf("%s: got %d %s, want %s", body, a.code, a.body, want)
		}
	}
	if a := owner.do(t, "PUT", "ip-rules", `{"all":["127.0.0.1","10.0.0.0/8"]}`); a.code != 428 {
		t.Errorf("got %d %s, want 428", a.code, a.body)
	}
	if a := owner.do(t, "PUT", "ip-rules", `{"all":["127.0.0.1","10.0.0.0/8"]}`, "If-Match", tag); a.code != 200 {
		t.Errorf("got %d %s, want 200", a.code, a.body)
	}
	if a := owner.do(t, "PUT", "ip-rules", `{}`, "If-Match", tag); a.code != 412 {
		t.Errorf("got %d %s, want 412", a.code, a.body)
	}
	tag = owner.do(t, "GET", "settings", "").header.Get("ETag")
	if a := owner.do(t, "PUT", "settings", `{"bulk_threshold":1,"idle_timeout":3}`, "If-Match", tag); a.problem() != "validation" {
		t.Errorf("got %d %s, want validation", a.code, a.body)
	}
	if a := owner.do(t, "PUT", "settings", `{"bulk_threshold":1}`, "If-Match", tag); a.code != 200 || !strings.Contains(a.body, `"defaults":{"lifetime":43200`) {
		t.Errorf("got %d %s, want 200", a.code, a.body)
	}
	if a := owner.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"filter":"status:active"}`); !strings.Contains(a.body, `"step_up":true`) {
		t.Errorf("got %s, want the new threshold", a.body)
	}
	if a := owner.do(t, "GET", "audit?action=settings.update,iprules.update", ""); !strings.Contains(a.body, "bulk_threshold") || !strings.Contains(a.body, "10.0.0.0/8") {
		t.Errorf("got %s, want both on the record", a.body)
	}
}

func TestViews(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := newConsole(t, s, nil)
		all, scoped := c.as(t, auth.RoleViewer, tenancy.AllTenants()), c.as(t, auth.RoleViewer, tenancy.ByTags("eu"))
		type viewed struct {
			ID, Filter, Name string
			Mine             bool
		}
		var mine viewed
		a := scoped.do(t, "POST", "views", `{"name":"Überfällig","filter":"tag:overdue requests:>10","columns":["slug","requests"],"sort":"-requests","shared":true}`)
		if a.code != 201 {
			t.Fatalf("got %d %s", a.code, a.body)
		}
		a.into(t, &mine)
		if a := all.do(t, "POST", "views", `{"name":"Of all","filter":"bbb","shared":true}`); a.code != 201 {
			t.Fatalf("got %d %s", a.code, a.body)
		}
		for _, body := range []string{`{"name":""}`, `{"name":"x","filter":"staus:x"}`, `{"name":"x","columns":["a b"]}`, `{"name":"x","sort":"--"}`, `{"name":"x","page":"/"}`} {
			if a := all.do(t, "POST", "views", body); a.problem() != "validation" {
				t.Errorf("%s: got %d %s, want validation", body, a.code, a.body)
			}
		}
		var list struct{ Views []viewed }
		if scoped.do(t, "GET", "views", "").into(t, &list); len(list.Views) != 1 || !list.Views[0].Mine {
			t.Errorf("in the scope: got %+v, want one's own: the other may name others' tenants", list)
		}
		if all.do(t, "GET", "views", "").into(t, &list); len(list.Views) != 2 {
			t.Errorf("got %+v, want both", list)
		}
		if a := all.do(t, "PUT", "views/"+mine.ID, `{"name":"Taken"}`, "If-Match", `"v1"`); a.code != 403 {
			t.Errorf("somebody else's: got %d %s, want 403", a.code, a.body)
		}
		if a := scoped.do(t, "PUT", "views/"+mine.ID, `{"name":"Overdue"}`, "If-Match", `"v2"`); a.code != 412 {
			t.Errorf("got %d %s, want 412", a.code, a.body)
		}
		if a := scoped.do(t, "PUT", "views/"+mine.ID, `{"name":"Overdue"}`, "If-Match", `"v1"`); a.code != 200 || a.header.Get("ETag") != `"v2"` {
			t.Errorf("got %d %s, want 200", a.code, a.body)
		}
		if a := scoped.do(t, "DELETE", "views/"+mine.ID, "", "If-Match", `"v2"`); a.code != 204 {
			t.Errorf("got %d %s, want 204", a.code, a.body)
		}
		if a := scoped.do(t, "GET", "me/preferences", ""); a.body != "{}\n" || a.header.Get("ETag") != `"v0"` {
			t.Errorf("got %d %s, want nothing", a.code, a.body)
		}
		for i, body := range []string{`{"theme":"dark"}`, `{"theme":"light","columns":["a"]}`} {
			if a := scoped.do(t, "PUT", "me/preferences", body, "If-Match", `"v`+string(rune('0'+i))+`"`); a.code != 200 {
				t.Errorf("got %d %s, want 200", a.code, a.body)
			}
		}
		if a := scoped.do(t, "PUT", "me/preferences", `{}`, "If-Match", `"v1"`); a.code != 412 {
			t.Errorf("got %d %s, want 412", a.code, a.body)
		}
		if a := scoped.do(t, "GET", "me/preferences", ""); !strings.Contains(a.body, `"light"`) {
			t.Errorf("got %d %s, want the second", a.code, a.body)
		}
	})
}

// signedOn is the application's own sign-in: a header names the operator.
type signedOn struct{}

func (signedOn) Authenticate(r *http.Request) (*auth.Principal, error) {
	if r.Header.Get("X-Who") == "" {
		return nil, tenancy.ErrUnauthenticated
	}
	return &auth.Principal{ID: r.Header.Get("X-Who"), Name: "Ada", Permissions: auth.NewPermissions(auth.TenantsRead, auth.TenantsStatus, auth.AuditRead), Scope: tenancy.ByTags("eu")}, nil
}

// With the application's own sign-in the routes of ours are gone, and roles, scope and audit stay.
func TestOwnSignIn(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { o.Auth.Authenticator = signedOn{} })
	cl := c.client()
	do := func(method, path string) answer { return cl.do(t, method, path, "", "X-Who", "ada@example.com") }
	for _, row := range c.Table() {
		if row.Own {
			t.Errorf("%s %s is there", row.Method, row.Pattern)
		}
	}
	cl.undocumented = true
	for _, path := range []string{"auth/sign-in", "operators", "sessions", "tokens", "invitations"} {
		if a := do("GET", path); a.problem() != "unknown" {
			t.Errorf("%s: got %d %s, want nothing there", path, a.code, a.body)
		}
	}
	cl.undocumented = false
	if a := cl.do(t, "GET", "tenants", ""); a.code != 401 {
		t.Errorf("nobody: got %d %s, want 401", a.code, a.body)
	}
	if a := do("GET", "me"); !strings.Contains(a.body, `"own_sign_in":false`) {
		t.Errorf("got %d %s, want another sign-in", a.code, a.body)
	}
	if a := do("GET", "tenants/t-bbb"); a.code != 404 {
		t.Errorf("out of scope: got %d %s, want 404", a.code, a.body)
	}
	if a := do("POST", "tenants/t-aaa/suspend"); a.code != 200 {
		t.Errorf("got %d %s, want 200", a.code, a.body)
	}
	if a := do("POST", "tenants/t-aaa/archive"); a.code != 403 {
		t.Errorf("got %d %s, want 403", a.code, a.body)
	}
	if a := do("GET", "tenants/t-aaa/audit"); !strings.Contains(a.body, `"id":"ada@example.com"`) {
		t.Errorf("got %s, want who did it", a.body)
	}
}

// Owners let in again who lost a second factor, and operators replace their recovery codes; both with fresh credentials.
func TestSecondFactorsAreReplaced(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	owner, security, viewer := c.as(t, auth.RoleOwner, tenancy.AllTenants()), c.as(t, auth.RoleSecurity, tenancy.AllTenants()), c.as(t, auth.RoleViewer, tenancy.AllTenants())
	var who struct{ ID string }
	viewer.do(t, "GET", "me", "").into(t, &who)
	path := "operators/" + who.ID + "/second-factor"
	if a := owner.do(t, "DELETE", path, ""); a.code != 409 || !strings.Contains(a.body, "There is no second factor.") {
		t.Errorf("without one: got %d %s, want 409", a.code, a.body)
	}
	var e struct{ Secret string }
	viewer.do(t, "POST", "auth/enrolment", "").into(t, &e)
	code, err := totp.GenerateCode(e.Secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if a := viewer.do(t, "POST", "auth/enrolment/confirm", `{"code":"`+code+`"}`); a.code != 200 {
		t.Fatalf("enrol: got %d %s", a.code, a.body)
	}
	var codes struct {
		Codes []string `json:"recovery_codes"`
	}
	if viewer.do(t, "POST", "auth/recovery-codes", "").into(t, &codes); len(codes.Codes) != 10 {
		t.Errorf("got %d codes, want ten", len(codes.Codes))
	}
	if a := security.do(t, "DELETE", path, ""); a.code != 403 {
		t.Errorf("no owner: got %d %s, want 403", a.code, a.body)
	}
	if a := owner.do(t, "DELETE", path, ""); a.code != 204 {
		t.Errorf("got %d %s, want 204", a.code, a.body)
	}
	if a := viewer.do(t, "GET", "me", ""); a.code != 401 {
		t.Errorf("got %d %s, want the session ended", a.code, a.body)
	}
	if _, err := c.db.Exec(`UPDATE tenancy_auth_sessions SET data = REPLACE(data, '"authenticated":"2', '"authenticated":"1')`); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]string{{"DELETE", path}, {"POST", "auth/recovery-codes"}} {
		if a := owner.do(t, r[0], r[1], ""); a.problem() != "step-up" {
			t.Errorf("%s %s without fresh credentials: got %d %s, want step-up", r[0], r[1], a.code, a.body)
		}
	}
}
