package uitest

import (
	"bufio"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	pages "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

//go:embed third_party/axe/axe.min.js
var axe string

// patience bounds every wait. No verdict depends on how long one takes.
const patience = 10 * time.Minute

// browserPath is where Chromium is, or skips the test where there is none; under "make test" its lack is a failure.
func browserPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("TENANCY_TEST_REQUIRE") == "1" {
		t.Fatal("no Chromium")
	}
	t.Skip("no Chromium")
	return ""
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tenancy-uitest-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "admin")
	cmd := exec.Command("go", "build", "-o", bin, "./examples/admin")
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// program is a process of the console.
type program struct {
	cmd *exec.Cmd
	// address is where it answers, and link the link for its first owner, if it wants one.
	address, link string
}

// launch starts the program and waits until it says where it answers.
func launch(t *testing.T, args ...string) *program {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, append([]string{"-app-addr", "127.0.0.1:0"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	links := make(chan string, 1)
	go func() {
		defer close(links)
		pattern := regexp.MustCompile(`http://\S+/#/setup\S*|^Open (http://\S+) in a browser and sign in`)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if found := pattern.FindStringSubmatch(lines.Text()); found != nil && len(links) == 0 {
				links <- cmp.Or(found[1], found[0])
			}
		}
	}()
	select {
	case link := <-links:
		if link == "" {
			break
		}
		p := &program{cmd: cmd, address: strings.TrimSuffix(originOf(link), "/") + "/"}
		if strings.Contains(link, "#/setup") {
			p.link = link
		}
		return p
	case <-time.After(patience):
	}
	t.Fatal("the program did not say where it answers")
	return nil
}

// console starts the program with data of its own and returns the setup link that it prints.
func console(t *testing.T, args ...string) (link string) {
	t.Helper()
	p := launch(t, append([]string{"-addr", "127.0.0.1:0", "-data", t.TempDir()}, args...)...)
	if p.link == "" {
		t.Fatal("the program printed no setup link")
	}
	return p.link
}

// page is a tab of a browser of its own, which fails the test for errors in its console and for Content-Security-Policy reports.
type page struct {
	t   *testing.T
	ctx context.Context
	// quiet says that requests may fail.
	quiet bool
	// missing says that the page looks for what is not there.
	missing bool
	// outdated says that what the page changes may have been changed by others.
	outdated bool
	// hurried is set while pages change faster than the server opens streams.
	hurried bool
}

func open(t *testing.T, theme string) *page {
	t.Helper()
	alloc, endAlloc := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath(browserPath(t)), chromedp.Headless, chromedp.DisableGPU, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.WSURLReadTimeout(patience))
	ctx, end := chromedp.NewContext(alloc)
	p := &page{t: t, ctx: ctx}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}}
	if err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		// Keys go to the page whether or not its window is in front.
		if _, err := cdp.Call(ctx, target, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, media)
		return err
	}), p.size(1440)); err != nil {
		t.Fatal(err)
	}
	messages := chromedp.Console(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			// The page asks who is signed in; that nobody is, the browser reports as an error.
			if (m.IsException() || m.Type == chromedp.ConsoleError) && !strings.Contains(m.Text, "status of 401") && (!p.quiet || !strings.Contains(m.Text, "net::ERR_")) && (!p.missing || !strings.Contains(m.Text, "status of 404")) && (!p.outdated || !strings.Contains(m.Text, "status of 412")) && (!p.hurried || !strings.Contains(m.Text, "status of 429")) {
				t.Errorf("in the browser's console: %s %s", m, m.Source)
			}
		}
	})
	t.Cleanup(func() { end(); endAlloc(); reading.Wait() })
	return p
}

func (p *page) size(width int64) chromedp.Action[chromedp.Void] {
	return chromedp.EmulateViewport(width, 900)
}

func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, end := context.WithTimeout(p.ctx, patience)
	defer end()
	for _, action := range actions {
		err := chromedp.Do(ctx, action)
		// A node that the page replaces between the look-up and the click or key is looked up again: nothing was done yet.
		for err != nil && strings.Contains(err.Error(), "Could not find node") && ctx.Err() == nil {
			err = chromedp.Do(ctx, action)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// evaluate returns the value of an expression, which may be a promise.
func evaluate[T any](p *page, expression string) T {
	p.t.Helper()
	ctx, end := context.WithTimeout(p.ctx, patience)
	defer end()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, func(e *runtime.EvaluateParams) { await := true; e.AwaitPromise = &await }))
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// until waits until the expression is true in the page.
func (p *page) until(what, expression string) {
	p.t.Helper()
	ctx, end := context.WithTimeout(p.ctx, patience)
	defer end()
	poll := func() error {
		_, err := chromedp.Run(ctx, chromedp.Poll[chromedp.Void]("!!("+expression+")", chromedp.WithPollingTimeout(patience)))
		return err
	}
	err := poll()
	// While the page is loaded again, what it was before may be asked once more: that says nothing about the page.
	for err != nil && strings.Contains(err.Error(), "Cannot find context") && ctx.Err() == nil {
		err = poll()
	}
	if err != nil {
		text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 2000) + "; the focus has " + (document.activeElement.value ?? document.activeElement.outerHTML.slice(0, 200))`))
		p.t.Fatalf("waited in vain until %s: %v; the page says:\n%s", what, err, text)
	}
}

// text waits until the page shows a text.
func (p *page) text(want string) {
	p.t.Helper()
	quoted, _ := json.Marshal(want)
	p.until("the page shows "+want, `document.body.innerText.includes(`+string(quoted)+`)`)
}

// press clicks the button or link with that text.
func (p *page) press(name string) {
	p.t.Helper()
	p.do(chromedp.Click(fmt.Sprintf(`//*[self::button or self::a][not(ancestor::*[@inert])][normalize-space()=%q]`, name)))
}

// fill types into the field with that label.
func (p *page) fill(label, text string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(fmt.Sprintf(`//label[starts-with(normalize-space(),'%s')]/following-sibling::input`, label), text))
}

// figure reads the key figure of that name from the page.
const figure = `[...document.querySelectorAll(".figures > div")].find((d) => d.querySelector("dt").textContent === %q)?.querySelector(".value")?.textContent`

// check runs axe over what the page shows, and keeps a screenshot at both widths.
func (p *page) check(name string) {
	p.t.Helper()
	p.axe(name, []int64{360, 1440})
}

// axe runs axe over what the page shows at these widths, looks whether all of it fits, and keeps screenshots of the narrowest and the widest.
func (p *page) axe(name string, widths []int64) {
	p.t.Helper()
	for _, width := range widths {
		p.do(p.size(width))
		if !evaluate[bool](p, `!!window.axe`) {
			evaluate[any](p, axe+";0")
		}
		findings := evaluate[[]string](p, `axe.run({resultTypes: ["violations"]}).then((r) => r.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + v.help + ": " + n.html.slice(0, 200))))`)
		if wide := evaluate[int](p, `document.documentElement.scrollWidth`); int64(wide) > width {
			findings = append(findings, fmt.Sprintf("is %d px wide", wide))
		}
		for _, f := range findings {
			p.t.Errorf("%s at %d px: %s", name, width, f)
		}
		if width != 360 && width != 1440 {
			continue
		}
		p.keep(fmt.Sprintf("%s-%d", name, width))
	}
}

// screenshot shows the whole page, also what is beyond the window.
func (p *page) screenshot() []byte {
	p.t.Helper()
	ctx, end := context.WithTimeout(p.ctx, patience)
	defer end()
	yes := true
	shot, err := chromedp.Run(ctx, func(ctx context.Context, target *chromedp.Target) ([]byte, error) {
		res, err := cdp.Call(ctx, target, pages.CaptureScreenshot, pages.CaptureScreenshotParams{Format: pages.CaptureScreenshotFormatPng, CaptureBeyondViewport: &yes})
		if err != nil {
			return nil, err
		}
		return res.Data, nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return shot
}

// bulk suspends all tenants with a tag: a frozen plan, a typed confirmation, and the run to its end.
func (p *page) bulk(theme string) {
	p.t.Helper()
	evaluate[any](p, `location.hash = "#/tenants?filter=tag%3Aoverdue"; 0`)
	p.text("2 match")
	p.do(chromedp.Click(`//input[@aria-label="Select all shown"]`))
	p.text("2 selected")
	p.do(chromedp.Click(`//*[@aria-label="Bulk actions"]//button[normalize-space()="Suspend"]`))
	p.fill("Canary", "1")
	p.check(theme + "-bulk")
	p.press("Show the plan")
	p.text("Tenants that begin to match later are not touched")
	p.text("Waves of 1, 1 tenants.")
	p.check(theme + "-plan")
	p.fill(`Type "suspend 2"`, "suspend 2")
	p.do(chromedp.Click(`//dialog//button[normalize-space()="Suspend"]`))
	p.until("the run's page is shown", `location.hash.startsWith("#/runs/")`)
	p.until("the run is done", `document.querySelector("main .state")?.textContent.trim() === "done"`)
	p.check(theme + "-run")
}

// TestConsole goes the way of a newcomer: the setup link, the live overview, a tenant, a confirmed change, a bulk action, the audit.
func TestConsole(t *testing.T) {
	for _, theme := range []string{"light", "dark"} {
		t.Run(theme, func(t *testing.T) {
			link := console(t, "-tenants", "6", "-rate", "30")
			p := open(t, theme)
			p.do(chromedp.Navigate(link))
			p.text("Set up the console")
			p.until("the token has left the address", `!location.hash.includes("token")`)
			p.check(theme + "-setup")
			p.fill("Name", "Ada Lovelace")
			p.fill("E-mail", "ada@example.com")
			p.fill("New password", "a sentence nobody would guess")
			p.press("Create the owner")

			p.until("the total of tenants is shown", fmt.Sprintf(figure, "Tenants")+` === "6"`)
			p.until("requests a second are live", fmt.Sprintf("parseFloat(%s) > 0", fmt.Sprintf(figure, "Requests a second")))
			p.until("the badge says live", `!!document.querySelector(".badge.live")`)
			p.until("the chart is drawn", `document.querySelectorAll(".chart svg path.line").length >= 2`)
			p.check(theme + "-overview")

			p.press("Tenants")
			p.text("Globex")
			p.check(theme + "-tenants")
			p.press("Globex")
			p.until("the tenant's live figure is there", fmt.Sprintf("parseFloat(%s) >= 0", fmt.Sprintf(figure, "Requests a second")))
			p.check(theme + "-tenant")
			evaluate[any](p, `location.hash += "?tab=usage"; 0`)
			p.until("its requests are drawn, in the first minutes too", `/Last: Requests [1-9]/.test(document.querySelector(".chart svg")?.ariaLabel)`)
			evaluate[any](p, `location.hash = location.hash.split("?")[0]; 0`)
			p.press("Suspend")
			p.fill("Reason", "unpaid since March")
			p.fill(`Type "globex"`, "globex")
			p.do(chromedp.Click(`//dialog//button[normalize-space()="Suspend"]`))
			p.until("the tenant is suspended", `document.querySelector("main .state")?.textContent.includes("suspended")`)

			p.press("Audit")
			p.text("unpaid since March")
			p.text("Ada Lovelace")
			p.check(theme + "-audit")
			p.press("Verify")
			p.text("entries whole up to number")
			for _, name := range []string{"Performance", "Compare", "Usage", "Memory", "Connections", "Runs", "Schedules", "Maintenance", "Health", "Operators", "Tokens", "Addresses", "Settings"} {
				p.press(name)
				p.until(name+" is shown", fmt.Sprintf(`document.querySelector("main h1")?.textContent === %q && !document.querySelector("[aria-busy]") && !document.querySelector("main .notice.bad")`, name))
				p.check(theme + "-" + strings.ToLower(name))
			}
			p.bulk(theme)
			p.do(chromedp.Reload())
			p.text("Run: suspend")
			p.press("Sign out")
			p.text("Sign in")
			p.check(theme + "-sign-in")
		})
	}
}
