package uitest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// further chooses all tenants and one of the further actions for them.
func (p *page) further(title string) {
	p.t.Helper()
	p.show("#/tenants")
	p.do(chromedp.Click(`//input[@aria-label="Select all shown"]`))
	p.until("there are more actions", fmt.Sprintf(`[...document.querySelector("select[aria-label='More actions']")?.options ?? []].some((o) => o.text === %q)`, title))
	evaluate[any](p, fmt.Sprintf(`{ const s = document.querySelector("select[aria-label='More actions']"); s.value = [...s.options].find((o) => o.text === %q).value; s.dispatchEvent(new Event("change", { bubbles: true })); } 0`, title))
	p.until("the dialog is open", fmt.Sprintf(`document.querySelector("dialog h2")?.textContent.startsWith(%q)`, title))
}

// TestBulk does to many tenants what wants parameters, in waves of which each waits for somebody.
func TestBulk(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	o := signedIn(t, address)
	o.counted(3)
	p := open(t, "light")
	p.stubbed()
	p.signInAs(address, "ada@example.com")

	p.further("Tag")
	p.fill("Tags to add", "vip")
	p.fill("Canary", "1")
	p.do(chromedp.Click(`//dialog//label[contains(., "Wait after each wave")]/input`))
	p.check("light-bulk-tag")
	p.press("Show the plan")
	p.fill(`Type "tag 3"`, "tag 3")
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Tag"]`))
	p.until("the run waits after its first wave", `location.hash.startsWith("#/runs/") && document.querySelector("main .state")?.textContent.trim() === "paused"`)
	tagged := func() (n int) {
		for _, id := range o.tenants(3) {
			if tags, _ := o.ask(http.MethodGet, "tenants/"+id, nil)["tags"].([]any); slices.Contains(tags, any("vip")) {
				n++
			}
		}
		return n
	}
	if n := tagged(); n != 1 {
		t.Errorf("after the first wave %d tenants have the tag, want 1", n)
	}
	p.press("Resume")
	p.until("the run is done", `document.querySelector("main .state")?.textContent.trim() === "done"`)
	if n := tagged(); n != 3 {
		t.Errorf("%d tenants have the tag, want 3", n)
	}

	// What the others send.
	evaluate[any](p, held)
	for _, c := range []struct {
		title, want string
		fill        map[string]string
	}{
		{"Set a limit", `"params":{"name":"seats","to":"12"}`, map[string]string{"Limit": "seats", "To": "12"}},
		{"Set a limit", `"params":{"name":"seats"}`, map[string]string{"Limit": "seats"}},
		{"Change plan or setting", `"params":{"plan":"pro","setting.notes":"7"}`, map[string]string{"Plan": "pro", "Setting": "notes", "Value": "7"}},
		{"Seed", `{"dry_run":true,"ids"`, nil},
		{"Begin maintenance", `"params":{"mode":"closed","message":"Back soon","for":"30m"}`, map[string]string{"For minutes": "30", "Message": "Back soon"}},
		{"End maintenance", `{"dry_run":true,"ids"`, nil},
	} {
		evaluate[any](p, `changes.length = 0; 0`)
		p.further(c.title)
		for label, text := range c.fill {
			p.fill(label, text)
		}
		if len(c.fill) > 1 {
			p.check("light-bulk-" + strings.ToLower(strings.ReplaceAll(c.title, " ", "-")))
		}
		p.press("Show the plan")
		p.until("it was sent", `changes.length`)
		if sent := evaluate[string](p, `changes[0]`); !strings.Contains(sent, c.want) {
			t.Errorf("%s: sent %s, want %s in it", c.title, sent, c.want)
		}
	}
	evaluate[any](p, `changes.length = 0; 0`)
	p.further("Begin maintenance")
	p.fill("For minutes", "30m")
	p.press("Show the plan")
	p.until("the field says that it is no number", `document.querySelector("dialog [aria-invalid]")?.closest(".field").querySelector(".error")?.textContent.includes("number")`)
	if n := evaluate[int](p, `changes.length`); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
