package cli_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/cli"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// newTerminal returns the two ends of a terminal of 80 columns: what a person holds, and
// what a program does.
func newTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd()) // a file's number
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

// on runs a command on a terminal on which a person has typed something.
func (l *line) on(typed string, args ...string) (code int, screen string) {
	l.t.Helper()
	return l.onUntil("", typed, args...)
}

// onUntil is on, with an interrupt when the screen shows a text, if it is not empty.
func (l *line) onUntil(shown, typed string, args ...string) (code int, screen string) {
	l.t.Helper()
	ctx, interrupt := context.WithCancel(l.t.Context())
	defer interrupt()
	person, program := newTerminal(l.t)
	if _, err := io.WriteString(person, typed); err != nil {
		l.t.Fatal(err)
	}
	seen := make(chan string, 1)
	go func() {
		all, some := "", make([]byte, 4096)
		for err := error(nil); err == nil; { // until the program's end is closed
			var n int
			n, err = person.Read(some)
			if all += string(some[:n]); shown != "" && strings.Contains(all, shown) {
				interrupt()
			}
		}
		seen <- all
	}()
	root := cli.New(func(context.Context) (*cli.App, error) { return l.app, nil }, &cli.Options{Name: "notes", Results: l.kept})
	root.SetArgs(args)
	root.SetIn(program)
	root.SetOut(program)
	root.SetErr(program)
	code = cli.Run(ctx, root)
	if shown != "" { // the question reads still, which keeps its end open
		if _, err := io.WriteString(person, "\n"); err != nil {
			l.t.Error(err)
		}
	}
	_ = program.Close()
	return code, strings.ReplaceAll(<-seen, "\r\n", "\n")
}

// On a terminal a command asks for what is missing, and asks before it changes many.
func TestAsks(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for _, tt := range []struct {
		args, typed string
		code        int
		want        []string
	}{
		{"tenant create", "acme\n", 0, []string{"Slug: ", "Made tenant acme"}},
		{"tenant create globex", "", 0, []string{"Made tenant globex"}},
		{"tenant create", "\n", 2, []string{"no answer"}},
		{"tenant create", "\x04", 2, []string{"no answer"}},
		{"tenant show", "globex\n", 0, []string{"Tenant (slug, ID or domain): ", "Database"}},
		{"tenant domain add", "acme\na.example\n", 0, []string{"Tenant (", "Domain: ", "a.example"}},
		{"tenant suspend", "acme globex\ny\n", 0, []string{"Which tenants?", "Suspend 2 tenants? [y/N]", "2 of 2 tenants done"}},
		{"tenant activate", "--all\ny\n", 0, []string{"2 of 2 tenants done"}},
		{"tenant activate --all", "n\n", 2, []string{"nothing was done"}},
		{"db status", "acme\n", 0, []string{"Which tenants?", "1 of 1 tenant up to date"}},
		{"run plan", "migrate\n--all\n", 0, []string{"Task: ", "FIRST TENANTS"}},
		{"tenant archive acme", "globex\n", 2, []string{`Type "acme" to go on:`, "nothing was done"}},
		{"tenant archive acme", "acme\n", 0, []string{"1 of 1 tenant done"}},
		{"tenant show a b", "", 2, []string{"accepts 1 arg"}},
	} {
		code, screen := l.on(tt.typed, strings.Fields(tt.args)...)
		if code != tt.code {
			t.Errorf("%s: got exit code %d and\n%s\nwant %d", tt.args, code, screen, tt.code)
		}
		for _, want := range tt.want {
			if !strings.Contains(screen, want) {
				t.Errorf("%s: got\n%s\nwant %q", tt.args, screen, want)
			}
		}
	}
}

// An interrupt at a question is no bad usage, is said once, and leaves no plan that can be started.
func TestInterruptAtAQuestion(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for _, slug := range []string{"acme", "globex"} {
		if code, _, errs := l.call("", "tenant", "create", slug); code != 0 {
			t.Fatal(errs)
		}
	}
	for args, question := range map[string]string{
		"tenant archive --all": "to go on:",
		"tenant suspend --all": "[y/N]",
		"tenant suspend":       "Which tenants?",
		"tenant show":          "Tenant (",
		"tenant sign-out acme": "to go on:",
	} {
		if code, screen := l.onUntil(question, "", strings.Fields(args)...); code != 1 || strings.Count(screen, "context canceled") != 1 {
			t.Errorf("%s: got exit code %d and\n%s\nwant 1, and the error once", args, code, screen)
		}
	}
	all, err := l.app.Runner.List(t.Context(), runs.Query{})
	if err != nil || len(all) != 2 {
		t.Fatalf("got %d runs, %v, want 2", len(all), err)
	}
	for _, run := range all {
		if run.State != runs.StateCancelled {
			t.Errorf("%s: got %s, want it cancelled", run.Task, run.State)
		}
	}
}

// The bar of a retry is about the tenants that are tried again: those that were done before are no part of its rate, and the time that
// the run waited for somebody is not what it took.
func TestBarOfARetry(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for _, slug := range []string{"acme", "globex", "initech"} {
		if code, _, errs := l.call("", "tenant", "create", slug); code != 0 {
			t.Fatal(errs)
		}
	}
	code, screen := l.on("y\n", "db", "seed", "--all")
	_, id, _ := strings.Cut(screen, "run retry ")
	id, _, ok := strings.Cut(id, "\n")
	if code != 1 || !ok || !strings.Contains(screen, "(3/3") || !strings.Contains(screen, "2 of 3 tenants done, 1 failed (") {
		t.Fatalf("got exit code %d and\n%s", code, screen)
	}
	code, screen = l.on("", "run", "retry", id)
	if code != 1 || !strings.Contains(screen, "(1/1") || strings.Contains(screen, "/3,") || !strings.Contains(screen, "2 of 3 tenants done, 1 failed\n") {
		t.Errorf("got exit code %d and\n%s", code, screen)
	}
	if code, screen = l.on("", "run", "watch", id); code != 1 || !strings.Contains(screen, "(3/3") {
		t.Errorf("watch: got exit code %d and\n%s", code, screen)
	}
}

// What takes long says on a terminal how far it is, and nothing of that where a program reads.
func TestProgress(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for _, slug := range []string{"acme", "globex"} {
		if code, _, errs := l.call("", "tenant", "create", slug); code != 0 {
			t.Fatal(errs)
		}
	}
	if code, _, errs := l.call("", "maintenance", "on", "--all"); code != 0 {
		t.Fatal(errs)
	}
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	for _, tt := range []struct {
		args     string
		progress string // a regular expression
		result   string
	}{
		{"audit verify --refresh", `audit verify +\d+% .*\(\d+/\d+`, "whole"},
		{"audit export " + file, `audit export: \d+ entries`, "Wrote"},
		{"db status --all --refresh", `db status +100% .*\(2/2`, "2 of 2 tenants up to date"},
		{"doctor --refresh", `doctor: 0 findings`, "nothing is wrong"},
		{"maintenance drain --all", `maintenance drain +50% .*\(1/2`, "Drained "},
	} {
		shows := regexp.MustCompile(tt.progress)
		code, screen := l.on("", strings.Fields(tt.args)...)
		if code != 0 || !shows.MatchString(screen) || !strings.Contains(screen, tt.result) {
			t.Errorf("%s: got exit code %d and\n%q\nwant %s and %q", tt.args, code, screen, tt.progress, tt.result)
		}
		if shows.MatchString(screen[max(0, strings.LastIndex(screen, tt.result)):]) {
			t.Errorf("%s: got\n%q\nwant the result behind all progress", tt.args, screen)
		}
		_ = os.Remove(file)
		if code, screen := l.on("", append(strings.Fields(tt.args), "--json")...); code != 0 || shows.MatchString(screen) {
			t.Errorf("%s --json: got exit code %d and\n%q, want no progress", tt.args, code, screen)
		}
		_ = os.Remove(file)
		if code, _, errs := l.call("", strings.Fields(tt.args)...); code != 0 || errs != "" {
			t.Errorf("%s without a terminal: got exit code %d and\n%q, want no progress", tt.args, code, errs)
		}
		_ = os.Remove(file)
	}
}

// A table fits into a terminal. Where a program reads, each row is one line, and whole.
func TestTablesFit(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	if code, _, errs := l.call("", "tenant", "create", "acme"); code != 0 {
		t.Fatal(errs)
	}
	far := &tenancy.Tenant{Slug: "globex", Name: strings.Repeat("Globex ", 5) + "Corporation", Status: tenancy.StatusActive, Placement: tenancy.Placement{Server: "far", Database: "globex"}}
	far, err := l.app.Catalog.Create(t.Context(), far)
	if err != nil {
		t.Fatal(err)
	}
	const why = `unavailable: no server is called "far"`
	for _, tt := range []struct {
		args string
		code int
		want string // on a terminal and elsewhere, words of one row
	}{
		{"db status --all", 3, why},
		{"tenant list", 0, "globex"},
		{"audit list", 0, "tenant.create"},
		{"maintenance on --all --message " + strings.Repeat("later-", 20), 0, ""},
		{"maintenance status", 0, "later-"},
		{"run list", 0, "TASK"},
	} {
		code, screen := l.on("y\n", strings.Fields(tt.args)...)
		if words := strings.Join(strings.Fields(screen), " "); code != tt.code || !strings.Contains(words, tt.want) {
			t.Errorf("%s: got exit code %d and\n%s\nwant %d and %q", tt.args, code, screen, tt.code, tt.want)
		}
		for each := range strings.Lines(screen) {
			if n := len([]rune(strings.TrimRight(each, "\n"))); n > 80 && !strings.Contains(each, "\r") && !strings.Contains(tt.args, " on ") {
				t.Errorf("%s: a line of %d columns: %s", tt.args, n, each)
			}
		}
	}
	code, out, _ := l.call("", "db", "status", "--all", "--refresh")
	if row := regexp.MustCompile(`(?m)^globex +\? +(.*)$`).FindStringSubmatch(out); code != 3 || row == nil || row[1] != why {
		t.Errorf("got exit code %d and\n%s\nwant the row of globex to end with %s", code, out, why)
	}
	if _, out, _ := l.call("", "db", "status", "--all", "--refresh", "--json"); strings.Contains(out, string(far.ID)+": ") || !strings.Contains(out, `no server is called`) {
		t.Errorf("got %s", out)
	}
	if _, out, _ := l.call("", "maintenance", "status"); !strings.Contains(out, strings.Repeat("later-", 20)) || strings.Contains(out, "…") {
		t.Errorf("got\n%s\nwant the whole message in one line", out)
	}
}
