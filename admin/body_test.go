package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A body that two JSON parsers could read differently is refused: duplicate names, names in another case, invalid UTF-8.
func TestBodiesSayOneThing(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	cl.undocumented = true
	for _, tt := range []struct {
		body, kind string
		code       int
	}{
		{`{"name":"a","name":"b"}`, "", 400},
		{`{"name":"a","NAME":"b"}`, "", 400},
		{`{"Name":"a"}`, "", 400},
		{`{"\u017fort":"slug","name":"a"}`, "", 400}, // a letter that folds to s
		{`{"name":"a","columns":[{"a":1,"a":2}]}`, "", 400},
		{"{\"name\":\"\xff\xfe\"}", "", 400},
		{`null`, "", 400},
		{`[]`, "", 400},
		{`"name"`, "", 400},
		{``, "application/json", 400},
		{`{"name":"a"`, "", 400},
		{`{"name":"a"}}`, "", 400},
		{`{"name":"a"} {}`, "", 400},
		{strings.Repeat("[", 1<<19), "", 400},
		{`{"name":` + strings.Repeat("[", 1<<19), "", 400},
		{`{"name":"a"}`, "application/json; charset=utf-16", 415},
		{`{"name":"a"}`, "text/plain", 415},
		{`{"name":"a"}`, "application/json; charset=UTF-8", 201},
		{"\n\t{ \"name\" : \"b\", \"columns\": [ \"slug\" ], \"shared\": false }\n", "", 201},
	} {
		headers := []string{}
		if tt.kind != "" {
			headers = []string{"Content-Type", tt.kind}
		}
		if a := cl.do(t, "POST", "views", tt.body, headers...); a.code != tt.code {
			t.Errorf("%.40q %s: got %d %s, want %d", tt.body, tt.kind, a.code, a.body, tt.code)
		}
	}
	// Names that the client chooses are as they like.
	if a := cl.do(t, "PUT", "me/preferences", `{"a":{"x":1},"A":{"x":2}}`, "If-Match", `"v0"`); a.code != 200 {
		t.Errorf("preferences: got %d %s", a.code, a.body)
	}
	if a := cl.do(t, "PUT", "me/preferences", `{"a":1,"a":2}`, "If-Match", `"v1"`); a.code != 400 {
		t.Errorf("preferences with a name twice: got %d %s, want 400", a.code, a.body)
	}
	// A client whose variable is undefined does not open the console to all addresses.
	if a := cl.do(t, "PUT", "ip-rules", `null`, "If-Match", `"v1"`); a.code != 400 {
		t.Errorf("null for rules: got %d %s, want 400", a.code, a.body)
	}
}

// null is no number and no yes or no: a script whose variable is undefined does not get zero for it, which is a key for ever.
func TestNullIsNoNumber(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	cl.undocumented = true
	for _, tt := range []struct{ path, body, pointer string }{
		{"tenants/t-aaa/keys", `{"name":"a","ttl":null}`, "/ttl"},
		{"tenants/t-aaa/maintenance", `{"mode":"closed","for": null }`, "/for"},
		{"tenants/t-aaa/maintenance", `{"mode":"closed","windows":[{"rule":"0 3 * * 0","length":null}]}`, "/windows/0/length"},
		{"actions/bulk-suspend", `{"dry_run":true,"filter":"status:active","canary":null}`, "/canary"},
		{"actions/bulk-suspend", `{"dry_run":null,"filter":"status:active"}`, "/dry_run"},
		{"views", `{"name":"a","shared":null}`, "/shared"},
	} {
		if a := cl.do(t, "POST", tt.path, tt.body); a.code != 422 || !strings.Contains(a.body, `"`+tt.pointer+`"`) {
			t.Errorf("%s %s: got %d %s, want 422 about %s", tt.path, tt.body, a.code, a.body, tt.pointer)
		}
	}
	if a := cl.do(t, "POST", "tenants/t-aaa/keys", `{"name":"a","scopes":null,"allow":null}`); a.code != 201 {
		t.Errorf("null for lists: got %d %s, want 201", a.code, a.body)
	}
	if a := cl.do(t, "PUT", "settings", `{"lifetime":null,"idle_timeout":2700}`, "If-Match", `"v1"`); a.code != 200 {
		t.Errorf("null for a setting: got %d %s, want 200", a.code, a.body)
	}
}

// A parameter that cannot be read is refused: net/url leaves it out, and a list without its filter has everything.
func TestParametersAreRead(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	cl.undocumented = true
	for _, query := range []string{"filter=tag:none;x", "filter=%zz", "%", ";", "filter=tag:none&a;b=1"} {
		for _, path := range []string{"tenants", "analytics/tenants/export", "audit", "live"} {
			a := cl.do(t, "GET", path+"?"+query, "")
			if a.code != 400 || a.problem() != "invalid" {
				t.Errorf("%s?%s: got %d %.200s, want 400", path, query, a.code, a.body)
			}
		}
	}
}

// Whatever stands in whichever parameter, the answer is no error of the server.
func TestHostileParameters(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := newConsole(t, s, func(o *admin.Options) { o.AuditChain = true })
		cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
		cl.undocumented = true
		cursors := []string{string(tenancy.NewCursor("tokens?", "\x00")), string(tenancy.NewCursor("tokens?", "\xff"))}
		asked := 0
		for _, row := range c.Table() {
			path, isPath := strings.CutSuffix(row.Pattern, "}")
			if row.Method != http.MethodGet || row.Pattern == "live" {
				continue
			}
			if isPath {
				path = path[:strings.LastIndexByte(path, '{')]
			}
			path = strings.ReplaceAll(path, "{id}", "t-aaa")
			for _, text := range []string{"\x00", "\xff\xfe", "\u202e\u2066", strings.Repeat("(", 10<<10), "9223372036854775808", "1e999", "%", `"`} {
				if isPath {
					asked++
					if a := cl.do(t, "GET", path+url.PathEscape(text), ""); a.code >= 500 {
						t.Errorf("GET %s with %.20q: got %d %s", row.Pattern, text, a.code, a.body)
					}
				}
				for name := range strings.FieldsSeq(row.Query) {
					asked++
					if a := cl.do(t, "GET", strings.TrimSuffix(path, "/")+"?"+name+"="+url.QueryEscape(text), ""); a.code >= 500 {
						t.Errorf("GET %s?%s=%.20q: got %d %s", row.Pattern, name, text, a.code, a.body)
					}
				}
			}
		}
		for _, cursor := range cursors {
			if a := cl.do(t, "GET", "tokens?cursor="+cursor, ""); a.code >= 500 {
				t.Errorf("tokens: got %d %s", a.code, a.body)
			}
		}
		if asked < 500 {
			t.Errorf("asked %d times, want each parameter", asked)
		}
	})
}

// An entry has room for a scope of many tenants and for long rules: they can be granted and set.
func TestLongGrants(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	ids := make([]tenancy.ID, 1000)
	for i := range ids {
		ids[i] = tenancy.NewID()
	}
	scope, err := json.Marshal(tenancy.ByIDs(ids...))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range [][2]string{
		{"invitations", `{"email":"many@example.com","role":"viewer","scope":` + string(scope) + `}`},
		{"tokens", `{"name":"many","permissions":["tenants.read"],"ttl":60,"scope":` + string(scope) + `}`},
	} {
		if a := cl.do(t, "POST", tt[0], tt[1]); a.code != 201 {
			t.Errorf("%s: got %d %s, want 201", tt[0], a.code, a.body)
		}
	}
	list := make([]string, 200)
	for i := range list {
		list[i] = fmt.Sprintf("2001:db8:%x:1234:5678:9abc:def0:0/112", i)
	}
	rules, err := json.Marshal(map[string]any{"roles": map[string][]string{"viewer": list, "support": list, "operator": list}})
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{`"v1"`, `"v2"`} { // the second entry has them before and after
		if a := cl.do(t, "PUT", "ip-rules", string(rules), "If-Match", version); a.code != 200 {
			t.Errorf("rules: got %d %.300s, want 200", a.code, a.body)
		}
	}
	if a := cl.do(t, "GET", "audit?action=iprules.update", ""); !strings.Contains(a.body, `"sha256"`) {
		t.Errorf("got %.300s, want an entry with a digest", a.body)
	}
}

// An invitation to tenants beyond one's scope cannot be told from one that does not exist.
func TestInvitationsOfOthers(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	owner, scoped := c.as(t, auth.RoleOwner, tenancy.AllTenants()), c.as(t, auth.RoleSecurity, tenancy.ByTags("eu"))
	if a := owner.do(t, "POST", "invitations", `{"email":"of-us@example.com","role":"viewer","scope":{"tags":["us"]}}`); a.code != 201 {
		t.Fatalf("got %d %s", a.code, a.body)
	}
	id := between(owner.do(t, "GET", "invitations", "").body, `"id":"`)
	there, none := scoped.do(t, "DELETE", "invitations/"+id, ""), scoped.do(t, "DELETE", "invitations/none", "")
	if there.code != 404 || changing.ReplaceAllString(there.body, "…") != changing.ReplaceAllString(none.body, "…") {
		t.Errorf("got %d %s, want %s", there.code, there.body, none.body)
	}
	if a := owner.do(t, "DELETE", "invitations/"+id, ""); a.code != 204 {
		t.Errorf("the owner: got %d %s", a.code, a.body)
	}
}

// A body costs no memory for each of many values within each other, and one of a stranger is small.
func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	cl.undocumented = true
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	if a := cl.do(t, "PUT", "me/preferences", deep(32), "If-Match", `"v0"`); a.code != 200 {
		t.Errorf("32 objects within each other: got %d %s, want 200", a.code, a.body)
	}
	for _, body := range []string{deep(33), `{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + "}"} {
		if a := cl.do(t, "PUT", "me/preferences", body, "If-Match", `"v1"`); a.code != 400 {
			t.Errorf("33 values within each other: got %d %s, want 400", a.code, a.body)
		}
	}
	for _, path := range []string{"auth/sign-in", "auth/reset"} {
		if a := c.client().do(t, "POST", path, `{"email":"`+strings.Repeat("x", 64<<10)+`"}`); a.code != 413 {
			t.Errorf("%s with more than 64 KiB: got %d %s, want 413", path, a.code, a.body)
		}
	}
}
