package uitest

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	pages "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// watched makes the page list in sent what it asks of the API, and pass each answer to twist(path, data, query), which may change it.
// While hurried is set, intervals of five seconds and more are a tenth as long.
func (p *page) watched() {
	p.t.Helper()
	const source = `window.sent = []; window.twist = () => {};
{
  const real = fetch, every = setInterval;
  window.setInterval = (f, ms) => every(f, window.hurried && ms >= 5000 ? ms / 10 : ms);
  window.fetch = async (input, init) => {
    const url = new URL(input, document.baseURI), path = url.pathname.split("/api/tenancy/")[1];
    if (!path) return real(input, init);
    sent.push({ path, query: url.searchParams, method: init?.method ?? "GET", byItself: !!init?.headers?.["X-Refresh"] });
    const res = await real(input, init);
    if (!res.ok || !/^application\/json(;|$)/.test(res.headers.get("Content-Type")) || init?.method && init.method !== "GET") return res;
    const data = await res.json();
    twist(path, data, url.searchParams);
    return new Response(JSON.stringify(data), { status: res.status, headers: res.headers });
  };
}`
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, pages.AddScriptToEvaluateOnNewDocument, pages.AddScriptToEvaluateOnNewDocumentParams{Source: source})
		return err
	}))
}

// TestUntouched leaves pages alone: all that they ask from then on says that nobody asked, so that the idle session ends.
func TestUntouched(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "5")
	o := signedIn(t, address)
	ids := o.tenants(2)
	p := open(t, "light")
	p.stubbed()
	p.watched()
	p.signInAs(address, "ada@example.com")
	untouched := func(t *testing.T, what, until string) {
		t.Helper()
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, `sent.length = 0; 0`)
		p.until(what, until)
		for _, path := range evaluate[[]string](p, `sent.filter((s) => !s.byItself).map((s) => s.method + " " + s.path + "?" + s.query)`) {
			t.Errorf("until %s, a request that counts as use: %s", what, path)
		}
	}
	t.Run("names", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		// Each answer has an entry about another tenant, whose name the page looks up.
		evaluate[any](p, fmt.Sprintf(`hurried = true; { let n = 0; twist = (path, data) => {
  if (path === "audit") data.entries = [{ id: "e" + n, time: new Date().toISOString(), action: "tenant.status", result: "done", tenant: [%q, %q][n++ %% 2], count: 1, actor: { kind: "system" } }];
} } location.hash = "#/audit"; 0`, ids[0], ids[1]))
		p.until("the first name was asked for", `sent.some((s) => s.path === "tenants")`)
		untouched(t, "more names were asked for", `sent.filter((s) => s.path === "tenants").length > 1`)
	})
	t.Run("the period before", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, fmt.Sprintf(`{ let n = 0; twist = (path, data, query) => {
  if (!path.endsWith("/series") || query.has("from")) return;
  n++;
  for (const k of ["from", "to"]) data.period[k] = new Date(+new Date(data.period[k]) + n * 30_000).toISOString();
} } location.hash = "#/tenants/%s?tab=usage&beside=before"; 0`, ids[0]))
		p.until("the period before was asked for", `sent.some((s) => s.path.endsWith("/series") && s.query.has("from"))`)
		untouched(t, "later periods before were asked for", `sent.filter((s) => s.path.endsWith("/series") && s.query.has("from")).length > 1`)
	})
	t.Run("a change by somebody else", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, `hurried = false; twist = () => {}; 0`)
		p.show("#/tenants/" + ids[0])
		p.until("the stream is there", `document.querySelector(".badge.live")`)
		o.post("tenants/"+ids[0]+"/suspend", map[string]any{})
		untouched(t, "the change is shown", `document.querySelector("main .state")?.textContent.includes("suspended")`)
	})
	for _, at := range []struct{ hash, path string }{{"#/settings", "settings"}, {"#/tenants", "analytics/tenants"}} {
		t.Run("a failure of "+at.path, func(t *testing.T) {
			p := &page{t: t, ctx: p.ctx}
			evaluate[any](p, fmt.Sprintf(`answers = 503; location.hash = %q; 0`, at.hash))
			p.until("it failed", `[...document.querySelectorAll("main .notice.bad")].some((e) => e.textContent.includes("Next try in"))`)
			untouched(t, "it was tried again", `sent.some((s) => s.path === "`+at.path+`")`)
			evaluate[any](p, `answers = "real"; location.hash = "#/nowhere"; 0`)
		})
	}
}

// TestSlowAnswers shows a run whose answers take longer than the time between two: none is broken off, and the page is there.
func TestSlowAnswers(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	o := signedIn(t, address)
	plan := o.post("actions/bulk-migrate", map[string]any{"dry_run": true, "filter": "status:active"})
	run := o.post("actions/bulk-migrate", map[string]any{"plan": plan["plan"], "confirm": plan["confirm"]})
	id, _ := run["id"].(string)
	p := open(t, "light")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	evaluate[any](p, fmt.Sprintf(`window.answered = 0; window.aborted = 0; {
  const real = fetch;
  window.fetch = async (input, init) => {
    if (String(input).endsWith("/runs/%[1]s")) {
      await new Promise((done) => setTimeout(done, 1500));
      if (init.signal.aborted) aborted++;
      else answered++;
    }
    return real(input, init);
  };
} location.hash = "#/runs/%[1]s"; 0`, id))
	p.until("an answer was broken off, or some are there", `answered > 2 || aborted`)
	if n := evaluate[int](p, `aborted`); n > 0 {
		t.Errorf("%d answers were broken off", n)
	}
	p.until("the run is shown", `document.querySelector("main h1")?.textContent === "Run: migrate"`)
}
