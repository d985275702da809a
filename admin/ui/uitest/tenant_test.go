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
}
