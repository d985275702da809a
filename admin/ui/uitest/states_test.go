package uitest

import (
	"fmt"
	"strings"
	"testing"
)

// everyPage has the address of each page and tab, of tenants with these IDs.
func everyPage(ids []string) [][2]string {
	out := [][2]string{{"compare-none", "#/compare"}, {"compare", "#/compare?window=1h&tenants=" + strings.Join(ids, ",")}}
	for _, name := range []string{"overview", "tenants", "performance", "usage", "memory", "connections", "runs", "schedules", "maintenance", "health", "audit", "operators", "me"} {
		out = append(out, [2]string{name, "#/" + name})
	}
	for _, tab := range []string{"overview", "usage", "performance", "activity", "sign-ins", "database", "record", "limits", "keys", "maintenance", "audit"} {
		out = append(out, [2]string{"tenant-" + tab, "#/tenants/" + ids[0] + "?window=1h&tab=" + tab})
	}
	return out
}

// TestStates shows each page with real answers, without any yet, with empty and hostile ones, failed and refused, in both themes and three
// widths: axe finds nothing, nothing runs that is a text, and nothing is wider than the window.
func TestStates(t *testing.T) {
	address := owned(t, "-tenants", "6", "-rate", "30")
	o := signedIn(t, address)
	ids := o.tenants(3)
	o.post("tenants/"+ids[0]+"/keys", map[string]any{"name": "import", "scopes": []string{"read"}})
	widths := []int64{360, 768, 1440}
	if testing.Short() {
		widths = []int64{360}
	}
	for _, theme := range []string{"light", "dark"} {
		t.Run(theme, func(t *testing.T) {
			t.Parallel()
			p := open(t, theme)
			p.stubbed()
			p.signInAs(address, "ada@example.com")
			for _, answers := range []string{"real", "empty", "hostile", "late", "failed", "refused"} {
				for _, at := range everyPage(ids) {
					p.state(theme, answers, at[0], at[1], widths)
				}
			}
		})
	}
}

// state shows one page with one kind of answers.
func (p *page) state(theme, answers, name, hash string, widths []int64) {
	p.t.Helper()
	evaluate[any](p, fmt.Sprintf(`answers = "real"; location.hash = "#/nowhere"; new Promise((r) => setTimeout(() => { answers = %q; location.hash = %q; r(0) }))`, answers, hash))
	switch answers {
	case "late":
		p.until(hash+" is loading", `document.querySelector("main [aria-busy]") || ["#/me", "#/compare"].includes(location.hash) && document.querySelector("main h1")`)
	case "failed", "refused":
		p.until(hash+" says what went wrong", `document.querySelector("main .notice[role=alert]") || location.hash === "#/compare" && document.querySelector("main h1")`)
	default:
		p.until(hash+" is shown", `asked.pending === 0 && document.querySelector("main h1") && !document.querySelector("main [aria-busy]")`)
	}
	p.axe(strings.Join([]string{theme, name, answers}, "-"), widths)
	if found := evaluate[string](p, `window.hacked ? "a text ran" : [...document.querySelectorAll("main img, main script, main iframe, a[href^='javascript:']")].map((e) => e.outerHTML).join()`); found != "" {
		p.t.Errorf("%s: %s", hash, found)
	}
}
