package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/cli"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// line is a command line over an application on SQLite.
type line struct {
	t    *testing.T
	app  *cli.App
	pool *dbpool.Pool
}

func newLine(t *testing.T) *line {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	db, err := sqlite.Open(filepath.Join(dir, "catalog.db"))
	must(err)
	t.Cleanup(func() { _ = db.Close() })
	engine, err := sqlite.New(filepath.Join(dir, "tenants"))
	must(err)
	pool, err := dbpool.New(map[string]dbpool.Engine{"main": engine}, nil)
	must(err)
	t.Cleanup(func() { _ = pool.Close() })
	app := &cli.App{}
	app.Audit, err = audit.New(db, nil)
	must(err)
	app.Catalog, err = catalog.New(db, &catalog.Options{Audit: app.Audit})
	must(err)
	app.Keys, err = catalog.NewAPIKeys(app.Catalog, "key", nil)
	must(err)
	app.Gate, err = maintenance.NewGate(app.Catalog, &maintenance.GateOptions{DB: db})
	must(err)
	app.Migrator, err = migrate.New(pool, fstest.MapFS{
		"00001_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (n INT);\n-- +goose Down\nDROP TABLE a;\n")},
		"00002_b.sql": {Data: []byte("-- +goose Up\nCREATE TABLE b (n INT);\n-- +goose Down\nDROP TABLE b;\n")},
	}, nil)
	must(err)
	app.Lifecycle, err = lifecycle.New(app.Catalog, pool, app.Migrator, &lifecycle.Options{Server: "main"})
	must(err)
	tasks := runs.Tasks(maintenance.Tasks(app.Catalog))
	tasks[cli.TaskMigrate], tasks[cli.TaskRollback] = app.Migrator.Task(), app.Migrator.RollbackTask()
	tasks[cli.TaskMaintenanceOn], tasks[cli.TaskMaintenanceOff] = app.Gate.BeginTask(), app.Gate.EndTask()
	tasks[cli.TaskSeed] = maintenance.SeedTask(func(_ context.Context, t *tenancy.Tenant) error {
		if t.Slug == "rotten" {
			return errors.New("\x1b[2J gone\r\u202e\a")
		}
		if t.Slug == "globex" {
			return errors.New("the seed is rotten, and this is a text so long that it does not fit into one line of a terminal of eighty columns")
		}
		return nil
	})
	app.Runner, err = runs.New(db, app.Catalog, &runs.Options{Tasks: tasks, Poll: 5 * time.Millisecond, Audit: app.Audit,
		Schedules: []runs.Schedule{{Name: "nightly", Cron: "0 3 * * *", Zone: "Europe/Berlin", Task: cli.TaskMigrate}}})
	must(err)
	for _, migrate := range []func(context.Context) error{app.Audit.Migrate, app.Catalog.Migrate, app.Gate.Migrate, app.Runner.Migrate} {
		must(migrate(t.Context()))
	}
	return &line{t, app, pool}
}

// call runs a command and returns its exit code and what it wrote.
func (l *line) call(input string, args ...string) (code int, stdout, stderr string) {
	l.t.Helper()
	root := cli.New(func(context.Context) (*cli.App, error) { return l.app, nil }, &cli.Options{Name: "notes"})
	var out, err bytes.Buffer
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&err)
	root.SetIn(strings.NewReader(input))
	code = cli.Run(l.t.Context(), root)
	for each := range strings.Lines(out.String() + err.String()) {
		if n := len([]rune(strings.TrimRight(each, "\n"))); n > 80 && !strings.Contains(each, "{") && !strings.Contains(each, "key_") && code == 0 {
			l.t.Errorf("%q: a line of %d columns: %s", args, n, each)
		}
	}
	return code, out.String(), err.String()
}

// The commands in the order in which somebody may give them.
func TestCommands(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	stat := httptest.NewServer(l.pool.Handler())
	defer stat.Close()
	for _, tt := range []struct {
		args string
		code int
		want string // in what was written
	}{
		{"tenant create acme --plan pro --tag eu --name Acme", 0, "Made tenant acme"},
		{"tenant create globex", 0, "Made tenant globex"},
		{"tenant create acme", 1, "exists already"},
		{"tenant show acme", 0, "eu"},
		{"tenant show nobody", 2, `no tenant has the slug, ID or domain "nobody"`},
		{"tenant rename acme acme-eu", 0, "Tenant acme-eu (Acme)"},
		{"tenant rename acme-eu", 2, "want a slug or --name"},
		{"tenant rename acme-eu acme", 0, "acme"},
		{"tenant domain add acme notes.acme.example", 0, "notes.acme.example"},
		{"tenant domain add globex notes.acme.example", 1, "exists already"},
		{"tenant show notes.acme.example", 0, "acme"},
		{"tenant domain remove acme notes.acme.example", 0, "without domains"},
		{"tenant tag acme globex --add new --remove eu", 0, "2 of 2 tenants done"},
		{"tenant tag acme", 2, "want tags"},
		{"tenant show acme", 0, "new"},
		{"tenant suspend acme", 0, "1 of 1 tenant done"},
		{"tenant list --where status:suspended", 0, "acme"},
		{"tenant suspend --where status:blocked", 2, "the plan is empty"},
		{"tenant activate --all --exclude globex", 0, "1 of 2 tenants done, 1 skipped"},
		{"tenant block acme --dry-run", 0, "FIRST TENANTS"},
		{"tenant list --where status:blocked", 0, "SLUG"},
		{"tenant archive acme", 2, "Give --yes where nobody can answer"},
		{"tenant create gone", 0, "Made tenant gone"},
		{"tenant purge gone --yes", 2, "archive it first"},
		{"tenant restore gone --yes", 2, "cannot be restored"},
		{"tenant archive gone --yes", 0, "1 of 1 tenant done"},
		{"tenant restore gone", 2, "Give --yes where nobody can answer"},
		{"tenant restore gone --yes", 0, "gone"},
		{"tenant archive gone --yes", 0, "1 of 1 tenant done"},
		{"tenant purge gone --yes", 2, "after its last change"},
		{"tenant purge gone --now --yes", 2, "--reason"},
		{"tenant purge gone --now --reason tested", 2, "Give --yes where nobody can answer"},
		{"tenant purge gone --now --reason tested --yes", 0, "Purged tenant gone"},
		{"tenant show gone", 2, "no tenant has"},
		{"db status --all", 0, "2 of 2 tenants up to date"},
		{"db rollback acme --yes", 0, "1 of 1 tenant done"},
		{"db status --all --behind", 0, "00002_b.sql"},
		{"db migrate --all --canary 1 --waves 50%", 0, "2 of 2 tenants done"},
		{"db rollback --all --to 0 --yes", 0, "2 of 2 tenants done"},
		{"db migrate --all --to 1", 0, "2 of 2 tenants done"},
		{"db migrate --all --to x", 2, "version"},
		{"db redo acme --yes", 0, "00001_a.sql"},
		{"db seed --all", 1, "the seed is rotten"},
		{"db migrate", 2, "say which tenants"},
		{"db migrate --all --tenant acme", 2, "only one of these"},
		{"db migrate --where status:happy", 2, "happy"},
		{"db migrate --all --budget much", 2, "much"},
		{"db", 0, "Available Commands"},
		{"db fly", 2, "unknown command"},
		{"db migrate --fly", 2, "unknown flag"},
		{"run plan plan acme --param to=gold", 0, "FIRST TENANTS"},
		{"run plan plan acme --param from=gold", 2, "want the new plan"},
		{"run plan fly acme", 2, "unknown here"},
		{"run list --task seed", 0, "done_with_failures"},
		{"run show nothing", 2, "not found"},
		{"run pause nothing", 2, "not found"},
		{"schedule list", 0, "0 3 * * * Europe/Berlin"},
		{"schedule pause nightly", 0, "paused"},
		{"schedule list", 0, "paused"},
		{"schedule resume nightly", 0, "resumed"},
		{"schedule trigger nightly", 0, "2 of 2 tenants done"},
		{"schedule trigger hourly", 2, "not found"},
		{"maintenance on acme --message Later. --for 2h", 0, "1 of 1 tenant done"},
		{"maintenance status --all", 0, "Later."},
		{"maintenance on --service", 2, "Give --yes"},
		{"maintenance on acme --service", 2, "name no tenants"},
		{"maintenance on --service --yes", 0, ""},
		{"maintenance off --service", 0, ""},
		{"maintenance off --all", 0, "2 of 2 tenants done"},
		{"apikey issue acme --name importer --scope notes:write", 0, "key_"},
		{"apikey list acme", 0, "importer notes:write"},
		{"apikey revoke acme", 2, "want a key, or --all"},
		{"apikey revoke acme nothing", 2, "not found"},
		{"apikey revoke acme --all --yes", 0, ""},
		{"audit list --tenant acme --action tenant.status", 0, "tenant.status"},
		{"audit list --limit 5", 0, "acme"},
		{"audit verify", 0, "whole"},
		{"pool stat " + stat.URL, 0, "main"},
		{"pool stat http://127.0.0.1:1/", 3, "unavailable"},
	} {
		code, out, errs := l.call("", strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+errs, tt.want) {
			t.Errorf("%s: got exit code %d and\n%s%s\nwant %d and %q", tt.args, code, out, errs, tt.code, tt.want)
		}
		if strings.Contains(out+errs, "tenantctl") {
			t.Errorf("%s: got another program's name in\n%s%s", tt.args, out, errs)
		}
	}
}

// With --json there are JSON lines on the standard output, and nothing else.
func TestJSON(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for _, args := range []string{
		"tenant create acme", "tenant create globex", "tenant list", "tenant show acme", "db migrate --all", "db status --all", "db migrate --all --dry-run",
		"tenant rename acme --name Acme", "tenant tag acme --add eu", "run list", "db seed --all", "maintenance on acme", "maintenance status --all",
		"apikey issue acme", "apikey list acme", "audit list", "audit verify", "run plan block acme", "db redo acme --yes", "db migrate --all --detach --new", "schedule list",
	} {
		_, out, _ := l.call("", append(strings.Fields(args), "--json")...)
		if out == "" {
			t.Errorf("%s: got nothing", args)
		}
		for each := range strings.Lines(out) {
			if !json.Valid([]byte(each)) {
				t.Errorf("%s: got %s", args, each)
			}
		}
		if args == "tenant show acme" || args == "apikey list acme" {
			if regexp.MustCompile(`"hash":"[0-9a-f]*[1-9a-f]`).MatchString(out) {
				t.Errorf("%s: got the hash of a key in %s", args, out)
			}
		}
	}
}

// A run that waits or failed is gone on with by name.
func TestRunCommands(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for _, slug := range []string{"acme", "globex", "initech"} {
		if code, _, errs := l.call("", "tenant", "create", slug); code != 0 {
			t.Fatal(errs)
		}
	}
	id := func(out string) string {
		t.Helper()
		m := regexp.MustCompile(`run \w+ ([0-9a-z]{26})`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("got no run in\n%s", out)
		}
		return m[1]
	}
	code, out, _ := l.call("", "db", "seed", "--all", "--budget", "0", "--parallel", "1", "--approve", "--waves", "2")
	if code != 1 || !strings.Contains(out, "Stopped: 1 of 3 tenants failed") || !strings.Contains(out, "1 to do") {
		t.Fatalf("got exit code %d and\n%s", code, out)
	}
	run := id(out)
	if code, out, errs := l.call("", "db", "seed", "--all"); code != 1 || !strings.Contains(errs, "Going on with run "+run) || !strings.Contains(errs, "run resume") {
		t.Errorf("the same command again: got exit code %d and\n%s%s", code, out, errs)
	}
	if code, out, _ := l.call("", "run", "resume", run); code != 1 || !strings.Contains(out, "waits for approval") {
		t.Errorf("resume: got exit code %d and\n%s", code, out)
	}
	if code, out, _ := l.call("", "run", "resume", run); code != 1 || !strings.Contains(out, "2 of 3 tenants done, 1 failed") || !strings.Contains(out, "globex  the seed") {
		t.Errorf("resume again: got exit code %d and\n%s", code, out)
	}
	if code, out, _ := l.call("", "run", "show", run, "--failed"); code != 0 || !strings.Contains(out, "globex") || strings.Contains(out, "acme") {
		t.Errorf("show: got exit code %d and\n%s", code, out)
	}
	if code, out, _ := l.call("", "run", "retry", run); code != 1 || !strings.Contains(out, "1 failed") {
		t.Errorf("retry: got exit code %d and\n%s", code, out)
	}
	_, out, _ = l.call("", "db", "migrate", "--all", "--detach")
	_, errs, _ := l.call("", "run", "list", "--task", "migrate", "--json")
	var listed runs.Run
	if err := json.Unmarshal([]byte(errs), &listed); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	if code, out, _ := l.call("", "run", "pause", listed.ID, "--reason", "lunch"); code != 0 || !strings.Contains(out, "paused") {
		t.Errorf("pause: got exit code %d and\n%s", code, out)
	}
	if code, out, _ := l.call("", "run", "cancel", listed.ID); code != 0 || !strings.Contains(out, "3 cancelled") {
		t.Errorf("cancel: got exit code %d and\n%s", code, out)
	}
}

// A terminal carries out nothing that stands in the error of a task or in a reason.
func TestTextsAreHarmless(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	if code, _, stderr := l.call("", "tenant", "create", "rotten"); code != 0 {
		t.Fatalf("got %d %s", code, stderr)
	}
	code, stdout, stderr := l.call("", "db", "seed", "rotten")
	if out := stdout + stderr; code != 1 || !strings.Contains(out, "[2J gone") || strings.ContainsAny(out, "\x1b\a\r\u202e") {
		t.Errorf("got %d %q, want the error, and nothing that a terminal carries out", code, out)
	}
	found, err := l.app.Runner.List(t.Context(), runs.Query{})
	if err != nil || len(found) == 0 {
		t.Fatalf("got %d runs, %v", len(found), err)
	}
	for _, args := range [][]string{{"run", "show", found[0].ID, "--results"}, {"run", "show", found[0].ID, "--failed"}, {"run", "watch", found[0].ID}} {
		if _, stdout, stderr := l.call("", args...); strings.ContainsAny(stdout+stderr, "\x1b\a\r\u202e") {
			t.Errorf("%q: got %q, want nothing that a terminal carries out", args, stdout+stderr)
		}
	}
}
