package admin_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// withoutKey are the rows with POST that take no Idempotency-Key. They make nothing that would be made twice.
var withoutKey = []string{
	"auth/setup", "auth/accept", "auth/sign-in", "auth/sign-out", "auth/second-factor", "auth/enrolment", "auth/enrolment/confirm", "auth/step-up",
	"auth/password", "auth/forgot", "auth/reset", "auth/rescue", "auth/recovery-codes", // what they spend, or who is signed in, says whether it was done
	"audit/verify", "ip-rules/check", // they change nothing
}

// Every POST takes an Idempotency-Key and every change of a record needs an If-Match, except for keys the rows listed above. The document lists what each row takes.
func TestRowsAreDocumented(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	type parameter struct{ Name, In string }
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters  []parameter
			RequestBody *struct{} `json:"requestBody"`
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for _, row := range c.Table() {
		name := row.Method + " " + row.Pattern
		if row.Method == "POST" && row.Idempotent == slices.Contains(withoutKey, row.Pattern) {
			t.Errorf("%s: got a key %v", name, row.Idempotent)
		}
		if (row.Method == "PUT" || row.Method == "PATCH") && !row.Match {
			t.Errorf("%s: got no If-Match", name)
		}
		op := doc.Paths[api+row.Pattern][strings.ToLower(row.Method)]
		var query []string
		headers := map[string]bool{}
		for _, p := range op.Parameters {
			switch p.In {
			case "query":
				query = append(query, p.Name)
			case "header":
				headers[p.Name] = true
			}
		}
		want := strings.Fields(row.Query)
		slices.Sort(want)
		slices.Sort(query)
		if !slices.Equal(query, want) {
			t.Errorf("%s: the document has the parameters %q, the row %q", name, query, want)
		}
		if headers["Idempotency-Key"] != row.Idempotent || headers["If-Match"] != row.Match {
			t.Errorf("%s: the document has the headers %v, the row a key %v, If-Match %v", name, headers, row.Idempotent, row.Match)
		}
		if (op.RequestBody != nil) != row.Body {
			t.Errorf("%s: the document has a body %v, the row %v", name, op.RequestBody != nil, row.Body)
		}
	}
}

// No row takes what it does not know: a parameter, or a field of a body.
func TestUnknownIsRefused(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	for _, row := range c.Table() {
		path := strings.NewReplacer("{id}", "t-aaa", "{schedule}", "monthly", "{domain}", "a.example.org").Replace(row.Pattern)
		for strings.Contains(path, "{") {
			before, rest, _ := strings.Cut(path, "{")
			_, after, _ := strings.Cut(rest, "}")
			path = before + "none" + after
		}
		probe := &client{c: c, cookies: cl.cookies, undocumented: true}
		body := ""
		if row.Body {
			body = "{}"
		}
		a := probe.do(t, row.Method, path+"?unknown=1", body, "If-Match", `"v1"`)
		if a.problem() == "not-configured" && (row.Part == "mail" || row.Part == "audit-chain") {
			continue
		}
		if a.problem() != "validation" || !strings.Contains(a.body, `"pointer":"?"`) {
			t.Errorf("%s %s with a parameter: got %d %s, want validation", row.Method, row.Pattern, a.code, a.body)
		}
		if row.Query != "" {
			name, _, _ := strings.Cut(row.Query, " ")
			if a := probe.do(t, row.Method, path+"?"+name+"=1&"+name+"=1", body); a.problem() != "validation" {
				t.Errorf("%s %s with a parameter twice: got %d %s, want validation", row.Method, row.Pattern, a.code, a.body)
			}
		}
		if row.Method == "GET" || row.Pattern == "me/preferences" { // which are the page's own
			continue
		}
		// A thing that is not there is found to be missing first, or the body is.
		if a := probe.do(t, row.Method, path, `{"unknown":1}`, "If-Match", `"v1"`); a.code != 400 && a.code != 422 && (a.code != 404 || !strings.Contains(path, "none")) {
			t.Errorf("%s %s with a field: got %d %s, want it refused", row.Method, row.Pattern, a.code, a.body)
		}
	}
}
