package uitest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// offer is something that the page may offer, and the request that it makes. The request is one that changes nothing although it is
// allowed: it names a tenant that does not exist, or its body is broken.
type offer struct {
	hash, what, method, path string
}

// offers of the page. {id} is a tenant, {none} an ID of none.
var offers = []offer{
	{"#/me", "link Overview", "GET", "analytics/overview"},
	{"#/me", "link Tenants", "GET", "tenants"},
	{"#/me", "link Performance", "GET", "analytics/performance"},
	{"#/me", "link Compare", "GET", "analytics/top"},
	{"#/me", "link Usage", "GET", "analytics/usage"},
	{"#/me", "link Memory", "GET", "analytics/memory"},
	{"#/me", "link Connections", "GET", "pools"},
	{"#/me", "link Runs", "GET", "runs"},
	{"#/me", "link Schedules", "GET", "schedules"},
	{"#/me", "link Maintenance", "GET", "maintenance"},
	{"#/maintenance", "Begin or plan maintenance", "POST", "maintenance"},
	{"#/tokens", "Issue a token", "POST", "tokens"},
	{"#/me", "link Health", "GET", "health"},
	{"#/me", "link Audit", "GET", "audit"},
	{"#/me", "link Operators", "GET", "operators"},
	{"#/me", "link Tokens", "GET", "tokens"},
	{"#/me", "link Addresses", "GET", "ip-rules"},
	{"#/me", "link Settings", "GET", "settings"},
	{"#/settings", "Save", "PUT", "settings"},
	{"#/tenants", "New tenant", "POST", "tenants"},
	{"#/tenants", "Export CSV", "GET", "analytics/tenants/export"},
	{"#/usage", "Export days", "GET", "analytics/usage/export"},
	{"#/tenants/{id}", "Suspend", "POST", "tenants/{none}/suspend"},
	{"#/tenants/{id}", "Block", "POST", "tenants/{none}/block"},
	{"#/tenants/{id}", "Deactivate", "POST", "tenants/{none}/deactivate"},
	{"#/tenants/{id}", "Archive", "POST", "tenants/{none}/archive"},
	{"#/tenants/{id}", "Edit", "PATCH", "tenants/{none}"},
	{"#/tenants/{id}", "Usage", "GET", "analytics/tenant/{none}"},
	{"#/tenants/{id}", "Activity", "GET", "analytics/activities"},
	{"#/tenants/{id}", "Sign-ins", "GET", "analytics/logins"},
	{"#/tenants/{id}", "Keys", "GET", "tenants/{none}/keys"},
	{"#/tenants/{id}?tab=record", "Maintenance ", "GET", "tenants/{none}/maintenance"},
	{"#/tenants/{id}?tab=record", "Audit ", "GET", "tenants/{none}/audit"},
	{"#/tenants/{id}?tab=database", "Migrate", "POST", "tenants/{none}/migrate"},
	{"#/tenants/{id}?tab=database", "Seed", "POST", "tenants/{none}/seed"},
	{"#/tenants/{id}?tab=limits", "Save the limits", "PUT", "tenants/{none}/limits"},
	{"#/tenants/{id}?tab=access", "Set", "PATCH", "tenants/{none}/settings"},
	{"#/tenants/{id}?tab=access", "Save the addresses", "PUT", "tenants/{none}/addresses"},
	{"#/tenants/{id}?tab=access", "Switch it off", "PUT", "tenants/{none}/homepage"},
	{"#/tenants/{id}?tab=access", "Sign all users out", "POST", "tenants/{none}/tokens/revoke"},
	{"#/audit", "Verify", "POST", "audit/verify"},
	{"#/operators", "Invite", "POST", "invitations"},
}

// TestRoles compares, for each role, what the page offers with what the API allows.
func TestRoles(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "5")
	o := signedIn(t, address)
	id := o.tenants(1)[0]
	people := [][2]string{{"owner", "ada@example.com"}}
	for _, role := range []string{"viewer", "support", "operator", "security"} {
		o.invite(role+"@example.com", role, map[string]any{"all": true})
		people = append(people, [2]string{role, role + "@example.com"})
	}
	o.invite("eu@example.com", "operator", map[string]any{"tags": []string{"eu"}})
	people = append(people, [2]string{"operator of tags", "eu@example.com"})
	given := map[string]int{}
	for _, who := range people {
		t.Run(who[0], func(t *testing.T) {
			p := open(t, "light")
			p.stubbed()
			p.signInAs(address, who[1])
			o := &operator{t: t, address: address}
			o.post("auth/sign-in", map[string]any{"email": who[1], "password": password})
			at := ""
			var shown []string
			for _, f := range offers {
				if f.hash != at {
					at = f.hash
					p.show(fill(f.hash, id))
					shown = evaluate[[]string](p, `[...document.querySelectorAll("nav[aria-label=Pages] a")].map((e) => "link " + e.textContent.replace(/\d+ need attention/, "").trim()).concat([...document.querySelectorAll("main button, main a")].map((e) => e.textContent.trim()))`)
				}
				status := o.status(f.method, fill(f.path, id))
				offered, allowed := has(shown, f.what), status != 403
				if offered != allowed {
					t.Errorf("%s on %s: offered %t, but %s %s has %d", f.what, f.hash, offered, f.method, f.path, status)
				}
				if offered {
					given[who[0]]++
				}
			}
			p.do(chromedp.Navigate("about:blank"))
		})
	}
	text, _ := json.Marshal(given)
	t.Logf("offered of %d: %s", len(offers), text)
}

func fill(text, id string) string {
	for from, to := range map[string]string{"{id}": id, "{none}": "00000000000000000000000000"} {
		text = strings.ReplaceAll(text, from, to)
	}
	return text
}

func has(shown []string, what string) bool { return slices.Contains(shown, strings.TrimSpace(what)) }
