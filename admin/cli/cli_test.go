package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"os"
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
	"github.com/artflow-studio/tenancy/dbpool/driver"
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
	kept string // folder of last results
	data bool   // commands have the flag --data
	// seeding is called when a tenant is seeded, if it is set.
	seeding func(slug string)
}

func newLine(t *testing.T) *line {
	t.Helper()
	l := &line{t: t, app: &cli.App{}}
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
	pool, err := dbpool.New(map[string]driver.Engine{"main": engine}, nil)
	must(err)
	t.Cleanup(func() { _ = pool.Close() })
	app := l.app
	app.Audit, err = audit.New(db, nil)
	must(err)
	app.Outbox, err = catalog.NewOutbox(db, &catalog.OutboxOptions{Audit: app.Audit})
	must(err)
	app.Catalog, err = catalog.New(db, &catalog.Options{Audit: app.Audit, Events: app.Outbox})
	must(err)
	app.Keys, err = catalog.NewKeyIssuer(app.Catalog, "key", nil)
	must(err)
	app.Gate, err = maintenance.NewGate(app.Catalog, &maintenance.GateOptions{DB: db, Audit: app.Audit, Settle: time.Millisecond})
	must(err)
	app.Migrator, err = migrate.New(pool, fstest.MapFS{
		"00001_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (n INT);\n-- +goose Down\nDROP TABLE a;\n")},
		"00002_b.sql": {Data: []byte("-- +goose Up\nCREATE TABLE b (n INT);\n-- +goose Down\nDROP TABLE b;\n")},
	}, &migrate.Options{Audit: app.Audit})
	must(err)
	app.Lifecycle, err = lifecycle.New(app.Catalog, pool, app.Migrator, &lifecycle.Options{Server: "main", Audit: app.Audit})
	must(err)
	tasks := runs.Tasks(maintenance.Tasks(app.Catalog))
	tasks[cli.TaskMigrate], tasks[cli.TaskRollback] = app.Migrator.Task(), app.Migrator.RollbackTask()
	tasks[cli.TaskMaintenanceOn], tasks[cli.TaskMaintenanceOff] = app.Gate.BeginTask(), app.Gate.EndTask()
	tasks[cli.TaskSeed] = maintenance.SeedTask(nil, func(_ context.Context, t *tenancy.Tenant) error {
		if l.seeding != nil {
			l.seeding(t.Slug)
		}
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
	l.pool, l.kept = pool, filepath.Join(dir, "results")
	return l
}

// call runs a command and returns its exit code and what it wrote.
func (l *line) call(input string, args ...string) (code int, stdout, stderr string) {
	l.t.Helper()
	var out, err bytes.Buffer
	code = l.within(l.t.Context(), input, &out, &err, args...)
	return code, out.String(), err.String()
}

// within runs a command in a context.
func (l *line) within(ctx context.Context, input string, out, err io.Writer, args ...string) int {
	root := cli.New(func(context.Context) (*cli.App, error) { return l.app, nil }, &cli.Options{Name: "notes", Results: l.kept})
	if l.data {
		root.PersistentFlags().String("data", "", "")
	}
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(err)
	root.SetIn(strings.NewReader(input))
	return cli.Run(ctx, root)
}

// Entries say from where: the program and the machine, the address of the SSH client, and why.
func TestOrigin(t *testing.T) {
	t.Setenv("SSH_CONNECTION", "2001:db8::7 50022 2001:db8::1 22")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	l := newLine(t)
	for _, args := range [][]string{
		{"tenant", "create", "acme"}, {"tenant", "suspend", "acme"}, {"tenant", "rename", "acme", "--name", "Acme"}, {"tenant", "domain", "add", "acme", "acme.example"},
		{"apikey", "issue", "acme"}, {"maintenance", "on", "--service"}, {"maintenance", "off", "--service"}, {"db", "redo", "acme"}, {"db", "fresh", "acme"},
	} {
		if code, out, errs := l.call("", append(args, "--yes", "--reason", "ticket 7")...); code != 0 {
			t.Fatalf("%q: got %d %s%s", args, code, out, errs)
		}
	}
	actions := map[string]bool{}
	for e, err := range l.app.Audit.Entries(t.Context(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		actions[e.Action] = true
		if e.Actor.Kind != tenancy.ActorCommandLine || e.Actor.ID == "" || e.Actor.UserAgent != "notes@"+host || e.Actor.Address.String() != "2001:db8::7" || e.Actor.Reason != "ticket 7" {
			t.Errorf("%s: got %+v, want who, from where and why", e.Action, e.Actor)
		}
	}
	for _, want := range []string{"tenant.create", "tenant.status", "tenant.name", "tenant.domains", "key.issue", "maintenance.begin", "maintenance.end", "schema.redo", "schema.fresh"} {
		if !actions[want] {
			t.Errorf("got entries of %v, want one of %s", actions, want)
		}
	}
	if code, _, errs := l.call("", "tenant", "activate", "acme", "--reason", "two\nlines"); code != 2 || !strings.Contains(errs, "reason") {
		t.Errorf("a reason of two lines: got %d %s", code, errs)
	}
	t.Setenv("SSH_CONNECTION", "nonsense")
	if code, out, errs := l.call("", "tenant", "activate", "acme"); code != 0 {
		t.Errorf("without an address: got %d %s%s", code, out, errs)
	}
}

// TestNamedByID names a tenant by an ID that is another's slug, which customers may choose: it is the ID that counts.
func TestNamedByID(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	_, out, _ := l.call("", "tenant", "create", "acme", "--json")
	var acme struct{ ID string }
	if err := json.Unmarshal([]byte(out), &acme); err != nil || acme.ID == "" {
		t.Fatalf("got %q, %v", out, err)
	}
	if _, err := l.app.Catalog.Create(t.Context(), &tenancy.Tenant{Slug: acme.ID, Name: "Impostor", Status: tenancy.StatusActive}); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := l.call("", "tenant", "show", acme.ID); code != 0 || strings.Contains(out, "Impostor") {
		t.Errorf("got %d %s%s, want acme", code, out, errs)
	}
	if code, out, errs := l.call("", "tenant", "suspend", acme.ID); code != 0 || !strings.Contains(out+errs, "1 of 1") {
		t.Errorf("got %d %s%s", code, out, errs)
	}
	if _, out, _ := l.call("", "tenant", "show", "acme"); !strings.Contains(out, "suspended") {
		t.Errorf("got %s, want acme suspended", out)
	}
}

// The commands in the order in which somebody may give them.
func TestCommands(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	stat := httptest.NewServer(l.pool.Handler())
	defer stat.Close()
	legacy, err := sqlite.Open(filepath.Join(filepath.Dir(l.kept), "tenants", "legacy.db")) // a database that is there already
	if err == nil {
		_, err = legacy.Exec("CREATE TABLE old (n INT)")
		err = errors.Join(err, legacy.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
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
		{"tenant domain add acme a.example b.example", 0, "a.example, b.example"},
		{"tenant domain remove acme a.example b.example", 0, "without domains"},
		{"tenant domain add acme no_domain", 2, "no_domain"},
		{"tenant update acme --plan gold --limit users=5 --setting theme=dark", 0, "1 of 1 tenant done"},
		{"tenant show acme", 0, "users=5"},
		{"tenant show acme --settings", 0, "theme=dark"},
		{"tenant update acme globex --limit users= --setting theme=", 0, "2 of 2 tenants done"},
		{"tenant update acme", 2, "want --plan"},
		{"tenant update acme --limit users=many", 2, "many"},
		{"tenant update acme --limit users", 2, "name=value"},
		{"tenant homepage off acme", 0, "1 of 1 tenant done"},
		{"tenant show acme", 0, "homepage=off"},
		{"tenant homepage acme", 2, "say \"on\" or \"off\""},
		{"tenant homepage on --all", 0, "2 of 2 tenants done"},
		{"tenant homepage off", 2, "say which tenants"},
		{"tenant tag acme globex --add new --remove eu", 0, "2 of 2 tenants done"},
		{"tenant tag acme", 2, "with tags"},
		{"tenant show acme", 0, "new"},
		{"tenant suspend acme", 0, "1 of 1 tenant done"},
		{"tenant list --where status:suspended", 0, "acme"},
		{"tenant suspend --where status:blocked", 2, "no tenant matches the filter"},
		{"tenant suspend --where status:blocked --dry-run", 0, "no tenant matches the filter"},
		{"tenant suspend --where status:blocked --dry-run --json", 0, `"eligible":0`},
		{"run plan suspend --where status:blocked", 2, "no tenant matches the filter"},
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
		{"fly", 2, "unknown command"},
		{"db migrate --fly", 2, "unknown flag"},
		{"run plan plan acme --param to=gold", 0, "FIRST TENANTS"},
		{"run plan plan acme --param from=gold", 2, "the new plan"},
		{"run plan fly acme", 2, "unknown here"},
		{"run list --task limit", 0, "No runs."},
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
		{"maintenance schedule acme --from 1h", 2, "say until when"},
		{"maintenance schedule acme", 2, "say when"},
		{"maintenance schedule acme --rule @daily --for 1h", 2, "rule"},
		{"maintenance schedule acme --from yesterday --for 1h", 2, "yesterday"},
		{"maintenance schedule acme --from 1h --for 1h --zone Mars", 2, "Mars"},
		{"maintenance schedule acme --from 2100-01-01T00:00 --until 2099-01-01T00:00", 2, "ends before it begins"},
		{"maintenance schedule acme --from 2h --for 1h", 0, "1 of 1 tenant done"},
		{"maintenance status acme", 0, ", 1h"},
		{"maintenance drain acme", 2, "not in force"},
		{"maintenance schedule --all --rule 30_2_*_*_0 --for 1h --zone Europe/Berlin", 0, "2 of 2 tenants done"},
		{"maintenance status", 0, "30 2 * * 0 Europe/Berlin, 1h"},
		{"maintenance on acme --for 1h", 0, "1 of 1 tenant done"},
		{"maintenance on acme --allow 10.0.0.0/99", 2, "no prefix of addresses"},
		{"maintenance on acme --path status", 2, "want a cleaned one"},
		{"maintenance on acme --allow 192.0.2.7,10.0.0.0/8 --path /status --path /login --message Later. --for 1h", 0, "1 of 1 tenant done"},
		{"maintenance on acme --for 2h", 0, "1 of 1 tenant done"}, // keeps what it does not name
		{"maintenance status acme", 0, "Later."},
		{"maintenance status acme", 0, "Served: 2 addresses,"}, // and in the next line the paths
		{"maintenance status acme --json", 0, `"allow":["10.0.0.0/8","192.0.2.7/32"],"paths":["/status","/login"]`},
		{"maintenance on acme --allow= --message=", 0, "1 of 1 tenant done"},
		{"maintenance status acme --json", 0, `"mode":"closed","paths":["/status","/login"]`},
		{"maintenance bypass acme", 0, "/.maintenance/bypass/"},
		{"maintenance bypass", 2, "accepts 1 arg"},
		{"maintenance bypass acme --service", 2, "name no tenants"},
		{"maintenance extend acme --until 3h", 0, "Maintenance of acme lasts until"},
		{"maintenance extend acme --until 2h", 2, "want a time after the end"},
		{"maintenance extend acme", 2, "say until when"},
		{"maintenance extend acme --until yesterday", 2, "yesterday"},
		{"maintenance extend acme globex --until 4h", 1, "globex: "},
		{"maintenance extend --service --until 4h", 2, "maintenance is not in force"},
		{"maintenance drain acme", 0, "Drained acme."},
		{"maintenance drain --service acme", 2, "name no tenants"},
		{"maintenance schedule --service --from 1h --for 1h --yes", 0, "maintenance from"},
		{"maintenance status", 0, "(service)"},
		{"maintenance on --service", 2, "Give --yes"},
		{"maintenance on acme --service", 2, "name no tenants"},
		{"maintenance on --service --dry-run --yes", 2, "--dry-run does not go with it"},
		{"maintenance on --service --where plan:trial --yes", 2, "--where does not go with it"},
		{"maintenance schedule --service --canary 1 --from 1h --for 1h --yes", 2, "--canary does not go with it"},
		{"maintenance on --service --yes --allow 192.0.2.7 --for 1h", 0, "maintenance until"},
		{"maintenance on --service --yes", 0, "maintenance until off"},
		{"maintenance status --json", 0, `"allow":["192.0.2.7/32"]`},
		{"maintenance bypass --service", 0, "/.maintenance/bypass/"},
		{"maintenance extend --service --tenant acme --until 4h", 2, "--tenant does not go with it"},
		{"maintenance extend --service --until 4h", 0, "Maintenance of the whole service lasts until"},
		{"maintenance off --service --dry-run", 2, "--dry-run does not go with it"},
		{"maintenance drain --service --tenant acme", 2, "--tenant does not go with it"},
		{"maintenance drain --service", 0, "Drained (service)."},
		{"maintenance off --service", 0, "is open"},
		{"maintenance off --all", 0, "2 of 2 tenants done"},
		{"maintenance status", 0, "No maintenance."},
		{"maintenance bypass acme", 2, "no maintenance"},
		{"apikey list acme", 0, "has no API keys"},
		{"apikey issue acme --name importer --scope notes:write", 0, "key_"},
		{"apikey list acme", 0, "importer notes:write"},
		{"apikey revoke acme", 2, "want a key, or --all"},
		{"apikey revoke acme nothing", 2, "not found"},
		{"apikey revoke acme --all --yes", 0, "No API key of tenant acme"},
		{"audit list --tenant acme --action tenant.status", 0, "tenant.status"},
		{"audit list --limit 5", 0, "acme"},
		{"audit list --from 24h --result done --text CREATE", 0, "tenant.create"},
		{"audit list --to 24h", 0, "TIME"},
		{"audit list --from 2020-01-01 --to 2020-01-02T03:00", 0, "TIME"},
		{"audit list --from noon", 2, "noon"},
		{"audit list --result maybe", 2, "maybe"},
		{"tenant address acme", 0, "everywhere"},
		{"tenant address acme --allow 10.1.2.3/8 --allow 192.0.2.7 --deny 10.0.0.1", 0, "10.0.0.0/8, 192.0.2.7/32"},
		{"tenant address acme", 0, "10.0.0.1/32"},
		{"tenant address acme --deny=", 0, "192.0.2.7/32"},
		{"tenant address acme --json", 0, `"allow":["10.0.0.0/8","192.0.2.7/32"],"deny":[]`},
		{"tenant address acme --allow here", 2, "no prefix of addresses"},
		{"tenant sign-out acme", 2, "Give --yes"},
		{"tenant sign-out acme --yes", 0, "No user of tenant acme is signed in any more."},
		{"tenant sign-out acme --yes --json", 0, `"token_generation":2`},
		{"tenant adopt legacy --database legacy", 2, "Give --yes"},
		{"tenant adopt legacy --yes", 2, "--database"},
		{"tenant adopt legacy --database nothing --yes", 2, "not found"},
		{"tenant adopt legacy --database legacy --plan pro --yes", 0, "Made tenant legacy"},
		{"tenant adopt other --database legacy --yes", 1, "exists already"},
		{"db status legacy", 0, "1 of 1 tenant up to date"},
		{"audit verify", 0, "whole"},
		{"audit export", 0, "tenant.create"},
		{"pool stat x", 2, "not the URL of a pool"},
		{"pool stat " + stat.URL + " --tenants 3", 0, "WAITING"},
		{"pool stat " + stat.URL, 0, "main"},
		{"pool stat http://127.0.0.1:1/", 3, "unavailable"},
	} {
		words := strings.Fields(tt.args)
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "30_2_*_*_0", "30 2 * * 0")
		}
		code, out, errs := l.call("", words...)
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
		"tenant rename acme --name Acme", "tenant tag acme --add eu", "run list", "db seed --all", "maintenance on acme", "maintenance status", "maintenance bypass acme", "maintenance extend acme --until 1h", "maintenance drain acme", "audit export",
		"tenant update acme --plan pro", "tenant homepage off acme",
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
	if code, out, _ := l.call("", "run", "show", run); code != 0 || !strings.Contains(out, "notes run show "+run+" --failed") {
		t.Errorf("show: got exit code %d and\n%s, want it to say how the failures are shown", code, out)
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

// The commands that others propose are called with the same data.
func TestProposedCommandsHaveTheFlags(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.data = true
	for _, slug := range []string{"acme", "globex", "initech"} {
		if code, _, errs := l.call("", "tenant", "create", slug); code != 0 {
			t.Fatal(errs)
		}
	}
	seed := []string{"db", "seed", "--all", "--budget", "0", "--parallel", "1", "--data", "it's here"}
	if code, out, errs := l.call("", seed...); code != 1 || !strings.Contains(out, "Stopped: ") {
		t.Fatalf("got exit code %d and\n%s%s", code, out, errs)
	}
	_, errs, _ := l.call("", "run", "list", "--json")
	var listed runs.Run
	if err := json.Unmarshal([]byte(errs), &listed); err != nil {
		t.Fatal(err)
	}
	_, out, errs := l.call("", seed...)
	for _, verb := range []string{"retry", "resume", "cancel"} {
		if want := `notes --data='it'\''s here' run ` + verb + " " + listed.ID; !strings.Contains(errs, want) {
			t.Errorf("got\n%s%s\nwant %s", out, errs, want)
		}
	}
	if !strings.Contains(errs, "--new") {
		t.Errorf("got\n%s, want --new", errs)
	}
	if _, out, _ := l.call("", "run", "show", listed.ID, "--data", "x"); !strings.Contains(out, "notes --data=x run show "+listed.ID+" --failed") {
		t.Errorf("got\n%s, want the command that shows the failures", out)
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

// A last result is shown again with its age, until --refresh or until this program changes
// what it is about.
func TestLastResults(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for _, tt := range []struct{ args, want, not string }{
		{"tenant create acme", "Made tenant", ""},
		{"db status --all", "1 of 1 tenant up to date", "ago"},
		{"db status --all", "ago; --refresh looks again", ""},
		{"db status acme", "1 of 1", "ago"}, // another question
		{"db status --all --refresh", "1 of 1", "ago"},
		{"db status --all --max-age 0s", "1 of 1", "ago"},
		{"db rollback acme --yes", "1 of 1", ""},
		{"db status --all", "0 of 1 tenant up to date", "ago"},
		{"db status --all --behind", "00002_b.sql", ""},
		{"audit verify", "whole", "ago"},
		{"audit verify", "ago; --refresh looks again", ""},
		{"audit verify --refresh", "whole", "ago"},
	} {
		code, out, errs := l.call("", strings.Fields(tt.args)...)
		if code != 0 || !strings.Contains(out+errs, tt.want) || tt.not != "" && strings.Contains(out+errs, tt.not) {
			t.Errorf("%s: got exit code %d and\n%s%s\nwant %q and not %q", tt.args, code, out, errs, tt.want, tt.not)
		}
	}
	if _, out, _ := l.call("", "db", "status", "--all", "--json"); !strings.Contains(out, `"as_of":"20`) {
		t.Errorf("got %s, want the time of the result", out)
	}
}

// An export goes to a file that was not there before, and only its owner reads it.
func TestExportFile(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l.call("", "tenant", "create", "acme")
	if code, out, errs := l.call("", "audit", "export", file, "--checkpoints", file+".sums"); code != 0 || !strings.Contains(out, "Wrote") {
		t.Fatalf("got exit code %d and %s%s", code, out, errs)
	}
	data, err := os.ReadFile(file) // the test's own
	if err != nil || !strings.Contains(string(data), "tenant.create") {
		t.Errorf("got %s, %v", data, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want a file for its owner", info, err)
	}
	if code, _, errs := l.call("", "audit", "export", file); code != 2 || !strings.Contains(errs, "exists") {
		t.Errorf("again: got exit code %d and %s", code, errs)
	}
}

// The application is not opened for words that nobody can offer.
func TestCompletionOpensNothingInVain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args   []string
		opened bool
	}{
		{[]string{"tenant", "create", "a"}, false},
		{[]string{"operator", "rescue", "a"}, false},
		{[]string{"tenant", "homepage", "o"}, false},
		{[]string{"tenant", "show", "a"}, true},
	} {
		opened := false
		root := cli.New(func(context.Context) (*cli.App, error) { opened = true; return nil, tenancy.ErrUnavailable }, nil)
		root.SetArgs(append([]string{"__complete"}, tt.args...))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		if code := cli.Run(t.Context(), root); code != 0 || opened != tt.opened {
			t.Errorf("%q: got exit code %d, opened %t, want %t", tt.args, code, opened, tt.opened)
		}
	}
}

// A shell is offered slugs, runs in the states that the command takes, and keys.
func TestCompletion(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for _, args := range []string{"tenant create acme", "tenant create apex", "tenant create globex", "db migrate --all", "apikey issue acme --name importer", "run plan block acme"} {
		if code, _, errs := l.call("", strings.Fields(args)...); code != 0 {
			t.Fatal(errs)
		}
	}
	for _, tt := range []struct {
		args string // before the word that is completed
		word string
		want []string // what the lines begin with or contain
		not  string
	}{
		{"tenant show", "a", []string{"acme\t", "apex\t"}, "globex"},
		{"tenant suspend acme", "", []string{"apex\t", "globex\t"}, "acme"},
		{"db migrate --tenant", "g", []string{"globex\t"}, "acme"},
		{"tenant homepage", "", []string{"on", "off"}, "acme"},
		{"tenant homepage on", "", []string{"acme\t"}, ""},
		{"run show", "", []string{"\tmigrate done", "\tblock planned"}, ""},
		{"run start", "", []string{"\tblock planned"}, "migrate"},
		{"run plan", "", []string{"migrate", "suspend"}, "acme"},
		{"run plan", "", []string{"update"}, "limit\n"}, // update does what they do
		{"run plan", "", []string{"update"}, "\nplan\n"},
		{"schedule pause", "", []string{"nightly\t"}, ""},
		{"apikey revoke acme", "", []string{"\timporter"}, "globex"},
		{"tenant create", "", nil, "acme"},
	} {
		code, out, errs := l.call("", append(append([]string{"__complete"}, strings.Fields(tt.args)...), tt.word)...)
		if code != 0 || tt.not != "" && strings.Contains(out, tt.not) {
			t.Errorf("%s: got exit code %d and %s%s, want it without %q", tt.args, code, out, errs, tt.not)
		}
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: got %s, want %q", tt.args, out, want)
			}
		}
	}
}
