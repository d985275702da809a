package uitest

import (
	"context"
	_ "embed"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	pages "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// stub stands between the page and the API: it counts what is asked, and makes answers late (those to GETs alone: unread), empty, failed, refused or hostile, as
// window.answers says. Who is signed in stays what it is.
//
//go:embed stub.js
var stub string

// stubbed puts the stub before the page's script.
func (p *page) stubbed() {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, pages.AddScriptToEvaluateOnNewDocument, pages.AddScriptToEvaluateOnNewDocumentParams{Source: stub})
		return err
	}))
}

// show goes to an address of the page and waits until its answers are there.
func (p *page) show(hash string) {
	p.t.Helper()
	evaluate[any](p, fmt.Sprintf(`location.hash = "#/nowhere"; new Promise((r) => setTimeout(() => { location.hash = %q; r(0) }))`, hash))
	p.until(hash+" is shown", `asked.quiet > 5 && document.querySelector("main h1") && !document.querySelector("main h1").textContent.includes("Not found") && !document.querySelector("[aria-busy]")`)
}

// signInAs signs somebody in with a request, and loads the page.
func (p *page) signInAs(address, email string) {
	p.t.Helper()
	p.do(chromedp.Navigate(address))
	status := evaluate[int](p, fmt.Sprintf(`fetch("api/tenancy/auth/sign-in", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({email: %q, password: %q})}).then((r) => r.status)`, email, password))
	if status != 200 {
		p.t.Fatalf("signing in as %s: got %d", email, status)
	}
	p.do(chromedp.Reload())
	p.until("the shell is shown", `!!document.querySelector("main h1")`)
}

// password is that of all operators.
const password = "a sentence nobody would guess"

// owned starts a console and makes its owner.
func owned(t *testing.T, args ...string) (address string) {
	t.Helper()
	link := console(t, args...)
	o := &operator{t: t, address: originOf(link)}
	o.post("auth/setup", map[string]any{"token": tokenOf(link), "name": "Ada Lovelace", "email": "ada@example.com", "password": password})
	return o.address
}
