package uitest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// place is a page, and the hash by which it is reached. {a} and {b} are tenants, {run} is a run.
type place struct {
	name, hash string
	// none is a hash whose filter nothing matches.
	none string
}

var places = []place{
	{name: "overview", hash: "#/overview"},
	{name: "tenants", hash: "#/tenants", none: "#/tenants?filter=tag%3Anobody-has-this"},
	{name: "performance", hash: "#/performance"},
	{name: "compare", hash: "#/compare?tenants={a}%2C{b}"},
	{name: "usage", hash: "#/usage", none: "#/usage?filter=tag%3Anobody-has-this"},
	{name: "memory", hash: "#/memory"},
	{name: "connections", hash: "#/connections"},
	{name: "runs", hash: "#/runs"},
	{name: "run", hash: "#/runs/{run}"},
	{name: "schedules", hash: "#/schedules"},
	{name: "maintenance", hash: "#/maintenance"},
	{name: "health", hash: "#/health"},
	{name: "audit", hash: "#/audit", none: "#/audit?action=no.such.action"},
	{name: "operators", hash: "#/operators"},
	{name: "invitations", hash: "#/operators?tab=invitations"},
	{name: "roles", hash: "#/operators?tab=roles"},
	{name: "tokens", hash: "#/tokens"},
	{name: "addresses", hash: "#/addresses"},
	{name: "settings", hash: "#/settings"},
	{name: "me", hash: "#/me"},
	{name: "tenant", hash: "#/tenants/{a}"},
	{name: "tenant-usage", hash: "#/tenants/{a}?tab=usage"},
	{name: "tenant-performance", hash: "#/tenants/{a}?tab=performance"},
	{name: "tenant-activity", hash: "#/tenants/{a}?tab=activity"},
	{name: "tenant-sign-ins", hash: "#/tenants/{a}?tab=sign-ins"},
	{name: "tenant-database", hash: "#/tenants/{a}?tab=database"},
	{name: "tenant-record", hash: "#/tenants/{a}?tab=record"},
	{name: "tenant-limits", hash: "#/tenants/{a}?tab=limits"},
	{name: "tenant-access", hash: "#/tenants/{a}?tab=access"},
	{name: "tenant-keys", hash: "#/tenants/{a}?tab=keys"},
	{name: "tenant-maintenance", hash: "#/tenants/{a}?tab=maintenance"},
	{name: "tenant-audit", hash: "#/tenants/{a}?tab=audit"},
}

// quiet is true once what the page asked for is there and drawn. Requests that the page repeats by itself do not count.
const quiet = `asked.quiet > 5 && document.querySelector("main h1")`

// states are what a page can look like, what the stub answers then, and what must be true of the page.
var states = []struct{ name, answers, want string }{
	{"real", "real", quiet + ` && !document.querySelector("main [aria-busy], main .notice.bad")`},
	{"loading", "late", `document.querySelector("main [aria-busy]")`},
	{"empty", "empty", quiet + ` && !document.querySelector("main [aria-busy], main .notice.bad")`},
	{"partial", "partial", quiet + ` && !document.querySelector("main [aria-busy], main .notice.bad")`},
	{"failed", "failed", `document.querySelector("main .notice.bad")?.textContent.includes("TESTTESTTEST")`},
	{"not-allowed", "refused", `[...document.querySelectorAll("main .notice.warn b")].some((e) => e.textContent === "Not allowed.")`},
	{"hostile", "hostile", quiet + ` && !document.querySelector("main [aria-busy], main .notice.bad")`},
}

// sample is whether TestStates shows a part of what there is.
var sample = os.Getenv("TENANCY_SOAK") == ""

// TestStates shows every page in every state, in both themes at three widths: axe finds nothing, all of it fits, and texts of others are texts.
// Without TENANCY_SOAK it is a sample: the real state, failed and hostile ones, narrow and light, the real one also wide and dark.
func TestStates(t *testing.T) {
	address := owned(t, "-tenants", "5", "-rate", "20")
	o := signedIn(t, address)
	ids := o.tenants(2)
	plan := o.post("actions/bulk-migrate", map[string]any{"dry_run": true, "filter": "status:active", "parallel": 2})
	run := o.post("actions/bulk-migrate", map[string]any{"plan": plan["plan"], "confirm": fmt.Sprintf("migrate %v", plan["eligible"])})
	o.post("tokens", map[string]any{"name": "metrics", "permissions": []string{"tenants.read"}, "ttl": 86400})
	o.post("invitations", map[string]any{"email": "eve@example.com", "name": "Eve", "role": "viewer", "scope": map[string]any{"all": true}})
	o.post("tenants/"+ids[0]+"/keys", map[string]any{"name": "shop", "scopes": []string{"read"}})
	o.post("tenants/"+ids[0]+"/maintenance", map[string]any{"mode": "closed", "message": "Back soon", "windows": []any{map[string]any{"rule": "0 3 * * 0", "length": 7200, "zone": "Europe/Berlin"}}})
	id, _ := run["id"].(string)
	in := strings.NewReplacer("{a}", ids[0], "{b}", ids[1], "{run}", id)

	p := open(t, "light")
	p.stubbed()
	p.signInAs(address, "ada@example.com")
	runs := 0
	for _, at := range places {
		t.Run(at.name, func(t *testing.T) {
			p := &page{t: t, ctx: p.ctx}
			for _, s := range states {
				if sample && s.name != "real" && s.name != "failed" && s.name != "hostile" {
					continue
				}
				p.state(in.Replace(at.hash), s.answers, s.want, at.name+" "+s.name)
				p.look(at.name+"-"+s.name, s.name == "real")
				runs++
			}
			if at.none != "" && !sample {
				p.state(in.Replace(at.none), "real", quiet+` && document.querySelector("main .empty")`, at.name+" matches nothing")
				p.look(at.name+"-nothing-matches", false)
				runs++
			}
		})
	}
	t.Logf("%d pages and states", runs)
}

// state shows a page with answers of a kind, and waits until it is what it then must be.
func (p *page) state(hash, answers, want, what string) {
	p.t.Helper()
	evaluate[any](p, `answers = "real"; location.hash = "#/nowhere"; 0`)
	p.until("the page was left", `document.querySelector("main h1")?.textContent === "Not found"`)
	evaluate[any](p, fmt.Sprintf(`answers = %q; location.hash = %q; 0`, answers, hash))
	p.until(what+" is shown", `document.querySelector("main h1")?.textContent !== "Not found" && (`+want+`)`)
	if bad := evaluate[string](p, `window.hacked ? "a text became a script" : /\b(undefined|NaN|\[object)/.exec(document.querySelector("main").innerText)?.[0] ?? ""`); bad != "" {
		p.t.Errorf("%s: the page says %q", what, bad)
	}
}

// look runs axe in both themes at three widths, and keeps screenshots of the narrowest and the widest. What the theme decides is the contrast.
func (p *page) look(name string, whole bool) {
	p.t.Helper()
	if !evaluate[bool](p, `!!window.axe`) {
		evaluate[any](p, axe+";0")
	}
	part := `document.querySelector("main")`
	if whole {
		part = "document"
	}
	for _, theme := range []string{"light", "dark"} {
		p.theme(theme)
		rules := ""
		if theme == "dark" {
			rules = `, runOnly: ["color-contrast"]`
		}
		for _, width := range []int64{360, 768, 1440} {
			if sample && (theme != "light" || width != 360) && (!whole || theme != "dark" || width != 1440) {
				continue
			}
			p.do(p.size(width))
			found := evaluate[[]string](p, `axe.run(`+part+`, {resultTypes: ["violations"]`+rules+`}).then((r) => r.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + v.help + ": " + n.html.slice(0, 200))))`)
			if wide := evaluate[int](p, `document.documentElement.scrollWidth`); int64(wide) > width {
				found = append(found, fmt.Sprintf("is %d px wide", wide))
			}
			for _, f := range found {
				p.t.Errorf("%s, %s at %d px: %s", name, theme, width, f)
			}
			if width != 768 {
				p.keep(fmt.Sprintf("%s-%s-%d", theme, name, width))
			}
		}
	}
}

// theme is what the system asks for.
func (p *page) theme(name string) {
	p.t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}}
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, media)
		return err
	}))
	p.until("the theme is "+name, `document.documentElement.dataset.theme === "`+name+`"`)
}

// keep writes a screenshot of the whole page to admin/ui/screenshots.
func (p *page) keep(name string) {
	p.t.Helper()
	dir := filepath.Join("..", "screenshots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), p.screenshot(), 0o644); err != nil {
		p.t.Fatal(err)
	}
}
