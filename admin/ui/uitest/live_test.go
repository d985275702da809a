package uitest

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	pages "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// counted makes the page count its streams, and the turns in which it looks after them.
func (p *page) counted() {
	p.t.Helper()
	const source = `window.streams = []; window.turns = 0;
{
  const Real = EventSource, every = setInterval;
  window.EventSource = class extends Real { constructor(...args) { super(...args); window.streams.push(decodeURIComponent(args[0])); } };
  window.setInterval = (f, ms) => every(() => { if (ms === 2000) window.turns++; f(); }, ms);
}`
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, pages.AddScriptToEvaluateOnNewDocument, pages.AddScriptToEvaluateOnNewDocumentParams{Source: source})
		return err
	}))
}

// TestStreamsThatAreRefused looks at a tenant that does not exist: the stream that is refused is not asked for again and again, and the pages behind it
// are live.
func TestStreamsThatAreRefused(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "5")
	p := open(t, "light")
	p.stubbed()
	p.counted()
	p.missing = true // what is not there is an error in the browser's console
	p.signInAs(address, "ada@example.com")
	p.until("the overview is live", `document.querySelector(".badge.live")`)
	evaluate[any](p, `location.hash = "#/tenants/00000000000000000000000000"; 0`)
	p.text("There is no such tenant")
	evaluate[any](p, `streams = []; turns = 0; 0`)
	p.until("the page has looked after its streams some times", `turns >= 5`)
	if n := evaluate[int](p, `streams.length - turns`); n > 1 {
		t.Errorf("got %d streams more than turns, want at most one in each", n)
	}
	p.show("#/overview")
	p.until("the overview is live again", `document.querySelector(".badge.live")`)
}

// TestViewsAreLive shows a saved view: its rows come with the stream, while no request is answered.
func TestViewsAreLive(t *testing.T) {
	address := owned(t, "-tenants", "4", "-rate", "10")
	o := signedIn(t, address)
	id := o.tenants(1)[0]
	slug, _ := o.ask(http.MethodGet, "tenants/"+id, nil)["name"].(string)
	view, _ := o.post("views", map[string]any{"name": "Mine", "sort": "slug", "columns": []string{"status", "requests"}})["id"].(string)
	p := open(t, "light")
	p.stubbed()
	p.counted()
	p.signInAs(address, "ada@example.com")
	p.show("#/tenants")
	p.do(chromedp.Click(`//summary[normalize-space()="Views"]`))
	p.press("Mine")
	p.until("the view has a stream", `streams.some((s) => s.includes("tenants:`+view+`"))`)
	row := `[...document.querySelectorAll("main tbody tr")].find((r) => r.querySelector(".name").textContent === "` + slug + `")?.textContent`
	p.until("the row is there", row)
	evaluate[any](p, `answers = "late"; 0`)
	o.post("tenants/"+id+"/suspend", map[string]any{})
	p.until("the tenant is shown as suspended", row+`.includes("suspended")`)
	evaluate[any](p, `answers = "real"; 0`)
	p.press("status:active")
	p.until("another filter is no view", `!location.hash.includes("view=")`)
}

// TestRevokeKeys revokes the keys of all tenants that are chosen: with fresh credentials, and in the name of who did it.
func TestRevokeKeys(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	o := signedIn(t, address)
	id := o.tenants(1)[0]
	o.post("tenants/"+id+"/keys", map[string]any{"name": "shop"})
	p := open(t, "light")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	p.show("#/tenants")
	p.do(chromedp.Click(`//input[@aria-label="Select all shown"]`))
	p.do(chromedp.Click(`//*[@aria-label="Bulk actions"]//button[normalize-space()="Revoke API keys"]`))
	p.fill("Keys of this name", "shop")
	p.check("light-revoke-keys")
	p.press("Show the plan")
	p.text("Tenants that begin to match later are not touched")
	// The credentials are fresh: the API is made to say that they are not, once.
	evaluate[any](p, `(() => { const real = fetch; let once = true; window.fetch = async (...args) => {
  if (!once || !String(args[0]).endsWith("bulk-revoke-keys")) return real(...args);
  once = false;
  return new Response(JSON.stringify({ type: "about:blank#step-up", title: "Step-up", detail: "", status: 403, request_id: "TEST" }), { status: 403, headers: { "Content-Type": "application/problem+json" } });
}; return 0; })()`)
	p.fill(`Type "revoke-keys 3"`, "revoke-keys 3")
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Revoke API keys"]`))
	p.text("Confirm that it is you")
	p.fill("Password", password)
	p.press("Continue")
	p.until("the run's page is shown", `location.hash.startsWith("#/runs/")`)
	p.until("the run is done", `document.querySelector("main .state")?.textContent.trim() === "done"`)
	p.text("by Ada Lovelace")
	if keys, _ := o.ask(http.MethodGet, "tenants/"+id+"/keys", nil)["keys"].([]any); len(keys) != 0 {
		t.Errorf("got %v, want no keys", keys)
	}
	p.show("#/runs")
	p.text("Ada Lovelace")
}

// TestTenantAccess changes settings, addresses and the homepage of a tenant, before the record is read anew.
func TestTenantAccess(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	o := signedIn(t, address)
	id := o.tenants(1)[0]
	p := open(t, "light")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	p.show("#/tenants/" + id + "?tab=access")
	evaluate[any](p, `answers = "unread"; 0`)
	p.fill("Setting", "theme")
	p.fill("Value", "dark")
	p.press("Set")
	p.until("the setting is there, without its value", `document.querySelector("main").innerText.includes("theme") && !document.querySelector("main").innerText.includes("dark")`)
	p.fill("Refused", "203.0.113.7, 2001:db8::/32")
	p.press("Save the addresses")
	p.until("they are saved", `[...document.querySelectorAll("main button")].some((b) => b.textContent === "Save the addresses" && b.disabled) && [...document.querySelectorAll("main input")].some((i) => i.value === "203.0.113.7/32 2001:db8::/32")`)
	p.press("Switch it off")
	p.text("Off: visitors are sent elsewhere.")
	evaluate[any](p, `answers = "real"; 0`)
	p.show("#/tenants/" + id + "?tab=access")
	p.check("light-tenant-access")
	p.do(chromedp.Click(`//button[@aria-label="Remove theme"]`))
	p.until("the setting is gone", `!document.querySelector("main").innerText.includes("theme")`)
	if on, _ := o.ask(http.MethodGet, "tenants/"+id+"/homepage", nil)["on"].(bool); on {
		t.Error("the homepage is on")
	}
	deny, _ := o.ask(http.MethodGet, "tenants/"+id+"/addresses", nil)["deny"].([]any)
	if len(deny) != 2 || !strings.HasPrefix(deny[0].(string), "203.0.113.7") {
		t.Errorf("got %v refused", deny)
	}
}
