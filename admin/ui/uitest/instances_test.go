package uitest

import (
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// serverOf returns the address of a server that "make test" starts. Under "make test" its lack is a failure.
func serverOf(t *testing.T, name string) string {
	t.Helper()
	at := os.Getenv(name)
	if at == "" && os.Getenv("TENANCY_TEST_REQUIRE") == "1" {
		t.Fatalf("%s is not set", name)
	}
	if at == "" {
		t.Skip(name + " is not set")
	}
	return at
}

// TestTwoInstances looks at one instance while the other changes things, and while the first is killed and started again: what is old never
// looks fresh, and nobody is signed out.
func TestTwoInstances(t *testing.T) {
	postgres, redis := serverOf(t, "TENANCY_TEST_POSTGRES"), strings.TrimPrefix(serverOf(t, "TENANCY_TEST_REDIS"), "redis://")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	data := t.TempDir()
	args := []string{"-server", postgres, "-redis", redis, "-control", "control_ui_" + strings.ToLower(time.Now().UTC().Format("150405.000000000")[7:]), "-tenants", "3", "-rate", "20", "-data", data}
	one := launch(t, append(args, "-addr", addr)...)
	owner := &operator{t: t, address: one.address}
	owner.post("auth/setup", map[string]any{"token": tokenOf(one.link), "name": "Ada Lovelace", "email": "ada@example.com", "password": password})
	id := owner.tenants(1)[0]
	two := launch(t, append(args, "-addr", "127.0.0.1:0", "-demo=false")...)
	other := signedIn(t, two.address)

	p := open(t, "light")
	p.quiet = true // that the instance does not answer is an error in the browser's console
	p.signInAs(one.address, "ada@example.com")
	evaluate[any](p, `location.hash = "#/tenants/`+id+`"; 0`)
	p.until("the tenant is live", `document.querySelector("main .state")?.textContent.trim() === "active" && document.querySelector(".badge.live")`)
	other.post("tenants/"+id+"/suspend", map[string]any{})
	p.until("what the other instance did is seen", `document.querySelector("main .state")?.textContent.trim() === "suspended"`)

	if err := one.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = one.cmd.Wait()
	p.until("the page says that what it shows is old", `document.querySelector(".badge.stale") && [...document.querySelectorAll("main .notice.bad b")].some((e) => e.textContent === "No answer.")`)
	p.keep("light-no-answer-1440")
	other.post("tenants/"+id+"/activate", map[string]any{})
	launch(t, append(args, "-addr", addr)...)
	p.until("the page is live again, and up to date", `document.querySelector(".badge.live") && !document.querySelector("main .notice.bad") && document.querySelector("main .state")?.textContent.trim() === "active"`)
	if evaluate[bool](p, `!!document.querySelector(".over") || !document.querySelector(".shell")`) {
		t.Error("the operator was signed out")
	}
	// The other instance takes the same cookie: it is of the host, whatever the port.
	p.do(chromedp.Navigate(two.address))
	p.until("the other instance knows who it is", `document.querySelector("main h1")?.textContent === "Overview"`)
	if status, _ := owner.send(http.MethodGet, "me", ""); status != http.StatusOK {
		t.Errorf("the owner's session: got %d, want 200", status)
	}
}
