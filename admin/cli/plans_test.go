package cli_test

import (
	"context"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// make makes tenants.
func (l *line) make(slugs ...string) {
	l.t.Helper()
	for _, slug := range slugs {
		if code, _, errs := l.call("", "tenant", "create", slug); code != 0 {
			l.t.Fatal(errs)
		}
	}
}

// want runs commands of plain words in order.
func (l *line) want(code int, text string, args ...string) (out string) {
	l.t.Helper()
	got, out, errs := l.call("", args...)
	if got != code || !strings.Contains(out+errs, text) {
		l.t.Errorf("%q: got exit code %d and\n%s%s\nwant %d and %q", args, got, out, errs, code, text)
	}
	return out + errs
}

// writer is a writer that is a function.
type writer func(string)

func (w writer) Write(b []byte) (int, error) { w(string(b)); return len(b), nil }

// A dry run and a question that nobody answers leave the key to the run that follows.
func TestKeyStaysFree(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.make("acme", "globex")
	l.want(0, "FIRST TENANTS", "tenant", "suspend", "acme", "--key", "k1", "--dry-run")
	l.want(0, "1 of 1 tenant done", "tenant", "suspend", "acme", "--key", "k1")
	l.want(2, "Give --yes", "tenant", "archive", "globex", "--key", "k2")
	l.want(0, "1 of 1 tenant done", "tenant", "archive", "globex", "--key", "k2", "--yes")

	planned := l.want(0, "planned", "run", "plan", "activate", "acme", "--key", "k3")
	l.want(0, "FIRST TENANTS", "tenant", "activate", "acme", "--key", "k3", "--dry-run")
	l.want(0, "1 of 1 tenant done", "run", "start", regexp.MustCompile(`[0-9a-z]{26}`).FindString(planned)) // a dry run leaves the plan alone
}

// What "db status" kept is forgotten by every command that starts a migration, also after an interrupt.
func TestMigrationsForgetStatus(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.make("acme")
	again := func() string {
		t.Helper()
		out := l.want(0, "up to date", "db", "status", "--all")
		l.want(0, "ago; --refresh", "db", "status", "--all")
		return out
	}
	again()
	planned := l.want(0, "planned", "run", "plan", "rollback", "acme")
	l.want(0, "1 of 1 tenant done", "run", "start", regexp.MustCompile(`[0-9a-z]{26}`).FindString(planned))
	if out := again(); !strings.Contains(out, "0 of 1") {
		t.Errorf("after run start: got\n%s", out)
	}
	l.want(0, "1 of 1 tenant done", "schedule", "trigger", "nightly")
	if out := again(); !strings.Contains(out, "1 of 1") {
		t.Errorf("after schedule trigger: got\n%s", out)
	}
	l.want(0, "Detached", "db", "rollback", "acme", "--yes", "--detach")
	again()
	all, err := l.app.Runner.List(t.Context(), runs.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	if code := l.within(ctx, "", writer(func(string) { interrupt() }), io.Discard, "run", "watch", all[0].ID, "--work", "--json"); code != 1 {
		t.Fatalf("got exit code %d, want that of an interrupt", code)
	}
	if out := l.want(0, "up to date", "db", "status", "--all"); strings.Contains(out, "ago") {
		t.Errorf("after an interrupt: got\n%s, want no result of before", out)
	}
}

// The last line of a run that stops counts the tenants that were in hand.
func TestLastLineOfAStoppedRun(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.make("acme", "globex")
	ctx, stopped := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stopped()
	l.seeding = func(slug string) {
		if slug == "acme" { // in hand while globex fails
			<-ctx.Done()
		}
	}
	out := ""
	code := l.within(t.Context(), "", writer(func(s string) {
		if out += s; strings.Contains(s, `"state":"stopped"`) {
			stopped()
		}
	}), io.Discard, "db", "seed", "--all", "--budget", "0", "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var last runs.Progress
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || code != 1 || last.State != runs.StateStopped || last.Done != 1 || last.Failed != 1 {
		t.Errorf("got exit code %d, %v and\n%s\nwant 1 done and 1 failed at the end", code, err, out)
	}
}

// A flag that selects tenants and is blank, as a script's variable may be, selects nobody.
func TestBlankSelections(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.make("acme")
	for _, flags := range [][]string{
		{"--where", ""}, {"--where", "  "}, {"--all", "--where="}, {"--tenant="}, {"--all", "--tenant="}, {"--all", "--exclude="}, {"--all", "--exclude", " "}, {" "},
	} {
		l.want(2, "", append([]string{"tenant", "archive", "--yes"}, flags...)...)
		l.want(2, "", append([]string{"db", "status"}, flags...)...)
	}
	l.want(2, "--where is blank", "run", "plan", "archive", "--where", " ")
	l.want(2, "--where is blank", "maintenance", "drain", "--where", " ")
	l.want(0, "active", "tenant", "list", "--where", "status:active")
}

// Of tenants some of which failed, the exit code says that, and the code of their errors is for commands that did nothing else.
func TestExitCodeOfSomeTenants(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.make("acme", "globex")
	l.want(0, "1 of 1 tenant done", "maintenance", "on", "acme")
	l.want(1, "globex: ", "maintenance", "drain", "--all")
	l.want(1, "globex: ", "maintenance", "extend", "--all", "--until", "1h")
	l.want(2, "not in force", "maintenance", "drain", "globex")
	l.want(2, "want a time after the end", "maintenance", "extend", "acme", "--until", "1m")
}

// Maintenance that has begun and has no end is in force until it is ended, which other programs than this one may plan.
func TestMaintenanceWithoutAnEnd(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.make("acme")
	acme, err := l.app.Catalog.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
	if err == nil {
		err = l.app.Gate.Tenant(acme.ID).Begin(t.Context(), tenancy.Maintenance{Windows: []tenancy.Window{{Start: time.Now().Add(-time.Hour)}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	l.want(0, "until off", "maintenance", "status")
}

// A "doctor --mend" that was cut off may have mended something: the last result is not shown again.
func TestInterruptedMendingForgets(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.make("acme")
	l.want(0, "nothing is wrong", "doctor")
	l.want(0, "ago; --refresh", "doctor")
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if code := l.within(ctx, "", io.Discard, io.Discard, "doctor", "--mend", "schema", "--yes"); code != 1 {
		t.Fatalf("got exit code %d, want that of an interrupt", code)
	}
	if out := l.want(0, "nothing is wrong", "doctor"); strings.Contains(out, "ago") {
		t.Errorf("got\n%s, want no result of before", out)
	}
}
