package uitest

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
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
	t.Run("forecasts", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, fill.Replace(`twist = (path, data) => {
  if (path === "analytics/tenants") for (const t of data.tenants) if (t.id === "{a}") t.reaches = { figure: "storage", limit: 5e9, earliest: "2027-02-03T00:00:00Z", latest: "2027-03-04T00:00:00Z", made: "2026-11-30T02:00:00Z" };
  if (path.startsWith("analytics/forecast/")) Object.assign(data, { refused: "", unit: "count", model: "trend", error: 0.1, tested_days: 30, days: [{ day: "2026-12-30T00:00:00Z", value: 7000, low: 6000, high: 8000 }] }); }; 0`))
		p.show("#/tenants/" + ids[0])
		p.until("both figures are forecast", `sent.filter((s) => s.path.startsWith("analytics/forecast/")).map((s) => s.query.get("name")).filter((n, i, all) => all.indexOf(n) === i).sort().join() === "requests,storage"`)
		p.text("Reaches its limit of storage")
		p.text("between 3 Feb 2027 and 4 Mar 2027")
		p.check("light-forecasts")
		p.show("#/tenants?columns=status%2Climit_reached")
		p.until("the column says when", `[...document.querySelectorAll("main tbody td")].some((e) => e.textContent.trim() === "3 Feb 2027 storage")`)
		p.press("Reaches limit")
		p.until("it asks for that order", `sent.some((s) => s.path === "analytics/tenants" && s.query.get("sort") === "limit_reached")`)
		p.check("light-limit-reached")
		evaluate[any](p, `twist = () => {}; 0`)
	})
	t.Run("dates", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		day := func(label, day string) {
			evaluate[any](p, `{ const i = [...document.querySelectorAll("main details label")].find((e) => e.textContent.trim().startsWith("`+label+`")).querySelector("input"); i.value = "`+day+`"; i.dispatchEvent(new Event("change", { bubbles: true })); } 0`)
		}
		p.show("#/tenants")
		p.do(chromedp.Click(`//main//summary[normalize-space()="Dates"]`))
		day("Figures from", "2026-11-01")
		day("Figures before", "2026-11-15")
		p.until("it asks for these days", `sent.some((s) => s.path === "analytics/tenants" && s.query.get("from") === "2026-11-01T00:00:00Z" && s.query.get("to") === "2026-11-15T00:00:00Z" && !s.query.has("window"))`)
		p.press("Export CSV")
		p.until("so does the export", `sent.some((s) => s.path === "analytics/tenants/export" && s.query.get("from") === "2026-11-01T00:00:00Z" && s.query.get("to") === "2026-11-15T00:00:00Z")`)
		p.check("light-dates")
		evaluate[any](p, `{ const s = document.querySelector("select[aria-label=Window]"); s.value = "7d"; s.dispatchEvent(new Event("change", { bubbles: true })); } 0`)
		p.until("a window takes their place", `!location.hash.includes("from=") && sent.some((s) => s.path === "analytics/tenants" && s.query.get("window") === "7d" && !s.query.has("from"))`)
		day("Created from", "2026-01-02")
		p.until("the filter has it", `document.querySelector("input[aria-label=Filter]").value === "created:>=2026-01-02"`)
		day("Created to", "2026-02-03")
		p.until("the filter has both", `document.querySelector("input[aria-label=Filter]").value === "created:2026-01-02..2026-02-03"`)
		p.text("0 match")
		day("Created from", "")
		day("Created to", "")
		p.until("the filter is empty", `document.querySelector("input[aria-label=Filter]").value === "" && document.body.innerText.includes("3 match")`)
	})
	t.Run("over time", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, `twist = (path, data) => { if (path === "analytics/storage") data.days = [{ day: "2026-11-28T00:00:00Z", bytes: 5e8, tenants: 3 }, { day: "2026-11-29T00:00:00Z", bytes: 6e8, tenants: 3 }]; }; 0`)
		p.show("#/overview")
		for _, name := range []string{"Requests", "CPU time", "Time of statements", "Storage"} {
			p.until("the chart of "+name+" is drawn", `[...document.querySelectorAll("[aria-label='Over time'] figcaption b")].some((e) => e.textContent === "`+name+`")`)
		}
		p.do(chromedp.Click(`//section[@aria-label="Over time"]//button[normalize-space()="7d"]`))
		p.until("it asks for that window", `sent.some((s) => s.path === "analytics/trends" && s.query.get("window") === "7d" && s.query.get("names").includes("statement_time")) && sent.some((s) => s.path === "analytics/storage" && s.query.get("window") === "7d")`)
		p.check("light-over-time")
		evaluate[any](p, `twist = () => {}; 0`)
	})
}
