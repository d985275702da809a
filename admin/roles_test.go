package admin_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// mayDo says, by hand, which roles may use which row: v(iewer), s(upport), o(perator), S(ecurity), O(wner). "*" is everybody who is signed in,
// "+" is everybody at all.
var mayDo = map[string]string{
	"POST auth/setup": "+", "POST auth/accept": "+", "POST invitations": "SO", "POST auth/sign-in": "+", "POST auth/sign-out": "+",
	"POST auth/second-factor": "*", "POST auth/enrolment": "*", "POST auth/enrolment/confirm": "*", "POST auth/step-up": "*",
	"GET sessions": "*", "DELETE sessions": "*", "DELETE sessions/{session}": "*", "GET me": "*", "GET roles": "*",
	"GET tenants": "vsoSO", "POST tenants": "oO", "GET tenants/{id}": "vsoSO", "PATCH tenants/{id}": "oO", "PUT tenants/{id}/slug": "oO",
	"PUT tenants/{id}/tags": "oO", "PUT tenants/{id}/limits": "oO", "PUT tenants/{id}/domains/{domain}": "oO", "DELETE tenants/{id}/domains/{domain}": "oO",
	"POST tenants/{id}/activate": "soO", "POST tenants/{id}/suspend": "soO", "POST tenants/{id}/block": "soO", "POST tenants/{id}/deactivate": "soO",
	"POST tenants/{id}/resume": "oO", "POST tenants/{id}/archive": "oO", "POST tenants/{id}/restore": "oO", "POST tenants/{id}/purge": "O",
	"GET audit": "soSO", "GET audit/{entry}": "soSO", "GET tenants/{id}/audit": "soSO", "POST audit/verify": "SO",
	"GET operators": "SO", "GET operators/{operator}": "SO", "PATCH operators/{operator}": "SO", "DELETE operators/{operator}/sessions": "SO",
	"GET analytics/overview": "vsoSO", "GET analytics/tenants": "vsoSO", "GET analytics/memory": "vsoSO", "GET analytics/performance": "vsoSO", "GET analytics/tenant/{id}": "vsoSO", "GET analytics/tenant/{id}/series": "vsoSO", "GET live": "vsoSO",
	"GET analytics/trends": "vsoSO", "GET analytics/activities": "soSO", "GET analytics/logins": "soSO",
	"GET analytics/tenants/export": "oO", "GET analytics/usage/export": "oO", "GET audit/export": "SO", "GET audit/checkpoints": "SO", "GET audit/chain": "SO",
	"GET tenants/{id}/keys": "oO", "POST tenants/{id}/keys": "oO", "DELETE tenants/{id}/keys": "oO", "POST tenants/{id}/keys/{key}/rotate": "oO", "DELETE tenants/{id}/keys/{key}": "oO",
	"GET tenants/{id}/maintenance": "vsoSO", "POST tenants/{id}/maintenance": "soO", "DELETE tenants/{id}/maintenance": "soO", "POST tenants/{id}/maintenance/extend": "soO", "POST tenants/{id}/maintenance/bypass": "soO",
	"GET maintenance": "vsoSO", "POST maintenance": "oO", "DELETE maintenance": "oO", "POST maintenance/extend": "oO", "POST maintenance/bypass": "oO",
	"GET analytics/compare": "vsoSO", "GET analytics/top": "vsoSO", "GET analytics/patterns": "vsoSO", "GET analytics/patterns/{id}": "vsoSO", "GET analytics/usage": "vsoSO", "GET analytics/usage/months/export": "oO", "GET analytics/spread": "vsoSO", "GET analytics/storage": "vsoSO", "GET analytics/storage/{id}": "vsoSO", "GET analytics/logins/subjects": "soSO", "GET analytics/neighbours": "vsoSO", "GET analytics/change": "vsoSO", "GET analytics/change/{id}": "vsoSO", "GET analytics/forecast": "vsoSO", "GET analytics/forecast/{id}": "vsoSO", "GET analytics/health": "vsoSO",
	"GET schedules": "vsoSO", "POST schedules/{schedule}/pause": "oO", "POST schedules/{schedule}/resume": "oO", "POST schedules/{schedule}/trigger": "oO",
	"GET pools": "vsoSO", "GET pools/{server}": "vsoSO", "GET instances": "vsoSO",
	"GET runs": "vsoSO", "GET runs/{run}": "vsoSO", "GET runs/{run}/tenants": "vsoSO",
	"POST runs/{run}/pause": "oO", "POST runs/{run}/resume": "oO", "POST runs/{run}/cancel": "oO", "POST runs/{run}/retry": "oO",
	"POST actions/bulk-migrate": "oO", "POST actions/bulk-seed": "oO", "POST actions/bulk-tag": "oO", "POST actions/bulk-limits": "oO", "POST actions/bulk-update": "oO", "POST actions/bulk-revoke-keys": "oO",
	"POST actions/bulk-activate": "oO", "POST actions/bulk-suspend": "oO", "POST actions/bulk-block": "oO", "POST actions/bulk-deactivate": "oO", "POST actions/bulk-archive": "oO",
	"POST auth/password": "*", "POST auth/forgot": "+", "POST auth/reset": "+", "POST auth/rescue": "+", "POST operators/{operator}/reset": "SO", "POST auth/recovery-codes": "*", "DELETE operators/{operator}/second-factor": "SO",
	"GET operators/{operator}/sessions": "SO", "DELETE operators/{operator}/sessions/{session}": "SO", "GET invitations": "SO", "DELETE invitations/{invitation}": "SO",
	"GET tokens": "SO", "POST tokens": "SO", "POST tokens/{token}/rotate": "SO", "DELETE tokens/{token}": "SO",
	"GET ip-rules": "SO", "PUT ip-rules": "SO", "POST ip-rules/check": "SO", "GET settings": "SO", "PUT settings": "O",
	"GET views": "*", "POST views": "*", "PUT views/{view}": "*", "DELETE views/{view}": "*", "GET me/preferences": "*", "PUT me/preferences": "*",
	"GET facets": "vsoSO", "GET lookup": "vsoSO",
	"GET tenants/{id}/settings": "vsoSO", "PATCH tenants/{id}/settings": "oO", "GET tenants/{id}/addresses": "vsoSO", "PUT tenants/{id}/addresses": "oO",
	"GET tenants/{id}/homepage": "vsoSO", "PUT tenants/{id}/homepage": "oO", "POST tenants/{id}/tokens/revoke": "oO",
	"GET tenants/{id}/health": "vsoSO", "GET tenants/{id}/pool": "vsoSO", "GET tenants/{id}/migrations": "vsoSO", "GET tenants/{id}/runs": "vsoSO",
	"POST tenants/{id}/migrate": "oO", "POST tenants/{id}/seed": "oO", "POST tenants/{id}/maintenance/drain": "soO", "POST maintenance/drain": "oO",
	"POST actions/bulk-maintenance": "oO", "POST actions/bulk-maintenance-end": "oO",
	"GET health": "vsoSO", "GET healthz": "+", "GET readyz": "+", "GET openapi.json": "+",
}

// needsAll are the rows that only the scope of all tenants may use.
var needsAll = []string{"POST actions/bulk-tag", "POST tenants", "POST audit/verify", "GET audit/checkpoints", "GET audit/chain", "GET health",
	"GET maintenance", "POST maintenance", "DELETE maintenance", "POST maintenance/extend", "POST maintenance/bypass", "POST maintenance/drain",
	"GET ip-rules", "PUT ip-rules", "POST ip-rules/check", "PUT settings",
	"GET schedules", "POST schedules/{schedule}/pause", "POST schedules/{schedule}/resume", "POST schedules/{schedule}/trigger",
	"GET pools", "GET pools/{server}", "GET instances",
}

var roleLetters = map[string]string{auth.RoleViewer: "v", auth.RoleSupport: "s", auth.RoleOperator: "o", auth.RoleSecurity: "S", auth.RoleOwner: "O"}

// Every row, for every role: in the scope, outside of it, and without a session.
func TestRoles(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	fresh := func(t *testing.T) map[string]*client {
		clients := map[string]*client{}
		for role := range roleLetters {
			clients[role+" of all"] = c.as(t, role, tenancy.AllTenants())
			clients[role+" of A"] = c.as(t, role, tenancy.ByIDs(c.a.ID))
			clients[role+" of none"] = c.as(t, role, tenancy.Scope{})
		}
		clients["nobody"] = c.client()
		return clients
	}
	clients := fresh(t)
	for _, row := range c.Table() {
		name := row.Method + " " + row.Pattern
		t.Log(name, row.Permission)
		letters, ok := mayDo[name]
		if !ok {
			t.Errorf("%s: not in the table of this test", name)
			continue
		}
		for who, cl := range clients {
			role, scope, _ := strings.Cut(who, " of ")
			for _, id := range []string{"t-aaa", "t-bbb", "t-none"} {
				if !strings.Contains(row.Pattern, "{id}") && id != "t-aaa" {
					continue
				}
				path := strings.NewReplacer("{id}", id, "{operator}", "nobody", "{run}", "none", "{entry}", "none", "{session}", "none", "{key}", "none", "{schedule}", "none", "{server}", "none", "{token}", "none", "{view}", "none", "{invitation}", "none", "{domain}", "a.example.org").Replace(row.Pattern)
				if path == "live" || path == "auth/sign-out" || path == "sessions" && row.Method == "DELETE" {
					path += "?unknown=1" // would go on forever, or end what later rows need; it is admitted and then refused
				}
				probe := &client{c: c, cookies: cl.cookies, undocumented: true}
				if strings.HasPrefix(path, "auth/sign-out") {
					probe.cookies = map[string]string{}
				}
				body := "{}"
				if row.Method == "GET" {
					body = ""
				}
				got := probe.do(t, row.Method, path, body)
				allowed := letters == "+" || role != "nobody" && (letters == "*" || strings.Contains(letters, roleLetters[role]))
				inScope := !row.OneTenant || id != "t-none" && (scope == "all" || scope == "A" && id == "t-aaa")
				allScope := !slices.Contains(needsAll, name) || scope == "all"
				switch {
				case role == "nobody" && letters != "+":
					if got.code != 401 {
						t.Errorf("%s %s as nobody: got %d %s, want 401", row.Method, path, got.code, got.body)
					}
				case !allowed || !allScope:
					if got.code != 403 {
						t.Errorf("%s %s as %s: got %d %s, want 403", row.Method, path, who, got.code, got.body)
					}
				case !inScope:
					if got.code != 404 || got.problem() != "unknown" {
						t.Errorf("%s %s as %s: got %d %s, want 404", row.Method, path, who, got.code, got.body)
					}
				case got.code == 403 && !strings.HasSuffix(row.Pattern, "/tags") || got.code == 401 && !strings.HasPrefix(row.Pattern, "auth/") || got.code >= 500:
					t.Errorf("%s %s as %s: got %d %s, want it admitted", row.Method, path, who, got.code, got.body)
				}
			}
		}
	}
}

// The document names exactly the operations of the table.
func TestOpenAPIHasTheTable(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths      map[string]map[string]any
		Components struct {
			Schemas struct {
				Problem struct {
					Properties struct{ Type struct{ Enum []string } }
				}
			}
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if only, lacks := compareOperations(doc.Paths, c.Table()); len(only)+len(lacks) > 0 {
		t.Errorf("got the operations %q, which are no rows, and no operations of the rows %q", only, lacks)
	}
	problems, err := os.ReadFile("../docs/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	for section := range strings.SplitSeq(string(problems), "\n## ") {
		name, _, _ := strings.Cut(section, "\n")
		if strings.HasPrefix(name, "#") {
			continue
		}
		if !slices.ContainsFunc(doc.Components.Schemas.Problem.Properties.Type.Enum, func(s string) bool { return strings.HasSuffix(s, "#"+name) }) {
			t.Errorf("problem %s is not in the document", name)
		}
	}
}

// whenRead is the time that answers say they are of.
var whenRead = regexp.MustCompile(`"time":"[^"]*"`)

// For an operator of A, the answers are the same bytes whether there is a tenant B or not.
func TestScopeKnowsNothingOfOthers(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.ByTags("eu"))
	look := func() string {
		var all strings.Builder
		for _, path := range []string{"tenants/t-aaa", "tenants/t-bbb", "tenants/t-bbb/audit", "tenants/t-aaa/audit", "analytics/tenant/t-bbb", "audit", "audit?tenant=t-bbb", "tenants", "analytics/tenants?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "analytics/trends?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "analytics/activities?tenant=t-bbb", "analytics/activities", "analytics/logins", "analytics/logins/subjects?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "analytics/storage?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "analytics/usage", "analytics/top", "analytics/compare?tenants=t-aaa,t-bbb", "analytics/tenants/export?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "analytics/usage/export?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "audit/export?format=jsonl&action=tenant.create", "tenants?filter=bbb", "tenants?filter=tag:us", "tenants?filter=sort:-created"} {
			a := cl.do(t, "GET", path, "")
			body := a.body
			if id := a.header.Get("X-Request-Id"); id != "" {
				body = strings.ReplaceAll(body, id, "")
			}
			fmt.Fprintln(&all, path, a.code, whenRead.ReplaceAllString(body, ""))
		}
		return all.String()
	}
	with := look()
	if strings.Contains(with, "bbb\"") || !strings.Contains(with, `"slug":"aaa"`) {
		t.Errorf("got %s, want A alone", with)
	}
	for _, status := range []tenancy.Status{tenancy.StatusArchived, tenancy.StatusPurging} {
		if _, err := c.cat.SetStatus(t.Context(), c.b.ID, status); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.cat.Delete(t.Context(), c.b.ID); err != nil {
		t.Fatal(err)
	}
	if without := look(); with != without {
		t.Errorf("with B:\n%s\nwithout B:\n%s", with, without)
	}
}

func TestRowsAreChecked(t *testing.T) {
	t.Parallel()
	for _, row := range newConsole(t, tenancytest.NewServer(t, "sqlite"), nil).Table() {
		if !row.Everybody && !row.SigningIn && !row.SignedIn && row.Permission == 0 {
			t.Errorf("%s %s: no permission", row.Method, row.Pattern)
		}
		if row.Method != "GET" && row.Action == "" {
			t.Errorf("%s %s: no action", row.Method, row.Pattern)
		}
	}
	_ = admin.Options{}
}

// compareOperations returns the operations of a document that are no rows, and the rows that are no operations.
func compareOperations(paths map[string]map[string]any, table []admin.Row) (only, lacks []string) {
	for path, methods := range paths {
		for method := range methods {
			only = append(only, strings.ToUpper(method)+" "+strings.TrimPrefix(path, api))
		}
	}
	for _, row := range table {
		name := row.Method + " " + row.Pattern
		if i := slices.Index(only, name); i >= 0 {
			only = slices.Delete(only, i, i+1)
		} else {
			lacks = append(lacks, name)
		}
	}
	return only, lacks
}

// Rows that a later file adds are in all five places: mux, permission check, audit, the document's test and the test of roles.
func TestRowsFromOutside(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	opts := &admin.Options{Audit: c.trail, Limiter: everything{}, Auth: auth.Options{OptionalSecondFactor: true}}
	if _, err := admin.NewWithRows(c.db, c.cat, opts, 0); err == nil {
		t.Error("a row without a permission: got no error")
	}
	var err error
	if c.Admin, err = admin.NewWithRows(c.db, c.cat, opts, auth.TenantsRead); err != nil {
		t.Fatal(err)
	}
	viewer, operator := c.as(t, auth.RoleViewer, tenancy.ByIDs(c.a.ID)), c.as(t, auth.RoleOperator, tenancy.ByIDs(c.a.ID))
	viewer.undocumented, operator.undocumented = true, true
	if a := viewer.do(t, "GET", "tenants/t-aaa/widgets", ""); a.body != "{\"widgets\":7}\n" {
		t.Errorf("mux: got %d %s", a.code, a.body)
	}
	if a := viewer.do(t, "GET", "tenants/t-bbb/widgets", ""); a.code != 404 {
		t.Errorf("scope: got %d %s, want 404", a.code, a.body)
	}
	if a := viewer.do(t, "POST", "tenants/t-aaa/widgets", ""); a.code != 403 {
		t.Errorf("permission: got %d %s, want 403", a.code, a.body)
	}
	if a := operator.do(t, "POST", "tenants/t-aaa/widgets", ""); a.code != 204 {
		t.Errorf("got %d %s, want 204", a.code, a.body)
	}
	owner := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	if a := owner.do(t, "GET", "audit?action=widget.make", ""); !strings.Contains(a.body, `"result":"done"`) || !strings.Contains(a.body, `"result":"denied"`) {
		t.Errorf("audit: got %s, want both", a.body)
	}
	if _, lacks := compareOperations(nil, c.Table()); !slices.Contains(lacks, "POST tenants/{id}/widgets") {
		t.Errorf("document: got %q, want the row missed", lacks)
	}
	if _, ok := mayDo["POST tenants/{id}/widgets"]; ok {
		t.Error("roles: the table of the test has the row") // and TestRoles fails for a row that it lacks
	}
}
