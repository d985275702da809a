package uitest

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestSession ends a session from elsewhere while somebody types: the sign-in is on top, what is typed stays, and nothing more is asked.
func TestSession(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "5")
	p := open(t, "light")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	p.show("#/tenants")
	p.do(chromedp.SendKeys(`//input[@aria-label="Filter"]`, "tag:overdue"))
	signedIn(t, address).ask(http.MethodDelete, "sessions", nil)
	p.press("Filter")
	p.text("Your session has ended. What you typed is kept.")
	p.axe("session-ended", []int64{360, 1440})
	asked := evaluate[int](p, `performance.getEntriesByType("resource").filter((e) => e.name.includes("/api/")).length`)
	p.fill("E-mail", "ada@example.com")
	p.fill("Password", password)
	if now := evaluate[int](p, `performance.getEntriesByType("resource").filter((e) => e.name.includes("/api/")).length`); now != asked {
		t.Errorf("a session that has ended sent %d requests", now-asked)
	}
	p.press("Sign in")
	p.until("the page is back with its text", `!document.querySelector(".over") && document.querySelector("input[aria-label=Filter]").value === "tag:overdue"`)
	p.until("the rows are there", `document.querySelectorAll("main tbody tr").length === 1`)

	// Two minutes before a session ends that nobody uses, the page says so, and a click keeps it.
	p.show("#/settings")
	p.do(chromedp.SendKeys("#idle_timeout", "2.1"))
	p.press("Save")
	p.text("because nobody uses it")
	p.axe("session-idle", []int64{360, 1440})
	p.press("Stay signed in")
	p.until("the button can be used again", `![...document.querySelectorAll("main .notice button")].some((b) => b.disabled) && !document.querySelector("main .notice.bad")`)
}

// TestSessionSecondFactor ends the session of an operator with a second factor: what is typed stays through password and code, and another operator
// gets a page of their own.
func TestSessionSecondFactor(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "5")
	o := signedIn(t, address)
	o.invite("eve@example.com", "viewer", map[string]any{"all": true})
	secret, _ := o.post("auth/enrolment", nil)["secret"].(string)
	codes, _ := o.post("auth/enrolment/confirm", map[string]any{"code": totp(t, secret)})["recovery_codes"].([]any)
	if len(codes) < 3 {
		t.Fatalf("got %d recovery codes", len(codes))
	}
	p := open(t, "light")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	p.fill("Code", codes[2].(string))
	p.press("Continue")
	p.until("the page is shown", `document.querySelector("#main h1")`)
	p.show("#/tenants")
	p.do(chromedp.SendKeys(`//input[@aria-label="Filter"]`, "tag:overdue"))
	o.ask(http.MethodDelete, "sessions", nil)
	p.text("Your session has ended. What you typed is kept.")
	p.fill("E-mail", "ada@example.com")
	p.fill("Password", password)
	p.press("Sign in")
	p.text("Six digits of your authenticator")
	p.axe("session-factor", []int64{360, 1440})
	p.fill("Code", codes[0].(string))
	p.press("Continue")
	p.until("the page is back with its text", `document.querySelector("#main h1") && !document.querySelector(".over")`)
	if got := evaluate[string](p, `document.querySelector("input[aria-label=Filter]").value`); got != "tag:overdue" {
		t.Errorf("the filter says %q, want what was typed", got)
	}

	o = signedIn(t, address)
	o.post("auth/second-factor", map[string]any{"code": codes[1]})
	o.ask(http.MethodDelete, "sessions", nil)
	p.text("Your session has ended. What you typed is kept.")
	p.fill("E-mail", "eve@example.com")
	p.fill("Password", password)
	p.press("Sign in")
	p.until("the other operator is in", `document.querySelector("#main h1") && !document.querySelector(".over") && document.querySelector("header").textContent.includes("viewer")`)
	p.until("the list is there", `document.querySelector("input[aria-label=Filter]")`)
	if got := evaluate[string](p, `document.querySelector("input[aria-label=Filter]").value`); got != "" {
		t.Errorf("the filter of another operator says %q", got)
	}
}

// TestSessionDialog ends a session while somebody types into a dialog: the sign-in is on top of it, and what is typed stays.
func TestSessionDialog(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "5")
	p := open(t, "light")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	p.show("#/tenants?new=1")
	p.fill("Slug", "initech")
	signedIn(t, address).ask(http.MethodDelete, "sessions", nil)
	p.until("the session has ended", `document.querySelector(".over")`)
	if top := evaluate[string](p, `document.elementFromPoint(innerWidth / 2, innerHeight / 2).closest(".over, dialog")?.className ?? ""`); top != "over" {
		t.Fatalf("on top is %q, want the sign-in", top)
	}
	p.fill("E-mail", "ada@example.com")
	p.key(kb.Escape)
	p.key(kb.Escape)
	p.fill("Password", password)
	p.press("Sign in")
	p.until("the sign-in is gone", `!document.querySelector(".over")`)
	if got := evaluate[string](p, `document.querySelector("dialog[open] input").value`); got != "initech" {
		t.Errorf("the dialog says %q, want what was typed", got)
	}
}

// TestFailures gives answers of each kind: each looks different, says the request's ID, and what passes is tried again.
func TestFailures(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "5")
	p := open(t, "dark")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	for status, title := range map[int]string{
		400: "Not accepted.", 403: "Not allowed.", 404: "Not found.", 409: "Not possible now.", 412: "Changed meanwhile.", 422: "Not accepted.", 429: "Too many requests.", 500: "Failed.", 503: "Not available.",
	} {
		evaluate[any](p, `answers = `+strconv.Itoa(status)+`; location.hash = "#/nowhere"; new Promise((r) => setTimeout(() => { location.hash = "#/runs"; r(0) }))`)
		p.until(title+" is shown", `[...document.querySelectorAll("main .notice b")].some((e) => e.textContent === "`+title+`") && document.querySelector("main .notice").textContent.includes("TESTTESTTEST")`)
		if status == 429 || status == 503 {
			p.until(title+" is tried again by itself", `document.querySelector("main .notice")?.textContent.includes("Next try in")`)
		} else if evaluate[bool](p, `document.querySelector("main .notice").textContent.includes("Next try in")`) {
			t.Errorf("%d: tried again by itself", status)
		}
	}
	evaluate[any](p, `answers = 503; location.hash = "#/nowhere"; new Promise((r) => setTimeout(() => { location.hash = "#/runs"; r(0) }))`)
	p.text("Next try in")
	evaluate[any](p, `answers = "real"; 0`)
	p.until("it was tried again", `!document.querySelector("main .notice") && document.querySelector("main .empty")`)
}
