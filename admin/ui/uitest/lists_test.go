package uitest

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	pages "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// faked lets fake(method, path, query) answer what the page asks of the API, with a status and data; what it has no answer for goes to the server. It comes
// before watched.
func (p *page) faked() {
	p.t.Helper()
	const source = `window.fake = () => {};
{
  const real = fetch;
  window.fetch = async (input, init) => {
    const url = new URL(input, document.baseURI), path = url.pathname.split("/api/tenancy/")[1];
    const made = path && (await fake(init?.method ?? "GET", path, url.searchParams));
    if (!made) return real(input, init);
    const [status, data] = made;
    return new Response(JSON.stringify(data), { status, headers: { "Content-Type": status < 400 ? "application/json" : "application/problem+json", "Retry-After": "1" } });
  };
}`
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, pages.AddScriptToEvaluateOnNewDocument, pages.AddScriptToEvaluateOnNewDocumentParams{Source: source})
		return err
	}))
}

const rows = `document.querySelectorAll("main tbody tr").length`

// TestRecordsList lists tenants where there are no figures: by orders of the records alone.
func TestRecordsList(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	p := open(t, "light")
	p.stubbed()
	p.watched()
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, pages.AddScriptToEvaluateOnNewDocument, pages.AddScriptToEvaluateOnNewDocumentParams{
			Source: `twist = (path, data) => { if (path === "me" && data.permissions) data.permissions = data.permissions.filter((x) => x !== "analytics.read"); };`})
		return err
	}))
	p.signInAs(address, "ada@example.com")
	p.show("#/tenants")
	p.until("they are listed", rows+` === 3`)
	p.press("Tenant")
	p.until("it asks for that order", `sent.some((s) => s.path === "tenants" && s.query.get("filter") === "sort:slug")`)
	p.press("Created")
	p.until("it asks for that order", `sent.some((s) => s.path === "tenants" && s.query.get("filter") === "sort:created")`)
	if evaluate[bool](p, `[...document.querySelectorAll("main th button")].some((b) => b.textContent.startsWith("Status"))`) {
		t.Error("an order is offered that records do not have")
	}
	p.show("#/tenants?sort=-requests&filter=tag%3Aeu")
	p.until("they are listed", rows+` > 0 && !document.querySelector("main .notice")`)
}

// TestTenantsList chooses, narrows and continues the list of tenants, also when something fails.
func TestTenantsList(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	signedIn(t, address).counted(3)
	p := open(t, "light")
	p.stubbed()
	p.faked()
	p.watched()
	p.signInAs(address, "ada@example.com")
	const marked = `[...document.querySelectorAll("main tbody input")].map((b) => b.checked).join()`
	row := func(n string) { p.do(chromedp.Click(`(//main//tbody//input)[` + n + `]`)) }

	t.Run("all but one", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, `twist = (path, data) => { if (path === "analytics/tenants") data.total = 300; }; 0`)
		p.show("#/tenants")
		for n, want := range map[string]string{"3": "true,true,false", "1": "false,true,true"} {
			row("1")
			p.text("1 selected")
			p.press("Select all 300 that match")
			p.text("300 selected")
			row(n)
			p.until("that row alone is not selected", marked+` === "`+want+`"`)
			p.text("2 selected")
			p.press("Clear")
		}
		evaluate[any](p, `twist = () => {}; 0`)
	})
	t.Run("facets", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, `twist = (path, data) => { if (path === "facets") data.tags = { eu: 3, "overdue": 2 }; }; 0`)
		p.show("#/tenants?filter=" + `tag%3Aeu%20plan%3A%22a%20b%22`)
		p.do(chromedp.Click(`//main//summary[normalize-space()="Facets"]`))
		p.do(chromedp.Click(`//main//*[@class="facets"]//button[starts-with(normalize-space(),"overdue")]`))
		p.until("the tag takes the place of the other", `document.querySelector("input[aria-label=Filter]").value === 'plan:"a b" tag:overdue'`)
		evaluate[any](p, `twist = () => {}; 0`)
	})
	t.Run("a filter that is refused", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		p.show("#/tenants")
		p.text("3 match")
		evaluate[any](p, `fake = (method, path, query) => { if (path === "analytics/tenants" && query.get("filter") === "foo:bar") return [422, { type: "about:blank#validation", title: "Not valid", status: 422,
  detail: "Some fields of the request are not valid.", errors: [{ pointer: "?filter", code: "filter", text: '"foo:bar" at character 1: there is no such field' }] }]; }; 0`)
		p.do(chromedp.SendKeys(`//input[@aria-label="Filter"]`, "foo:bar"+kb.Enter))
		p.text(`"foo:bar" at character 1: there is no such field`)
		p.until("the rows of the other filter are gone", rows+` === 0 && !document.body.innerText.includes("match")`)
		evaluate[any](p, `fake = () => {}; 0`)
	})
	t.Run("show more", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, `window.turns = 0; sent.length = 0;
fake = (method, path, query) => { if (path === "analytics/tenants" && query.get("cursor") === "c1") return turns++ ? [200, { tenants: [{ id: "last", slug: "last", name: "Last", status: "active" }], total: 4 }] : [503, { status: 503, title: "Unavailable" }]; };
twist = (path, data, query) => { if (path === "analytics/tenants" && !query.has("cursor")) Object.assign(data, { next: "c1", total: 4 }); }; 0`)
		p.show("#/tenants")
		p.press("Show more")
		p.until("the page that failed is tried again, behind the rows that are there", rows+` === 4 && turns === 2`)
		evaluate[any](p, `twist = () => {}; fake = () => {}; 0`)
	})
	t.Run("an export that is refused", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, `fake = (method, path) => { if (path === "analytics/tenants/export") return [429, { type: "about:blank#limited", title: "Limited", detail: "A limit is reached.", status: 429 }]; }; 0`)
		p.show("#/tenants")
		p.press("Export CSV")
		p.text("A limit is reached.")
		p.check("light-export-refused")
		evaluate[any](p, `fake = () => {}; 0`)
	})
}

// TestFind looks for tenants faster than the server answers: those of an earlier text are not opened.
func TestFind(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	p := open(t, "light")
	p.stubbed()
	p.faked()
	p.watched()
	p.signInAs(address, "ada@example.com")
	evaluate[any](p, `window.answer = new Promise((done) => (window.release = done));
fake = (method, path, query) => { if (path === "lookup" && query.get("q") === "globex") return answer; }; 0`)
	p.show("#/me")
	p.press("Find /")
	p.do(chromedp.SendKeys(`dialog.palette input`, "acme"))
	p.until("the first is found", `document.querySelector("#found [aria-selected=true]")?.textContent.includes("acme")`)
	evaluate[any](p, `document.querySelector("dialog.palette input").select(); 0`)
	p.do(chromedp.SendKeys(`dialog.palette input`, "globex"+kb.Enter))
	p.until("the second is asked for", `sent.some((s) => s.path === "lookup" && s.query.get("q") === "globex")`)
	if at := evaluate[string](p, `location.hash`); at != "#/me" {
		t.Errorf("opened %s before the answer was there", at)
	}
	evaluate[any](p, `release(); 0`)
	p.until("it is opened", `location.hash.startsWith("#/tenants/") && document.querySelector("main h1")?.textContent === "Globex"`)

	// Who moves on after Enter has not chosen what is found later.
	evaluate[any](p, `window.answer = new Promise((done) => (window.release = () => done([200, { found: [{ kind: "name", tenant: { id: "x", slug: "x", name: "Theme park", status: "active" } }] }])));
fake = (method, path, query) => { if (path === "lookup" && query.get("q") === "theme") return answer; }; 0`)
	p.press("Find /")
	p.do(chromedp.SendKeys(`dialog.palette input`, "theme"+kb.Enter))
	p.key(kb.ArrowDown)
	evaluate[any](p, `release(); 0`)
	p.until("it is found, and the marked one is not it", `document.querySelectorAll("#found li").length === 2 && document.querySelector("#found [aria-selected=true]").textContent.trim().startsWith("Theme: ")`)
	p.key(kb.Escape)

	p.show("#/compare")
	evaluate[any](p, `fake = (method, path) => { if (path === "lookup") return [500, { type: "about:blank#internal", title: "Failed", detail: "A test refuses it.", status: 500 }]; }; 0`)
	p.do(chromedp.SendKeys(`//input[@aria-label="Add a tenant"]`, "a:b"))
	p.text("A test refuses it.")
	evaluate[any](p, `fake = () => {}; document.querySelector("input[aria-label='Add a tenant']").select(); 0`)
	p.do(chromedp.SendKeys(`//input[@aria-label="Add a tenant"]`, "no:body"))
	p.text("Nothing has that name.")
	evaluate[any](p, `document.querySelector("input[aria-label='Add a tenant']").select(); 0`)
	p.do(chromedp.SendKeys(`//input[@aria-label="Add a tenant"]`, "acme"))
	p.until("it is found", `document.querySelector(".finder li")`)
	p.key(kb.Enter)
	p.until("it is added", `document.querySelectorAll("main .chip").length === 1`)
}

// TestBack goes through pages of lists and comes back: each is where it was, with the filter that it had.
func TestBack(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	o := signedIn(t, address)
	plan := o.post("actions/bulk-migrate", map[string]any{"dry_run": true, "filter": "status:active"})
	o.post("actions/bulk-migrate", map[string]any{"plan": plan["plan"], "confirm": plan["confirm"]})
	id, _ := plan["plan"].(string)
	p := open(t, "light")
	p.stubbed()
	p.faked()
	p.watched()
	p.signInAs(address, "ada@example.com")
	evaluate[any](p, `window.held = new Promise((done) => (window.release = done));
fake = async (method, path, query) => { if (query.get("cursor") === "c1") return await held, [200, { entries: [], tenants: [], next: "c2" }]; };
twist = (path, data, query) => { if ((path === "audit" || path.startsWith("runs/")) && !query.has("cursor")) data.next = "c1"; }; 0`)
	const more = `[...document.querySelectorAll("main button")].find((b) => b.textContent === "More" && !b.hasAttribute("aria-disabled"))`
	const last = `sent.filter((s) => s.path === "audit").at(-1)?.query`
	p.show("#/audit")
	p.do(chromedp.SendKeys(`//input[@aria-label="Action"]`, "run.start"+kb.Enter))
	p.until("the action is in the address", `location.hash.includes("action=run.start") && `+more)
	p.press("More")
	p.until("the page is in the address", `location.hash.includes("action=run.start") && location.hash.includes("cursor=c1") && `+last+`?.get("cursor") === "c1"`)
	// Before its answer is there, the button still has that page: a second click changes nothing.
	p.press("More")
	evaluate[any](p, `release(); 0`)
	p.until("the page is there", more)
	p.press("Settings")
	p.text("Without use it ends after minutes")
	evaluate[any](p, `sent.length = 0; history.back(); 0`)
	p.until("the page is back", `document.querySelector("main h1")?.textContent === "Audit" && `+last+`?.get("cursor") === "c1" && `+last+`?.get("action") === "run.start"`)
	p.press("Before")
	p.until("the first page is back", `!location.hash.includes("cursor") && `+last+` && !`+last+`.has("cursor") && `+last+`?.get("action") === "run.start"`)
	evaluate[any](p, `history.go(-3); 0`)
	p.until("Back asks for no page of another filter", `document.querySelector("main h1")?.textContent === "Audit" && location.hash === "#/audit" && `+last+` && !`+last+`.has("cursor") && !`+last+`.has("action")`)

	p.show("#/runs/" + id)
	p.press("done")
	p.until("the state is in the address", `location.hash.includes("state=done") && `+more)
	p.press("More")
	p.until("the page is in the address", `location.hash.includes("cursor=c1")`)
	p.press("failed")
	p.until("another state begins at its first page", `location.hash.includes("state=failed") && !location.hash.includes("cursor")`)
}
