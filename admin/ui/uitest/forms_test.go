package uitest

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
)

// held keeps from the server what the page would change, and lists it in changes.
const held = `window.changes = []; {
  const real = fetch;
  window.fetch = async (input, init) => {
    if (!init?.method || init.method === "GET") return real(input, init);
    changes.push(init.method + " " + init.body);
    return new Response(JSON.stringify({ type: "about:blank#validation", title: "Held", detail: "", status: 422, request_id: "TEST" }), { status: 422, headers: { "Content-Type": "application/problem+json" } });
  };
} 0`

// TestMistyped types numbers with what is none behind them: nothing is sent, and the field says why.
func TestMistyped(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	o := signedIn(t, address)
	ids := o.tenants(2)
	slug, _ := o.ask(http.MethodGet, "tenants/"+ids[0], nil)["slug"].(string)
	o.post("tokens", map[string]any{"name": "metrics", "permissions": []string{"tenants.read"}, "ttl": 86400})
	o.post("tenants/"+ids[1]+"/maintenance", map[string]any{"mode": "closed"})
	p := open(t, "light")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	evaluate[any](p, held)
	dialog := func(p *page, name string) {
		p.do(chromedp.Click(`//dialog//button[normalize-space()="` + name + `"]`))
	}
	for name, c := range map[string]struct {
		hash, label, text string
		open, send        func(p *page)
	}{
		"rotate a token": {"#/tokens", "The old one stays valid for hours", "h", // behind the 24 that is there
			func(p *page) { p.do(chromedp.Click(`//button[@aria-label="Rotate metrics"]`)) }, func(p *page) { dialog(p, "Rotate") }},
		"issue a token": {"#/tokens?new=1", "Valid for days", "d",
			func(p *page) {
				p.fill("Name", "x")
				p.do(chromedp.Click(`//dialog//label[normalize-space()="tenants.read"]/input`))
			}, func(p *page) { dialog(p, "Issue") }},
		"issue a key": {"#/tenants/" + ids[0] + "?tab=keys", "Valid for days", "30d",
			func(p *page) { p.press("Issue a key"); p.fill("Name", "x") }, func(p *page) { dialog(p, "Issue") }},
		"issue a key for no time": {"#/tenants/" + ids[0] + "?tab=keys", "Valid for days", "0",
			func(p *page) { p.press("Issue a key"); p.fill("Name", "x") }, func(p *page) { dialog(p, "Issue") }},
		"maintenance": {"#/tenants/" + ids[0] + "?tab=maintenance", "For minutes", "30m",
			func(p *page) { p.press("Begin or plan maintenance") }, func(p *page) { dialog(p, "Begin maintenance of "+slug) }},
		"extend a maintenance": {"#/tenants/" + ids[1] + "?tab=maintenance", "Minutes more", "m",
			func(p *page) { p.press("Extend") }, func(p *page) { dialog(p, "Extend") }},
		"canary": {"#/tenants", "Canary", "5%",
			func(p *page) {
				p.do(chromedp.Click(`//input[@aria-label="Select all shown"]`))
				p.do(chromedp.Click(`//*[@aria-label="Bulk actions"]//button[normalize-space()="Suspend"]`))
			}, func(p *page) { dialog(p, "Show the plan") }},
		"settings": {"#/settings", "Without use it ends after minutes", "45m", func(*page) {}, func(p *page) { p.press("Save") }},
	} {
		t.Run(name, func(t *testing.T) {
			p := &page{t: t, ctx: p.ctx}
			evaluate[any](p, `changes = []; 0`)
			p.show(c.hash)
			c.open(p)
			p.fill(c.label, c.text)
			c.send(p)
			p.until("it was sent or refused", `changes.length || document.querySelector("[aria-invalid]") || document.querySelector("dialog .notice")`)
			if sent := evaluate[[]string](p, `changes`); len(sent) > 0 {
				t.Errorf("sent: %v", sent)
				return
			}
			p.until("the field says so", `document.querySelector("[aria-invalid]")?.closest(".field").querySelector(".error")?.textContent.includes("number")`)
		})
	}
}
