package uitest

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
)

// elsewhere changes something as it is now, as somebody else would.
func (p *page) elsewhere(read, method, path, body string) {
	p.t.Helper()
	status := evaluate[int](p, fmt.Sprintf(`fetch("api/tenancy/" + %q).then(async (r) => (await fetch("api/tenancy/" + %q, { method: %q, body: %q, headers: { "Content-Type": "application/json", "If-Match": r.headers.get("ETag") } })).status)`, read, path, method, body))
	if status >= 300 {
		p.t.Fatalf("%s %s: got %d", method, path, status)
	}
}

// TestTyped types while somebody else changes the same thing: what is typed stays, and nobody overwrites what they have not seen.
func TestTyped(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	o := signedIn(t, address)
	id := o.tenants(1)[0]
	o.invite("eve@example.com", "viewer", map[string]any{"tags": []string{"eu"}})
	p := open(t, "light")
	p.stubbed()
	p.faked()
	p.watched()
	p.signInAs(address, "ada@example.com")
	evaluate[any](p, `hurried = true; 0`)
	tenant := "tenants/" + id
	record := func() map[string]any { return o.ask(http.MethodGet, tenant, nil) }
	limits := func() string { return fmt.Sprint(record()["limits"]) }
	put := func(p *page, text string) {
		p.t.Helper()
		p.do(chromedp.Focus("#limits"))
		evaluate[any](p, `document.querySelector("#limits").select(); 0`)
		p.do(chromedp.SendKeys("#limits", text))
	}

	t.Run("limits", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		p.elsewhere(tenant, "PUT", tenant+"/limits", `{"limits":{"seats":5}}`)
		p.show("#/" + tenant + "?tab=limits")
		for _, wrong := range []string{"a=10=000", "a=9007199254740993", "seats=1\nseats=2"} {
			put(p, wrong)
			p.press("Save the limits")
			p.until("it is refused", `document.querySelector("main form .notice")?.textContent.includes("“")`)
			if got := limits(); got != "map[seats:5]" {
				t.Errorf("%s: the record has %s", wrong, got)
			}
		}
		put(p, "seats=7\nusers=100")
		p.elsewhere(tenant, "PUT", tenant+"/tags", `{"tags":["eu","new"]}`)
		p.until("the page has the new record", `[...document.querySelectorAll("main .tag")].some((e) => e.textContent === "new")`)
		p.until("what was typed is there", `document.querySelector("#limits").value === "seats=7\nusers=100"`)
		p.press("Save the limits")
		p.until("it is saved", `[...document.querySelectorAll("main [aria-label=Limits] td")].some((e) => e.textContent === "users")`)
		if got := limits(); got != "map[seats:7 users:100]" {
			t.Errorf("the record has %s", got)
		}
		put(p, "seats=8")
		p.elsewhere(tenant, "PUT", tenant+"/limits", `{"limits":{"seats":9}}`)
		p.text("Somebody else has changed this.")
		p.check("light-limits-theirs")
		p.press("Keep mine")
		p.press("Save the limits")
		p.until("it is saved", `[...document.querySelectorAll("main [aria-label=Limits] td")].map((e) => e.textContent).join() === "seats,8"`)
		if got := limits(); got != "map[seats:8]" {
			t.Errorf("the record has %s", got)
		}
	})
	t.Run("edit", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, `fake = (method, path) => { if (method === "PUT" && path.endsWith("/slug")) return [409, { type: "about:blank#exists", title: "Exists", detail: "That name is taken.", status: 409 }]; }; 0`)
		p.show("#/" + tenant + "?tab=record")
		was := record()
		p.press("Edit")
		p.fill("Name", " Ltd")
		p.fill("Slug", "-two")
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Save"]`))
		p.text("That name is taken.")
		p.until("the page has what was saved", `document.querySelector("main h1").textContent.endsWith(" Ltd")`)
		evaluate[any](p, `fake = () => {}; 0`)
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Save"]`))
		p.until("the dialog is closed", `!document.querySelector("dialog")`)
		if is := record(); is["name"] != fmt.Sprint(was["name"], " Ltd") || is["slug"] != fmt.Sprint(was["slug"], "-two") {
			t.Errorf("got %v and %v", is["name"], is["slug"])
		}
	})
	t.Run("an operator", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		eve := ""
		list, _ := o.ask(http.MethodGet, "operators", nil)["operators"].([]any)
		for _, one := range list {
			if one, _ := one.(map[string]any); one["email"] == "eve@example.com" {
				eve, _ = one["id"].(string)
			}
		}
		p.show("#/operators")
		p.press("viewer") // her name
		p.fill("Only tenants tagged", " new")
		one := "operators/" + eve
		p.elsewhere(one, "PATCH", one, `{"role":"support"}`)
		p.until("the page has the new role", `document.querySelector("dialog select").value === "support"`)
		p.until("what was typed is there", `document.querySelector("#f-only-tenants-tagged").value === "eu new"`)
		p.elsewhere(one, "PATCH", one, `{"scope":{"tags":["us"]}}`)
		p.text("Somebody else has changed this.")
		p.do(chromedp.Click(`//dialog//label[contains(.,"Disabled: ")]/input`))
		p.press("Take theirs")
		p.until("theirs is there, and what was typed beside it", `document.querySelector("#f-only-tenants-tagged").value === "us" && document.querySelector("dialog label.check input").checked`)
	})
	t.Run("in a scope of tags", func(t *testing.T) {
		p := open(t, "light")
		p.stubbed()
		o.invite("op@example.com", "operator", map[string]any{"tags": []string{"eu"}})
		p.signInAs(address, "op@example.com")
		p.show("#/" + tenant + "?tab=record")
		p.press("Edit")
		p.until("the form is there", `document.querySelector("dialog #f-name")`)
		if evaluate[bool](p, `!!document.querySelector("dialog #f-tags")`) {
			t.Error("tags can be typed, although nobody with a scope of tags may change them")
		}
	})
}
