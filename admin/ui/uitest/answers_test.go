package uitest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// refusing answers "METHOD path" as window.refused says: with a status and a type, or, with 0, with nothing although the request was carried out. What is sent
// is in posted.
const refusing = `window.refused = {}; window.posted = []; {
  const real = fetch;
  window.fetch = async (input, init) => {
    const method = init?.method ?? "GET", path = new URL(input, document.baseURI).pathname.split("/api/tenancy/")[1];
    if (method !== "GET") posted.push({ path, key: init.headers["Idempotency-Key"] ?? "", body: init.body ?? "" });
    const r = refused[method + " " + path];
    if (!r) return real(input, init);
    if (r[0] === 0) {
      await real(input, init);
      throw new TypeError("no answer");
    }
    return new Response(JSON.stringify({ type: "about:blank#" + r[1], title: "Refused", detail: "A test refuses it.", status: r[0], request_id: "TEST" }), { status: r[0], headers: { "Content-Type": "application/problem+json" } });
  };
} 0`

// TestElsewhere looks at a console whose operators the application signs in: what is the console's own sign-in is not offered.
func TestElsewhere(t *testing.T) {
	address := owned(t, "-tenants", "2", "-rate", "0")
	id := signedIn(t, address).tenants(1)[0]
	p := open(t, "light")
	p.stubbed()
	p.watched()
	p.signInAs(address, "ada@example.com")
	evaluate[any](p, refusing)
	p.show("#/me")
	p.until("the session is the console's own", `document.querySelector("main").innerText.includes("Session ends")`)
	evaluate[any](p, `twist = (path, data) => { if (path === "me") Object.assign(data, { own_sign_in: false, session: { ...data.session, expires_at: "0001-01-01T00:00:00Z" } }); };
document.dispatchEvent(new Event("visibilitychange")); 0`)
	p.until("it is the application's", `!document.querySelector("main").innerText.includes("Session ends")`)
	if evaluate[bool](p, `document.querySelector("header").textContent.includes("Sign out")`) {
		t.Error("a sign-out is offered")
	}
	p.axe("elsewhere-me", []int64{360, 1440})

	p.show("#/tenants/" + id + "?tab=keys")
	evaluate[any](p, `refused["POST tenants/`+id+`/keys"] = [403, "step-up"]; 0`)
	p.press("Issue a key")
	p.fill("Name", "shop")
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Issue"]`))
	p.text("Sign in again at your application")
	if evaluate[bool](p, `!!document.querySelector("input[type=password]")`) {
		t.Error("a password is asked for")
	}
	p.axe("elsewhere-step-up", []int64{360})
	p.press("Close")
	p.until("the form says so", `document.querySelector("dialog .notice")?.textContent.includes("A test refuses it.")`)
	p.press("Cancel")

	evaluate[any](p, `refused["GET me"] = [401, "unauthenticated"]; document.dispatchEvent(new Event("visibilitychange")); 0`)
	p.text("Sign in at your application, then come back here.")
	if evaluate[bool](p, `!!document.querySelector("input[type=password]")`) {
		t.Error("a password is asked for")
	}
	p.axe("elsewhere-ended", []int64{360, 1440})
	evaluate[any](p, `refused = {}; 0`)
	p.press("I have signed in")
	p.until("the page is back", `!document.querySelector(".over")`)
}

// TestActionsThatFail looks at what the page says and sends after an action that failed, or whose answer was lost.
func TestActionsThatFail(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	o := signedIn(t, address)
	ids := o.tenants(2)
	o.post("invitations", map[string]any{"email": "eve@example.com", "name": "Eve", "role": "viewer", "scope": map[string]any{"all": true}})
	p := open(t, "light")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	evaluate[any](p, refusing)
	t.Run("is not tried again by itself", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		p.show("#/operators?tab=invitations")
		evaluate[any](p, `refused = new Proxy({}, { get: (_, of) => (of.startsWith("DELETE ") ? [503, "unavailable"] : undefined) }); 0`)
		p.do(chromedp.Click(`//button[@aria-label="Revoke the invitation of eve@example.com"]`))
		p.text("A test refuses it.")
		if text := evaluate[string](p, `document.querySelector("main .notice").innerText`); evaluate[bool](p, `!!document.querySelector("main .notice button") || document.querySelector("main .notice").innerText.includes("Next try")`) {
			t.Errorf("a new try is promised: %s", text)
		}
	})
	t.Run("sign-out", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, `refused = { "POST auth/sign-out": [503, "unavailable"] }; 0`)
		p.press("Sign out")
		p.text("You are still signed in.")
		p.text("A test refuses it.")
	})
	t.Run("a key", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		p.show("#/tenants/" + ids[0] + "?tab=keys")
		evaluate[any](p, `refused = { "POST tenants/`+ids[0]+`/keys": [0] }; 0`)
		p.press("Issue a key")
		p.fill("Name", "shop")
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Issue"]`))
		p.text("The server did not answer.")
		evaluate[any](p, `refused = {}; 0`)
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Issue"]`))
		p.text("Copy the key now")
		p.press("Done")
		if keys, _ := o.ask(http.MethodGet, "tenants/"+ids[0]+"/keys", nil)["keys"].([]any); len(keys) != 1 {
			t.Errorf("got %d keys, want one", len(keys))
		}
		// A second one that somebody wants is another.
		p.press("Issue a key")
		p.fill("Name", "shop")
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Issue"]`))
		p.text("Copy the key now")
		p.press("Done")
		if keys, _ := o.ask(http.MethodGet, "tenants/"+ids[0]+"/keys", nil)["keys"].([]any); len(keys) != 2 {
			t.Errorf("got %d keys, want two", len(keys))
		}
		// So is one whose answer was lost long ago.
		evaluate[any](p, `posted = []; refused = { "POST tenants/`+ids[0]+`/keys": [0] }; 0`)
		p.press("Issue a key")
		p.fill("Name", "late")
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Issue"]`))
		p.text("The server did not answer.")
		evaluate[any](p, `refused = {}; { const now = Date.now; window.clock = now; Date.now = () => now() + 180_000; } 0`)
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Issue"]`))
		p.text("Copy the key now")
		p.press("Done")
		evaluate[any](p, `Date.now = clock; 0`)
		if sent := evaluate[[]string](p, `posted.map((s) => s.key)`); len(sent) != 2 || sent[0] == sent[1] {
			t.Errorf("got the keys %q, want two", sent)
		}
	})
	t.Run("a bulk action", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		p.show("#/tenants")
		p.do(chromedp.Click(`//input[@aria-label="Select all shown"]`))
		p.do(chromedp.Click(`//*[@aria-label="Bulk actions"]//button[normalize-space()="Suspend"]`))
		p.press("Show the plan")
		p.fill(`Type "suspend 3"`, "suspend 3")
		evaluate[any](p, `posted = []; refused = { "POST actions/bulk-suspend": [0] }; 0`)
		start := chromedp.Click(`//dialog//button[normalize-space()="Suspend"]`)
		p.do(start)
		p.text("The server did not answer.")
		p.do(start)
		p.until("it was sent again", `posted.length === 2 && !document.querySelector("dialog button:disabled")`)
		evaluate[any](p, `refused = {}; 0`)
		p.press("Make a new plan")
		p.press("Show the plan")
		p.text("to start")
		confirm := evaluate[string](p, `/Type "(.*)"/.exec([...document.querySelectorAll("dialog label")].at(-1).textContent)[1]`)
		p.fill(`Type "`+confirm+`"`, confirm)
		if confirm == "suspend 0" { // they are suspended by now, and no plan can begin
			t.Fatal("the tenants are suspended before the second plan")
		}
		p.do(start)
		p.until("the run's page is shown", `location.hash.startsWith("#/runs/")`)
		keys := evaluate[[]string](p, `posted.filter((s) => s.path === "actions/bulk-suspend").map((s) => s.key)`)
		if len(keys) != 4 || keys[0] != keys[1] || len(slices.Compact(slices.Sorted(slices.Values(keys)))) != 3 {
			t.Errorf("got the keys %q, want one for the start and its repetition, and others for the plan and its start", keys)
		}
	})
	t.Run("a comparison", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, `refused = new Proxy({}, { get: (_, of) => (/analytics\/change|\/series/.test(of) ? [500, "internal"] : undefined) }); 0`)
		p.show(fmt.Sprintf("#/compare?tenants=%s%%2C%s&beside=before", ids[0], ids[1]))
		p.text("A test refuses it.")
		if text := evaluate[string](p, `document.querySelector("main").innerText`); strings.Contains(text, "Nothing was counted") || strings.Contains(text, "nothing before") {
			t.Errorf("what failed is called nothing: %s", text)
		}
		evaluate[any](p, `refused = {}; 0`)
		p.press("Try again")
		p.until("all was asked for again", `!document.querySelector("main .notice")`)
	})
}

// TestChangedMeanwhile saves what somebody else has changed: it is read again, and what was typed is kept.
func TestChangedMeanwhile(t *testing.T) {
	address := owned(t, "-tenants", "2", "-rate", "0")
	o := signedIn(t, address)
	id := o.tenants(1)[0]
	p := open(t, "light")
	p.outdated = true
	p.stubbed()
	p.watched()
	p.signInAs(address, "ada@example.com")
	as := func(method, path, etag string, body map[string]any) {
		t.Helper()
		status := evaluate[int](p, fmt.Sprintf(`fetch("api/tenancy/%s", {method: %q, headers: {"Content-Type": "application/json", "If-Match": %q}, body: JSON.stringify(%s)}).then((r) => r.status)`, path, method, etag, js(body)))
		if status >= 300 {
			t.Fatalf("%s %s: got %d", method, path, status)
		}
	}
	const read = "Read what is there now"
	p.show("#/settings")
	version := evaluate[int](p, `fetch("api/tenancy/settings").then((r) => r.json()).then((s) => s.version)`)
	as("PUT", "settings", fmt.Sprintf(`"v%d"`, version), map[string]any{"lifetime": 7200})
	p.do(chromedp.SendKeys("#idle_timeout", "45"))
	p.press("Save")
	p.text(read)
	p.axe("light-changed-meanwhile", []int64{360, 1440})
	p.press(read)
	p.until("the other change is there, and what was typed", `document.querySelector("#lifetime").value === "2" && document.querySelector("#idle_timeout").value === "45" && !document.querySelector("main .notice")`)
	p.press("Save")
	p.until("it is saved", `sent.filter((s) => s.path === "settings").map((s) => s.method).join().endsWith("PUT,GET,PUT,GET")`) // it reads what it has saved
	if got := o.ask(http.MethodGet, "settings", nil)["settings"]; fmt.Sprint(got) != "map[idle_timeout:2700 lifetime:7200]" {
		t.Errorf("got %v, want both changes", got)
	}

	p.show("#/tenants/" + id + "?tab=access")
	etag := evaluate[string](p, `fetch("api/tenancy/tenants/`+id+`/addresses").then((r) => r.json()).then((s) => s.etag)`)
	as("PUT", "tenants/"+id+"/addresses", etag, map[string]any{"allow": []string{}, "deny": []string{"203.0.113.7"}})
	p.fill("Served alone", "192.0.2.0/24")
	p.press("Save the addresses")
	p.text(read)
	p.press(read)
	p.until("the other change is there, and what was typed", `document.querySelector("#f-served-alone").value === "192.0.2.0/24" && document.querySelector("#f-refused").value === "203.0.113.7/32"`)
	p.press("Save the addresses")
	p.until("it is saved", `sent.filter((s) => s.path === "tenants/`+id+`/addresses").map((s) => s.method).join().endsWith("PUT,GET,PUT,GET")`)
	if got := o.ask(http.MethodGet, "tenants/"+id+"/addresses", nil); fmt.Sprint(got["allow"], got["deny"]) != "[192.0.2.0/24] [203.0.113.7/32]" {
		t.Errorf("got %v, want both changes", got)
	}

	// Rules one by one: who keeps theirs of one does not undo the others.
	p.show("#/addresses")
	version = evaluate[int](p, `fetch("api/tenancy/ip-rules").then((r) => r.json()).then((s) => s.version)`)
	as("PUT", "ip-rules", fmt.Sprintf(`"v%d"`, version), map[string]any{"all": []string{"127.0.0.0/8", "203.0.113.0/24"}, "roles": map[string]any{"viewer": []string{"198.51.100.0/24"}}})
	p.do(chromedp.SendKeys("#rule-0", "127.0.0.0/8 192.0.2.0/24"))
	p.press("Check who would be locked out")
	p.press("Save the rules")
	p.text(read)
	p.press(read)
	p.text("Somebody else has changed this.")
	p.axe("light-rules-theirs", []int64{360, 1440})
	if !evaluate[bool](p, `document.querySelector("main form .primary").disabled`) {
		t.Error("the rules can be saved before anybody has chosen")
	}
	p.press("Keep mine")
	p.press("Check who would be locked out")
	p.press("Save the rules")
	p.until("they are saved", `[...document.querySelectorAll("main button")].some((b) => b.textContent === "Check who would be locked out" && b.disabled)`)
	if got := o.ask(http.MethodGet, "ip-rules", nil)["rules"]; fmt.Sprint(got) != "map[all:[127.0.0.0/8 192.0.2.0/24] operators:map[] roles:map[viewer:[198.51.100.0/24]]]" {
		t.Errorf("got %v, want both changes", got)
	}
}

// TestPages goes from page to page: the focus follows, a page that fails leaves the others alone, and figures of before do not pass for those of another window.
func TestPages(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	o := signedIn(t, address)
	plan := o.post("actions/bulk-migrate", map[string]any{"dry_run": true, "filter": "status:active"})
	run, _ := o.post("actions/bulk-migrate", map[string]any{"plan": plan["plan"], "confirm": plan["confirm"]})["id"].(string)
	p := open(t, "light")
	p.stubbed()
	p.watched()
	p.signInAs(address, "ada@example.com")

	// A link within the page, as people reach it by the keyboard.
	p.show("#/operators")
	p.press("Roles")
	p.until("the roles are shown", `document.querySelector("[aria-label=Roles] tbody") && asked.quiet > 5`)
	if got := evaluate[string](p, `document.activeElement.textContent`); got == "Operators" {
		t.Error("another part of a page takes the focus")
	}
	evaluate[any](p, `document.activeElement.blur(); 0`)
	p.press("Tokens")
	p.until("the heading has the focus", `document.activeElement === document.querySelector("main h1") && document.activeElement.textContent === "Tokens"`)

	p.show("#/usage?month=September")
	p.until("the page is there", `document.querySelector("main h1").textContent === "Usage" && /^\d{4}-\d\d$/.test(document.querySelector("main input[type=month]").value)`)
	evaluate[any](p, `twist = (path, data) => { if (path === "tokens") data.tokens = [null]; }; location.hash = "#/tokens"; 0`)
	p.text("The page failed")
	p.axe("light-page-failed", []int64{360, 1440})
	p.press("Settings")
	p.until("another page is there", `document.querySelector("main h1")?.textContent === "Settings" && !document.querySelector("main .notice")`)

	p.show("#/audit")
	p.text("Days begin at midnight UTC.")

	p.show("#/performance?window=24h")
	evaluate[any](p, `answers = "late"; 0`)
	p.press("7d")
	p.until("what is shown is of before", `document.querySelector("main[aria-busy=true]")`)
	evaluate[any](p, `answers = "real"; location.hash = "#/nowhere"; 0`)
	p.until("nothing is awaited", `!document.querySelector("main[aria-busy]")`)
	p.show("#/tenants?new=1")
	evaluate[any](p, `answers = "late"; 0`)
	p.do(chromedp.SendKeys("#f-slug", "a"))
	evaluate[any](p, `asked.quiet = 0; 0`)
	p.until("some frames have passed", `asked.quiet > 5`)
	if evaluate[bool](p, `!!document.querySelector("main[aria-busy]")`) {
		t.Error("a slug that is looked up makes the list one of before")
	}
	evaluate[any](p, `location.hash = "#/tenants?window=7d"; 0`)
	p.until("the list is of before", `document.querySelector("main[aria-busy=true]")`)
	evaluate[any](p, `answers = "real"; location.hash = "#/nowhere"; 0`)
	p.until("nothing is awaited", `!document.querySelector("main[aria-busy]")`)

	evaluate[any](p, fmt.Sprintf(`{ let n = 0; twist = (path, data) => { if (path === "runs/%s") Object.assign(data, { state: "running", total: 1000, done: Math.min(900, 10 * n++) }); }; } 0`, run))
	p.show("#/runs/" + run)
	p.until("the rate and the time left are there", fmt.Sprintf("parseFloat(%s) > 0 && parseFloat(%s) > 0", fmt.Sprintf(figure, "Rate"), fmt.Sprintf(figure, "Time left")))
}

// TestOtherTabs is about what other tabs of the browser do: their frames make nothing live here, and who signs in there is in here.
func TestOtherTabs(t *testing.T) {
	address := owned(t, "-tenants", "2", "-rate", "5")
	signedIn(t, address).invite("eve@example.com", "viewer", map[string]any{"all": true})
	p := open(t, "light")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	p.show("#/me")
	// A second frame, of another build, shows that the first one has come.
	evaluate[any](p, `{ const c = new BroadcastChannel("tenancy-live"), at = new Date().toISOString();
  c.postMessage({ frame: { topic: "overview", time: at, data: {} } });
  c.postMessage({ frame: { topic: "overview", time: at, build: "another", data: {} } }); } 0`)
	p.text("A new version of the console is installed.")
	if evaluate[bool](p, `!!document.querySelector(".badge.live")`) {
		t.Error("a page without a stream is live by the frames of another tab")
	}

	// Whoever enrols keeps the codes, and the page knows at once.
	p.press("Enrol")
	p.press("Begin")
	p.until("the secret is there", `document.querySelector("dialog p code")`)
	p.fill("Code", totp(t, evaluate[string](p, `document.querySelector("dialog p code").textContent`)))
	p.press("Confirm")
	p.until("ten codes are there", `document.querySelectorAll(".codes li").length === 10`)
	p.until("the page knows the factor", `document.querySelector("main").textContent.includes("another owner can reset it")`)
	p.until("the codes are still there", `document.querySelectorAll(".codes li").length === 10 && !document.querySelector(".over")`)
	p.key(kb.Escape)
	p.until("the dialog is closed", `!document.querySelector("dialog")`)

	evaluate[any](p, `window.told = 0; window.ear = new BroadcastChannel("tenancy-session"); ear.onmessage = () => told++; 0`)
	status := evaluate[int](p, fmt.Sprintf(`fetch("api/tenancy/auth/sign-out", {method: "POST"}).then(() => fetch("api/tenancy/auth/sign-in", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({email: "eve@example.com", password: %q})})).then((r) => r.status)`, password))
	if status != http.StatusOK {
		t.Fatalf("signing in as another: got %d", status)
	}
	evaluate[any](p, `ear.postMessage(""); 0`)
	p.until("the other operator is in", `document.querySelector("header").textContent.includes("viewer") && !document.querySelector(".over")`)
	p.press("Sign out")
	p.until("the other tabs are told", `told > 0`)
	p.text("I forgot my password")
}
