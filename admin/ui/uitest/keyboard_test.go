package uitest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// named is what has the focus, as a screen reader says it.
const named = `(() => { const e = document.activeElement; return (e.getAttribute("aria-label") ?? e.labels?.[0]?.textContent ?? e.textContent).trim(); })()`

// key presses keys, one after the other.
func (p *page) key(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// to presses Tab until the focus is on what has that name, or a name that begins like that if it ends with "…". The focus must be seen.
func (p *page) to(name string) {
	p.t.Helper()
	start, open := strings.CutSuffix(name, "…")
	var passed []string
	for range 200 {
		got := evaluate[string](p, named)
		if got == name || open && strings.HasPrefix(got, start) {
			if !evaluate[bool](p, `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2; })()`) {
				p.t.Errorf("the focus on %q is not seen", name)
			}
			return
		}
		passed = append(passed, got)
		p.key(kb.Tab)
	}
	p.t.Fatalf("Tab does not reach %q; it passes %q", name, passed[max(0, len(passed)-40):])
}

// find opens what the palette has under that name.
func (p *page) find(name string) {
	p.t.Helper()
	evaluate[any](p, `document.activeElement.blur(); 0`)
	p.key("/")
	p.until("the palette is open", `document.activeElement.getAttribute("role") === "combobox"`)
	p.key(name)
	p.until(name+" is found", fmt.Sprintf(`document.querySelector("#found [aria-selected=true]")?.textContent.trim().startsWith(%q)`, name))
	p.key(kb.Enter)
	p.until("the palette is closed", `!document.querySelector("dialog.palette")`)
}

// TestKeyboard does what the console is for without a mouse: signing in, finding, making, suspending, acting on many, tokens, maintenance, the audit, the password.
func TestKeyboard(t *testing.T) {
	address := owned(t, "-tenants", "6", "-rate", "20")
	p := open(t, "light")
	p.do(chromedp.Navigate(address))
	p.text("I forgot my password")
	p.to("E-mail")
	p.key("ada@example.com")
	p.key(kb.Tab)
	p.key(password + kb.Enter)
	p.until("the overview is shown", `document.querySelector("main h1")?.textContent === "Overview"`)

	p.until("the chart is there", `document.querySelector(".chart path.line")?.getAttribute("d")`)
	p.to("Requests, last 5 minutes…")
	p.key(kb.ArrowLeft)
	p.until("the point is read", `document.querySelector(".chart .read").textContent.includes(":")`)

	p.find("New tenant")
	p.until("the form has the focus", named+` === "Slug"`)
	p.key("keyboard" + kb.Enter)
	p.until("the tenant is made", `document.querySelector("main h1")?.textContent === "keyboard" && document.querySelector("main .state")?.textContent.includes("active")`)
	p.find("Suspend keyboard")
	p.until("the form has the focus", named+` === "Reason"`)
	p.key("a test")
	p.to(`Type "keyboard"`)
	p.key("keyboard" + kb.Enter)
	p.until("the tenant is suspended", `!document.querySelector("dialog") && document.querySelector("main .state")?.textContent.includes("suspended")`)

	p.find("Tenants")
	p.until("the tenants are shown", `document.querySelectorAll("main tbody tr").length === 7`)
	p.to("Filter")
	p.key("tag:overdue" + kb.Enter)
	p.until("two match", `document.querySelectorAll("main tbody tr").length === 2`)
	p.to("Select all shown")
	p.key("j")
	p.until("the first row has the focus", `document.activeElement === document.querySelector("main tbody tr")`)
	p.key("x")
	p.text("1 selected")
	p.key("j")
	p.key("x")
	p.text("2 selected")
	p.to("Suspend")
	p.key(kb.Enter)
	p.until("the dialog has the focus", `document.querySelector("dialog")?.contains(document.activeElement)`)
	p.to("Show the plan")
	p.key(kb.Enter)
	p.until("the confirmation has the focus", named+".startsWith('Type \"suspend 2\"')")
	p.key("suspend 2" + kb.Enter)
	p.until("the run is done", `location.hash.startsWith("#/runs/") && document.querySelector("main .state")?.textContent.trim() === "done"`)

	p.find("Issue a token")
	p.until("the form has the focus", named+` === "Name"`)
	p.key("keyboard")
	p.to("tenants.read")
	p.key(" ")
	p.to("Issue")
	p.key(kb.Enter)
	p.until("the token has been made", named+` === "Done"`)
	p.key(kb.Enter)
	p.until("the dialog is closed", `!document.querySelector("dialog")`)

	p.find("Maintenance")
	p.until("the page is shown", `[...document.querySelectorAll("main button")].some((b) => b.textContent === "Begin or plan maintenance")`)
	p.to("Begin or plan maintenance")
	p.key(kb.Enter)
	p.until("the dialog has the focus", `document.querySelector("dialog")?.contains(document.activeElement)`)
	p.key(kb.Escape)
	p.until("the focus is back where it was", `!document.querySelector("dialog") && `+named+` === "Begin or plan maintenance"`)
	p.key(kb.Enter)
	p.until("the dialog has the focus", `document.querySelector("dialog")?.contains(document.activeElement)`)
	p.to("Begin maintenance of the service")
	p.key(kb.Enter)
	p.text("Maintenance of the service is in force")
	p.to("End the maintenance")
	p.key(kb.Enter)
	p.text("Maintenance of the service is off")

	p.find("Verify the audit")
	p.text("entries whole up to number")
	p.find("Invite an operator")
	p.until("the form has the focus", named+` === "E-mail"`)
	p.key("eve@example.com" + kb.Enter)
	p.until("the link is shown", named+` === "Done"`)
	p.key(kb.Enter)
	p.until("the dialog is closed", `!document.querySelector("dialog")`)
	p.find("My account")
	p.until("the page is shown", `document.querySelector("main h1")?.textContent === "My account"`)
	p.to("Change the password")
	p.key(kb.Enter)
	p.until("the form has the focus", named+` === "Current password"`)
	p.key(password + kb.Tab + otherPassword + kb.Enter)
	p.until("the password is changed", named+` === "Done"`)
	p.key(kb.Enter)
	evaluate[any](p, `document.activeElement.blur(); 0`)
	p.key("?")
	p.until("the keys are shown", `document.querySelector("dialog:modal .keys")`)
	p.key(kb.Escape)
	p.until("the dialog is closed", `!document.querySelector("dialog")`)
	p.find("Sign out")
	p.text("I forgot my password")
}
