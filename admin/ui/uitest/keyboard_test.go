package uitest

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// keys types, and presses nothing else.
func (p *page) keys(text string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(text))
}

// focused waits until what has the focus has that name or text.
func (p *page) focused(what, expression string) {
	p.t.Helper()
	p.until("the focus is on "+what, `((e) => `+expression+`)(document.activeElement)`)
}

// find opens the palette, searches, and takes the first that has the text.
func (p *page) find(text, item string) {
	p.t.Helper()
	p.keys("/")
	p.focused("the palette", `e.getAttribute("role") === "combobox"`)
	p.keys(text)
	p.until(item+" is found", `[...document.querySelectorAll("#found li")].some((e) => e.textContent.includes("`+item+`"))`)
	for !evaluate[bool](p, `document.querySelector("#found li[aria-selected=true]")?.textContent.includes("`+item+`") ?? false`) {
		p.keys(kb.ArrowDown)
	}
	p.keys(kb.Enter)
}

// TestKeyboard signs in, searches, suspends a tenant and checks rows, without a pointer.
func TestKeyboard(t *testing.T) {
	p := open(t, "dark")
	p.do(chromedp.Navigate(owned(t, "-tenants", "3", "-rate", "5")))
	p.text("Sign in")
	p.keys(kb.Tab)
	p.focused("the e-mail", `e.type === "email"`)
	p.keys("ada@example.com" + kb.Tab)
	p.keys(password + kb.Enter)
	p.until("the overview is shown", `document.querySelector("main h1")?.textContent === "Overview"`)

	p.find("globex", "Globex")
	p.until("the tenant is shown", `document.querySelector("main h1")?.textContent === "Globex" && document.querySelector("main .state")`)
	p.find("suspend glo", "Suspend globex")
	p.focused("the reason", `e.closest("dialog") && e.id === "f-reason"`)
	p.keys("unpaid" + kb.Tab)
	p.focused("the slug", `e.closest("dialog") && e.tagName === "INPUT" && e.id !== "f-reason"`)
	p.keys("globex" + kb.Enter)
	p.until("the tenant is suspended", `!document.querySelector("dialog") && document.querySelector("main .state")?.textContent.includes("suspended")`)

	p.find("tenants", "Tenants")
	p.until("the tenants are shown", `document.querySelectorAll("main tbody tr").length === 3`)
	p.keys("j")
	p.focused("the first row", `e === document.querySelectorAll("main tbody tr")[0]`)
	p.keys("jkjx")
	p.text("1 selected")
	p.keys("?")
	p.until("the keys are shown", `document.querySelector("dialog[open]")?.textContent.includes("Next and previous row")`)
	p.keys(kb.Escape)
	p.until("the keys are gone", `!document.querySelector("dialog")`)
	opened := evaluate[string](p, `document.querySelectorAll("main tbody tr")[1].querySelector("a").textContent`)
	p.keys("jk")
	p.keys(kb.Enter)
	p.until("the row's tenant is shown", `location.hash.startsWith("#/tenants/") && document.querySelector("main h1")?.textContent.length > 0`)
	if got := evaluate[string](p, `document.querySelector("main h1").textContent`); got == "" || opened == "" {
		t.Errorf("opened %q, want %q", got, opened)
	}
}
