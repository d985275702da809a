package admin_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// changing is what differs from one world to the next for every operator: times, random IDs, and what is made of them.
var changing = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z|\b01[0-9a-z]{24}\b|[A-Z2-7]{26}|\bv\d+-[0-9a-z]{8,}|\b1[79]\d{14}\b|\b1\.[79]\d{8,}e\+15|"points":\[[^\]]*\]`)

// world is a service with tenant A and, perhaps, B, which has a part in everything. names are values of the paths' parameters.
func world(t *testing.T, withB bool) (c *console, names map[string][]string) {
	t.Helper()
	c = newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { o.AuditChain = true })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	all := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	do := func(method, path, body string, headers ...string) answer {
		t.Helper()
		a := all.do(t, method, path, body, headers...)
		if a.code >= 300 {
			t.Fatalf("%s %s: got %d %s", method, path, a.code, a.body)
		}
		return a
	}
	names = map[string][]string{"id": {"t-aaa", "t-bbb"}, "domain": {"of-b.example.org"}, "session": {"none"}, "schedule": {"monthly"}, "server": {"server-of-b"},
		"run": {"none"}, "operator": {"none"}, "token": {"none"}, "view": {"none"}, "invitation": {"none"}, "key": {"none"}, "entry": {"none"}}
	plan := func(ids ...tenancy.ID) string {
		p, err := c.runner.Plan(tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorSystem, ID: "demo"}), "suspend", runs.Spec{IDs: ids})
		must(err)
		_, err = c.runner.Start(t.Context(), p.ID)
		must(err)
		return p.ID
	}
	if withB {
		_, err := c.cat.AddDomain(t.Context(), c.b.ID, "of-b.example.org")
		must(err)
		_, err = c.cat.Edit(t.Context(), c.b.ID, func(t *tenancy.Tenant) error {
			t.Plan, t.Placement.Server, t.Placement.Database = "plan-of-b", "server-of-b", "db"
			return nil
		})
		must(err)
		names["key"] = []string{between(do("POST", "tenants/t-bbb/keys", `{"name":"key-of-b"}`).body, `"id":"`)}
		do("POST", "tenants/t-bbb/maintenance", `{"message":"message-of-b"}`)
		names["entry"] = []string{between(do("GET", "tenants/t-bbb/audit", "").body, `"id":"`)}
		names["run"] = []string{plan(c.b.ID), plan(c.a.ID, c.b.ID)}
		do("POST", "invitations", `{"email":"invited-of-b@example.com","role":"viewer","scope":{"ids":["t-bbb"]}}`)
		o, err := c.Auth().CreateOperator(t.Context(), auth.OperatorSpec{Email: "operator-of-b@example.com", Role: auth.RoleViewer, Scope: tenancy.ByIDs("t-bbb"), Password: password})
		must(err)
		names["operator"] = []string{o.ID}
		names["token"] = []string{between(do("POST", "tokens", `{"name":"token-of-b","permissions":["tenants.read"],"scope":{"ids":["t-bbb"]},"ttl":60}`).body, `"id":"`)}
		names["view"] = []string{between(do("POST", "views", `{"name":"view-of-b","filter":"bbb","shared":true}`).body, `"id":"`)}
	} else {
		names["run"] = []string{"none", plan(c.a.ID)}
		for _, status := range []tenancy.Status{tenancy.StatusArchived, tenancy.StatusPurging} {
			_, err := c.cat.SetStatus(t.Context(), c.b.ID, status)
			must(err)
		}
		must(c.cat.Delete(t.Context(), c.b.ID))
	}
	c.keep(t)
	c.used(t, c.a.ID, 100, 3)
	if withB {
		c.used(t, c.b.ID, 1000, 7)
	}
	return c, names
}

// between returns what stands behind the first beginning, up to a quotation mark.
func between(text, begin string) string {
	_, rest, _ := strings.Cut(text, begin)
	out, _, _ := strings.Cut(rest, `"`)
	return out
}

// An operator with the scope A gets the same answers from every route, whether there is a tenant B or not, and whatever B has a part in.
func TestTheWorldWithAndWithoutB(t *testing.T) {
	t.Parallel()
	for i, scope := range []tenancy.Scope{tenancy.ByIDs("t-aaa"), tenancy.ByTags("eu")} {
		look := func(withB bool) map[string]string {
			c, names := world(t, withB)
			cl := c.as(t, auth.RoleOwner, scope)
			cl.undocumented = true
			out := map[string]string{}
			for _, row := range c.Table() {
				for _, path := range paths(row.Pattern, names) {
					queries := []string{""}
					if row.Method == "GET" && i > 0 {
						queries = append(queries, "?filter=bbb", "?tenants=t-aaa,t-bbb") // parameters are read the same way for each scope
					} else if row.Method == "GET" {
						queries = append(queries, "?filter=plan:plan-of-b", "?filter=bbb", "?tenant=t-bbb", "?q=bbb", "?tenants=t-aaa,t-bbb", "?format=jsonl", "?sort=-created")
					}
					for _, q := range queries {
						if path.pattern == "live" {
							q = "?topics=tenant:t-bbb"
						}
						if row.Method != "GET" && (strings.HasPrefix(row.Pattern, "auth/") || row.Pattern == "sessions" || !strings.Contains(row.Pattern, "{")) {
							continue // of nobody's tenant, or of one's own
						}
						if row.Method != "GET" && strings.Contains(path.path, "t-aaa") {
							continue // it would change A
						}
						if row.Method != "GET" && path.path != path.pattern && strings.HasPrefix(row.Pattern, "runs/") && path.last {
							continue // the run that A has a part in
						}
						a := cl.do(t, row.Method, path.path+q, map[bool]string{true: "", false: "{}"}[row.Method == "GET"], "If-Match", `"v1"`)
						out[row.Method+" "+path.label+q] = fmt.Sprint(a.code, " ", changing.ReplaceAllString(a.body, "…"))
						for _, mark := range []string{"-of-b", "t-bbb"} {
							if strings.Contains(a.body, mark) {
								t.Errorf("%s: %s %s%s has %q: %d %s", scope, row.Method, path.path, q, mark, a.code, a.body)
							}
						}
					}
				}
			}
			return out
		}
		with, without := look(true), look(false)
		for _, key := range slices.Sorted(maps.Keys(with)) {
			if with[key] != without[key] {
				t.Errorf("%s: %s\nwith B:    %s\nwithout B: %s", scope, key, with[key], without[key])
			}
		}
		if len(with) < 150 {
			t.Errorf("got %d answers, want one of each route at least", len(with))
		}
	}
}

type worldPath struct {
	pattern, path, label string
	last                 bool
}

// paths returns the paths of a pattern with all values of its parameters. Labels are the same in each world.
func paths(pattern string, names map[string][]string) []worldPath {
	out := []worldPath{{pattern, pattern, pattern, false}}
	for name, values := range names {
		if !strings.Contains(pattern, "{"+name+"}") {
			continue
		}
		var next []worldPath
		for _, p := range out {
			for i, v := range values {
				label := fmt.Sprint("{", name, " ", i, "}")
				if name == "run" && i == 0 && len(values) == 1 {
					label = "{run 0}"
				}
				next = append(next, worldPath{pattern, strings.ReplaceAll(p.path, "{"+name+"}", v), strings.ReplaceAll(p.label, "{"+name+"}", label), i == 1})
			}
		}
		out = next
	}
	return out
}
