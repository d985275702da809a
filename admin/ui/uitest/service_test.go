package uitest

import (
	"strings"
	"testing"
)

// TestService looks at what pages say of all tenants together.
func TestService(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "20")
	o := signedIn(t, address)
	ids := o.tenants(3)
	p := open(t, "light")
	p.stubbed()
	p.watched()
	p.signInAs(address, "ada@example.com")
	fill := strings.NewReplacer("{a}", ids[0], "{b}", ids[1])

	t.Run("unhealthy", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, fill.Replace(`twist = (path, data, query) => { if (path === "analytics/health" && query.get("unhealthy")) Object.assign(data, { total: 2, tenants: [
  { id: "{a}", slug: "acme", name: "Acme", status: "active", health: "unreachable", reasons: [{ kind: "database-down", text: "The tenant's database does not answer.", since: new Date().toISOString() }], last_seen: null, requests: null, errors: null },
  { id: "{b}", slug: "globex", name: "Globex", status: "active", health: "degraded", reasons: [{ kind: "errors", text: "Many failed.", since: new Date().toISOString() }], last_seen: null, requests: null, errors: null }] }); }; 0`))
		p.show("#/overview")
		p.text("2 tenants are degraded or unreachable: Acme, Globex")
		p.check("light-overview-unhealthy")
		p.press("See the unhealthy")
		p.until("the tenants are listed, the worst first", `[...document.querySelectorAll("main [aria-label='Unhealthy tenants'] td:nth-child(2)")].map((e) => e.textContent.trim()).join() === "unreachable,degraded"`)
		p.check("light-health-unhealthy")
		evaluate[any](p, `twist = () => {}; 0`)
		p.show("#/health")
		p.until("the answer says which", `document.querySelector("main [aria-label='Unhealthy tenants']") || document.body.innerText.includes("No active tenant is degraded or unreachable")`)
	})
}
