package uitest

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const otherPassword = "another sentence that nobody knows"

// mailed waits until the file has so many links to a page, and returns the last.
func mailed(t *testing.T, path, page string, n int) string {
	t.Helper()
	pattern := regexp.MustCompile(`http://\S+/#/` + page + `\?token=\S+`)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		text, _ := os.ReadFile(path)
		if found := pattern.FindAllString(string(text), -1); len(found) >= n {
			return found[len(found)-1]
		}
	}
	t.Fatalf("no mail with a link to #/%s", page)
	return ""
}

// TestMails invites an operator and lets them choose a new password, by the links of mails.
func TestMails(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	mails := filepath.Join(t.TempDir(), "mails")
	address := owned(t, "-addr", addr, "-tenants", "3", "-rate", "0", "-mail", mails)
	p := open(t, "light")
	p.signInAs(address, "ada@example.com")
	evaluate[any](p, `location.hash = "#/operators"; 0`)
	p.press("Invite")
	p.fill("E-mail", "eve@example.com")
	p.fill("Name", "Eve")
	p.check("light-invite")
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Invite"]`))
	p.text("A link was sent to eve@example.com")
	p.press("Done")

	guest := open(t, "light")
	guest.do(chromedp.Navigate(mailed(t, mails, "invitation", 1)))
	guest.text("You are invited")
	guest.until("the token has left the address", `!location.href.includes("token")`)
	guest.check("light-invitation")
	guest.fill("New password", password)
	guest.press("Begin")
	guest.until("the guest is in", `document.querySelector("main h1")?.textContent === "Overview"`)
	guest.press("Sign out")
	guest.press("I forgot my password")
	guest.fill("E-mail", "eve@example.com")
	guest.check("light-forgotten")
	guest.press("Send a link")
	guest.text("a link is on its way")
	link := mailed(t, mails, "reset", 1)
	guest.do(chromedp.Navigate(link))
	guest.text("Choose a new password")
	guest.check("light-reset")
	guest.fill("New password", otherPassword)
	guest.press("Set the password")
	guest.text("The password is changed")
	guest.press("Sign in")
	guest.text("I forgot my password")
	guest.fill("E-mail", "eve@example.com")
	guest.fill("Password", otherPassword)
	guest.press("Sign in")
	guest.until("the guest is in again", `document.querySelector("main h1")?.textContent === "Overview"`)
	guest.do(chromedp.Navigate("about:blank"), chromedp.Navigate(link))
	guest.fill("New password", password)
	guest.press("Set the password")
	guest.text("This link does not work any more")
}

// TestAccess works with tokens, links that are shown once, addresses, the password and the second factor.
func TestAccess(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	p := open(t, "dark")
	p.stubbed()
	p.signInAs(address, "ada@example.com")

	p.show("#/tokens")
	p.press("Issue a token")
	p.fill("Name", "metrics")
	p.do(chromedp.Click(`//dialog//label[normalize-space()="tenants.read"]/input`))
	p.check("dark-token")
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Issue"]`))
	p.text("Copy the token now")
	p.check("dark-once")
	first := evaluate[string](p, `document.querySelector("dialog .once").textContent`)
	status := func(token string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"api/tenancy/tenants", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if got := status(first); got != 200 {
		t.Errorf("the token: got %d, want 200", got)
	}
	p.press("Done")
	p.do(chromedp.Click(`//button[@aria-label="Rotate metrics"]`))
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Rotate"]`))
	p.text("Copy the token now")
	second := evaluate[string](p, `document.querySelector("dialog .once").textContent`)
	p.press("Done")
	if a, b := status(first), status(second); a != 200 || b != 200 || first == second {
		t.Errorf("after a rotation: got %d and %d, want 200 of two tokens", a, b)
	}
	p.until("both are listed", `document.querySelectorAll("main tbody tr").length === 2`)
	for _, left := range []string{"1", "0"} {
		p.do(chromedp.Click(`(//button[@aria-label="Revoke metrics"])[1]`))
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Revoke"]`))
		p.until("the dialog is closed and the token gone from the list", `!document.querySelector("dialog") && document.querySelectorAll("[aria-label='Revoke metrics']").length === `+left)
	}
	p.text("There are no tokens")
	if a, b := status(first), status(second); a != 401 || b != 401 {
		t.Errorf("revoked: got %d and %d, want 401", a, b)
	}

	p.show("#/addresses")
	p.text("127.0.0.1")
	p.do(chromedp.SendKeys("#rule-0", "203.0.113.0/24"))
	p.press("Check who would be locked out")
	p.text("You would be locked out")
	p.check("dark-locked-out")
	p.do(chromedp.SendKeys("#rule-0", " 127.0.0.0/8"))
	p.press("Check who would be locked out")
	p.text("Nobody who is signed in would be locked out")
	p.press("Save the rules")
	p.until("they are saved", `[...document.querySelectorAll("main button")].some((b) => b.textContent === "Check who would be locked out" && b.disabled) && document.querySelector("#rule-0").value.includes("127.0.0.0/8")`)

	p.show("#/settings")
	p.do(chromedp.SendKeys("#idle_timeout", "45"))
	p.press("Save")
	p.until("the settings are saved", `document.querySelector("#idle_timeout")?.value === "45" && [...document.querySelectorAll("main button")].some((b) => b.textContent === "Save" && b.disabled)`)

	p.show("#/operators")
	p.press("Invite")
	p.fill("E-mail", "eve@example.com")
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Invite"]`))
	p.text("Send this link to eve@example.com")
	link := evaluate[string](p, `document.querySelector("dialog .once").textContent`)
	p.press("Done")
	guest := open(t, "dark")
	guest.do(chromedp.Navigate(link))
	guest.fill("New password", password)
	guest.press("Begin")
	guest.until("the guest is in", `!!document.querySelector("main h1")`)
	p.show("#/operators")
	p.press("eve@example.com")
	p.text("Make a reset link")
	p.until("the guest's session is there", `document.querySelectorAll("dialog tbody tr").length === 1`)
	p.check("dark-operator")
	p.press("Make a reset link")
	p.text("Send this link to eve@example.com")
	guest.do(chromedp.Navigate("about:blank"), chromedp.Navigate(evaluate[string](p, `document.querySelector("dialog .once").textContent`)))
	guest.text("Choose a new password")
	p.press("Done")

	// One deletion does not give somebody all tenants. The dialog grows when the sessions come, and its buttons move.
	save := `[...document.querySelectorAll("dialog button")].find((b) => b.textContent === "Save")`
	p.press("eve@example.com")
	p.until("the guest's session is there", `document.querySelectorAll("dialog tbody tr").length === 1`)
	p.fill("Only tenants tagged", "eu")
	p.until("it can be saved", save+` && !`+save+`.disabled`)
	p.press("Save")
	p.until("the scope is saved", `!document.querySelector("dialog") && document.querySelector("main tbody").textContent.includes("tags eu")`)
	p.press("eve@example.com")
	p.until("the guest's session is there", `document.querySelectorAll("dialog tbody tr").length === 1`)
	p.until("nothing is to be saved", save+`?.disabled`)
	p.do(chromedp.SendKeys(`//dialog//label[contains(., "Only tenants tagged")]/following::input[1]`, "\b\b"))
	p.text("All tenants, also those that come later")
	p.until("it asks first", save+`.disabled`)
	p.do(chromedp.Click(`//dialog//label[contains(., "All tenants, also")]//input`))
	p.until("it can be saved", `!`+save+`.disabled`)
	p.press("Save")
	p.until("all tenants are saved", `!document.querySelector("dialog") && !document.querySelector("main tbody").textContent.includes("tags eu")`)

	p.show("#/me")
	p.press("Change the password")
	p.fill("Current password", "what it never was, I am sure")
	p.fill("New password", otherPassword)
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Change"]`))
	p.text("The current password is wrong")
	evaluate[any](p, `document.querySelector("dialog input[autocomplete=current-password]").select(); 0`)
	p.fill("Current password", password)
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Change"]`))
	p.text("The password is changed")
	p.press("Done")
	p.press("Enrol")
	p.press("Begin")
	p.until("the QR code is there", `document.querySelector("dialog svg.qr path")?.getAttribute("d").length > 100`)
	p.check("dark-enrol")
	p.fill("Code", totp(t, evaluate[string](p, `document.querySelector("dialog p code").textContent`)))
	p.press("Confirm")
	p.until("ten codes are there", `document.querySelectorAll(".codes li").length === 10`)
	p.check("dark-codes")
	code := evaluate[string](p, `document.querySelector(".codes li").textContent`)
	saved := evaluate[string](p, `new Promise((done) => { const make = URL.createObjectURL; URL.createObjectURL = (b) => { b.text().then(done); return make(b); }; [...document.querySelectorAll("dialog button")].find((b) => b.textContent === "Download").click(); })`)
	if strings.Count(saved, "\n") != 10 || !strings.Contains(saved, code) {
		t.Errorf("the file of codes: got %q", saved)
	}
	p.press("I have kept them")
	p.until("the factor is there", `document.querySelector("main").textContent.includes("another owner can reset it")`)
	p.press("New recovery codes")
	p.press("Make new codes")
	p.until("other codes are there", fmt.Sprintf(`document.querySelectorAll(".codes li").length === 10 && !document.querySelector(".codes").textContent.includes(%q)`, code))
	code = evaluate[string](p, `document.querySelector(".codes li").textContent`)
	p.press("I have kept them")
	p.press("Sign out")
	p.fill("E-mail", "ada@example.com")
	p.fill("Password", otherPassword)
	p.press("Sign in")
	p.text("Second factor")
	p.fill("Code", code)
	p.press("Continue")
	p.until("the owner is in", `!!document.querySelector("#main h1")`)
}

// TestSecondFactors loses one, which an owner resets, and is asked for one by a setting.
func TestSecondFactors(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	p := open(t, "dark")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	p.show("#/operators?new=1")
	p.fill("E-mail", "eve@example.com")
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Invite"]`))
	p.text("Send this link to eve@example.com")
	guest := open(t, "dark")
	guest.do(chromedp.Navigate(evaluate[string](p, `document.querySelector("dialog .once").textContent`)))
	guest.fill("New password", password)
	guest.press("Begin")
	guest.until("the guest is in", `!!document.querySelector("#main h1")`)
	const send = `fetch("api/tenancy/auth/%s", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(%s)}).then((r) => r.json()).then((v) => v.secret ?? String(v.recovery_codes?.length))`
	secret := evaluate[string](guest, fmt.Sprintf(send, "enrolment", "{}"))
	if codes := evaluate[string](guest, fmt.Sprintf(send, "enrolment/confirm", fmt.Sprintf(`{code: %q}`, totp(t, secret)))); codes != "10" {
		t.Fatalf("enrolment: got %s codes, want 10", codes)
	}
	p.press("Done")
	p.do(chromedp.Reload())
	p.press("eve@example.com")
	p.press("Reset the second factor")
	p.text("After the next sign-in")
	p.check("dark-factor-reset")
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Reset the second factor"]`))
	p.until("it is reset", `document.querySelector("dialog") && !document.querySelector("dialog").textContent.includes("enrolled")`)
	guest.do(chromedp.Reload())
	guest.text("I forgot my password")

	const require = `fetch("api/tenancy/settings").then((r) => fetch("api/tenancy/settings", {method: "PUT", headers: {"Content-Type": "application/json", "If-Match": r.headers.get("ETag")}, body: JSON.stringify({second_factor: true})})).then((r) => r.status)`
	if status := evaluate[int](p, require); status != 200 {
		t.Fatalf("settings: got %d, want 200", status)
	}
	p.do(chromedp.Reload())
	p.text("The console wants a code of an authenticator app")
	p.check("dark-factor-required")
	p.press("Sign in again")
	p.text("I forgot my password")

	// The codes stay until somebody has kept them, although the sign-in lacks nothing any more.
	p.fill("E-mail", "ada@example.com")
	p.fill("Password", password)
	p.press("Sign in")
	p.press("Begin")
	p.until("the secret is there", `document.querySelector("main p code")`)
	p.fill("Code", totp(t, evaluate[string](p, `document.querySelector("main p code").textContent`)))
	p.press("Confirm")
	p.until("ten codes are there", `document.querySelectorAll(".codes li").length === 10`)
	const looked = `performance.getEntriesByType("resource").filter((e) => e.name.endsWith("/api/tenancy/me")).length`
	looks := evaluate[int](p, looked)
	evaluate[any](p, `document.dispatchEvent(new Event("visibilitychange")); 0`)
	p.until("the page has looked who is signed in", fmt.Sprintf(`%s > %d`, looked, looks))
	evaluate[any](p, `asked.quiet = 0; new BroadcastChannel("tenancy-session").postMessage(""); 0`)
	p.until("it has looked again", fmt.Sprintf(`%s > %d && asked.quiet > 5`, looked, looks+1))
	if n := evaluate[int](p, `document.querySelectorAll(".codes li").length`); n != 10 {
		t.Errorf("got %d codes after the page was seen again, want all ten", n)
	}
	p.press("I have kept them")
	p.until("the owner is in", `!!document.querySelector("#main h1")`)
}

// totp is the code of now (RFC 6238, SHA-1, 30 seconds, six digits).
func totp(t *testing.T, secret string) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(secret, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, uint64(time.Now().Unix()/30))
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:at+4])&0x7fffffff)%1_000_000)
}
