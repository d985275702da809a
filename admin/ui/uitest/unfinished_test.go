package uitest

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// half makes a tenant that is being provisioned, with a migration that stopped half way, of the one with that ID, and says so in the overview.
const half = `{
  const real = window.fetch;
  window.made = "provisioning";
  window.resumed = 0;
  const json = (v, res) => new Response(JSON.stringify(v), { status: res.status, headers: res.headers });
  window.fetch = async (...args) => {
    const path = new URL(args[0], document.baseURI).pathname;
    const tenant = "/api/tenancy/tenants/" + %q;
    if (path === tenant + "/resume") {
      window.resumed++;
      window.made = "active";
      return real(tenant);
    }
    const res = await real(...args);
    if (path === tenant) return json({ ...(await res.json()), status: window.made }, res);
    if (path === tenant + "/migrations") return json({ ...(await res.json()), up_to_date: false, half: { version: 2, file: "00002_more.sql", down: false, statement: 3, failed: false } }, res);
    if (path.endsWith("/analytics/overview")) return json({ ...(await res.json()), attention: [{ kind: "half-made", text: "1 tenant has been provisioning.", since: new Date().toISOString() }] }, res);
    return res;
  };
}0`

// TestUnfinished looks at a tenant that is being provisioned: it is resumed or purged, and nothing else is offered. Then at a migration that stopped half way, and
// at what the overview says.
func TestUnfinished(t *testing.T) {
	address := owned(t, "-tenants", "3", "-rate", "0")
	id := signedIn(t, address).tenants(1)[0]
	p := open(t, "light")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	evaluate[any](p, fmt.Sprintf(half, id))
	p.show("#/tenants/" + id)
	shown := evaluate[[]string](p, `[...document.querySelectorAll("main button")].map((e) => e.textContent.trim())`)
	for name, want := range map[string]bool{"Resume": true, "Purge": true, "Activate": false, "Suspend": false, "Block": false, "Deactivate": false, "Archive": false, "Restore": false} {
		if has(shown, name) != want {
			t.Errorf("%s is offered: got %t, want %t", name, !want, want)
		}
	}
	p.press("Resume")
	p.text("may take minutes")
	p.axe("light-resume", []int64{360})
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Resume"]`))
	p.until("the creation was resumed", `resumed === 1 && document.querySelector("main .state")?.textContent.trim() === "active"`)
	p.show("#/tenants/" + id + "?tab=database")
	p.text("00002_more.sql was being applied and stopped at statement 3, and nobody knows whether that was carried out")
	p.axe("light-half-migration", []int64{360})
	p.show("#/overview")
	p.text("1 tenant has been provisioning.")
	p.press("See the tenants")
	p.until("the tenants that are being provisioned are shown", `location.hash.includes("status%3Aprovisioning")`)
}
