package uitest

import (
	"encoding/json"
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

// TestSettingsKept saves one setting of the console: others stay, also those that were set elsewhere.
func TestSettingsKept(t *testing.T) {
	address := owned(t, "-tenants", "1", "-rate", "0")
	p := open(t, "light")
	p.stubbed()
	p.watched()
	p.signInAs(address, "ada@example.com")
	evaluate[any](p, `twist = (path, data) => { if (path === "settings") Object.assign(data.settings, { audit_retention: 40 * 86400, another: 7 }); };`+held)
	saved := func() (was map[string]any) {
		t.Helper()
		p.press("Save")
		p.until("it was sent", `changes.length`)
		if err := json.Unmarshal([]byte(evaluate[string](p, `changes.pop().slice("PUT ".length)`)), &was); err != nil {
			t.Fatal(err)
		}
		return was
	}
	p.show("#/settings")
	p.do(chromedp.SendKeys("#idle_timeout", "45"))
	if got := saved(); got["audit_retention"] != 40*86400. || got["another"] != 7. || got["idle_timeout"] != 2700. {
		t.Errorf("got %v, want the new idle timeout and what was there", got)
	}
	p.do(chromedp.SendKeys("#audit_retention", "0"))
	if got := saved(); got["audit_retention"] != 400*86400. {
		t.Errorf("got %v, want 400 days", got)
	}
	evaluate[any](p, `document.querySelector("#audit_retention").select(); 0`)
	p.do(chromedp.SendKeys("#audit_retention", "\b"))
	if got, ok := saved()["audit_retention"]; ok {
		t.Errorf("got %v, want none of a field that is empty", got)
	}
	p.check("light-settings")
}
