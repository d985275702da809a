package uitest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestTenant does to one tenant what its page offers.
func TestTenant(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "20")
	o := signedIn(t, address)
	ids := o.tenants(3)
	p := open(t, "light")
	p.missing = true // the page asks for a task that the program has not, and for a tenant that is purged
	p.stubbed()
	p.watched()
	p.signInAs(address, "ada@example.com")
	record := func(id string) map[string]any { return o.ask(http.MethodGet, "tenants/"+id, nil) }

	t.Run("rename", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		was, _ := record(ids[0])["slug"].(string)
		p.show("#/tenants/" + ids[0] + "?tab=record")
		p.press("Edit")
		if evaluate[bool](p, `!!document.querySelector("dialog .notice")`) {
			t.Error("there is a warning although nothing was changed")
		}
		p.fill("Slug", "-two")
		p.text("Addresses with " + was + " stop working")
		p.check("light-rename")
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Save"]`))
		p.until("the dialog is closed", `!document.querySelector("dialog")`)
		if got, _ := record(ids[0])["slug"].(string); !strings.Contains(got, "-two") || got == was {
			t.Errorf("the slug was %q and is %q", was, got)
		}
		p.text("-two")
	})
	t.Run("migrations", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		// A second migration that the database lacks.
		evaluate[any](p, `twist = (path, data) => { if (path.endsWith("/migrations")) Object.assign(data, { target: 2, up_to_date: false, pending: [{ version: 2, file: "00002_tags.sql" }] }); }; 0`)
		p.show("#/tenants/" + ids[1] + "?tab=database")
		p.text("00002_tags.sql")
		p.text("Applied up to version 1 of 2")
		p.check("light-migrations")
		evaluate[any](p, `twist = () => {}; 0`)
		p.show("#/tenants/" + ids[1] + "?tab=database")
		p.text("All are applied, up to version 1")
		p.press("Migrate")
		p.check("light-migrate")
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Migrate"]`))
		p.until("the run is listed", `[...document.querySelectorAll("main [aria-label=Runs] a")].some((a) => a.textContent === "migrate")`)
		p.check("light-migrated")
		if runs, _ := o.ask(http.MethodGet, "tenants/"+ids[1]+"/runs", nil)["runs"].([]any); len(runs) == 0 {
			t.Error("no run was made")
		}
		p.press("Seed")
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Seed"]`))
		p.text("Not wired") // the program has no task for it
	})
	t.Run("sign all users out", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		before, _ := record(ids[1])["version"].(float64)
		p.show("#/tenants/" + ids[1] + "?tab=access")
		p.press("Sign all users out")
		p.text("All of them must sign in again")
		p.check("light-sign-out")
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Sign all users out"]`))
		p.until("the dialog is closed", `!document.querySelector("dialog")`)
		if after, _ := record(ids[1])["version"].(float64); after <= before {
			t.Errorf("the record's version was %v and is %v", before, after)
		}
	})
	t.Run("who signs in", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		evaluate[any](p, `twist = (path, data) => { if (path === "analytics/logins/subjects") data.subjects = [
  { tenant_id: "", subject: "eve@example.com", logins: 2, failures: 7, last_login: "2026-01-02T03:04:05Z", last_failure: "2026-01-03T03:04:05Z", addresses: ["192.0.2.7"] }]; }; 0`)
		p.show("#/tenants/" + ids[1] + "?tab=sign-ins")
		p.until("failures are shown", `[...document.querySelectorAll("main [aria-label=Users] td")].map((e) => e.textContent.trim()).slice(0, 3).join() === "eve@example.com,2,7"`)
		p.text("192.0.2.7")
		p.check("light-users")
		p.press("Most failures first")
		p.until("it asks for that order", `sent.some((s) => s.path === "analytics/logins/subjects" && s.query.get("sort") === "-failures")`)
		evaluate[any](p, `twist = () => {}; 0`)
	})
	t.Run("export of usage", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		p.show("#/usage")
		for _, name := range []string{"Export days", "Export hours"} {
			evaluate[any](p, `window.saved = undefined; { const real = URL.createObjectURL; URL.createObjectURL = (file) => { saved = file; URL.createObjectURL = real; return real(file); }; } 0`)
			p.press(name)
			p.until(name+" is a file", `window.saved`)
			if file, text := evaluate[string](p, `saved.name`), evaluate[string](p, `saved.text()`); !strings.HasSuffix(file, ".csv") || !strings.HasPrefix(text, "tenant_id,start") {
				t.Errorf("%s: got the file %q with %.100s", name, file, text)
			}
		}
		p.check("light-usage-exports")
	})
	t.Run("purge now", func(t *testing.T) {
		p := &page{t: t, ctx: p.ctx}
		slug, _ := record(ids[2])["slug"].(string)
		o.post("tenants/"+ids[2]+"/archive", nil)
		p.show("#/tenants/" + ids[2] + "?do=purge")
		p.fill("Type", slug)
		p.do(chromedp.Click(`//dialog//label[contains(., "Now")]/input`))
		p.check("light-purge-now")
		p.until("a reason is wanted", `[...document.querySelectorAll("dialog button")].find((b) => b.textContent === "Purge").disabled`)
		p.fill("Reason", "asked for by the customer")
		p.do(chromedp.Click(`//dialog//button[normalize-space()="Purge"]`))
		p.text("There is no such tenant")
		if status, _ := o.send(http.MethodGet, "tenants/"+ids[2], ""); status != http.StatusNotFound {
			t.Errorf("the tenant that was purged: got %d", status)
		}
	})
}
