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
}
