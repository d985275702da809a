package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/cli"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance/drainredis"
	"github.com/artflow-studio/tenancy/maintenance/runredis"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// build returns the program.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "tenantctl")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return bin
}

// migrations writes a folder with these files' contents.
func migrations(t *testing.T, contents ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, text := range contents {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d_step.sql", i+1)), []byte("-- +goose Up\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fleet makes tenants t-000, t-001 … in a new folder.
func fleet(t *testing.T, migrations string, n int) (data string) {
	t.Helper()
	data = t.TempDir()
	app, err := open(t.Context(), places{data: data, migrations: migrations})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = app.Close() }()
	for i := range n {
		if _, err := app.Lifecycle.Create(t.Context(), &tenancy.Tenant{Slug: fmt.Sprintf("t-%03d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

const (
	countTable = "CREATE TABLE counted (n INTEGER);"
	// countOnce counts, and takes some milliseconds.
	countOnce = "INSERT INTO counted SELECT 1 FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 50000) SELECT max(i) FROM n);"
)

// The first two commands of the README, and what they answer.
func TestCommands(t *testing.T) {
	t.Parallel()
	bin, data := build(t), t.TempDir()
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"tenant create acme --plan pro", 0, "Made tenant acme"},
		{"tenant create acme", 1, "exists already"},
		{"tenant create -- -acme", 2, "invalid"},
		{"db migrate --all", 0, "1 of 1 tenant done"},
		{"db migrate acme --dry-run", 0, "acme"},
		{"db migrate", 2, "say which tenants"},
		{"db migrate nobody", 2, "no tenant has"},
		{"db migrate --all --waves 0", 2, "wave of no tenants"},
		{"db fly", 2, "unknown command"},
		{"tenant list --oh", 2, "unknown flag"},
		{"tenant show acme", 0, "pro"},
		{"tenant show", 2, "accepts 1 arg"},
		{"tenant list --where status:active", 0, "acme"},
		{"tenant list --where status:happy", 2, "happy"},
		{"run list", 0, "migrate"},
		{"run show nothing", 2, "not found"},
		{"--catalog postgres://nobody@127.0.0.1:1/control tenant list", 3, "unavailable"},
	} {
		cmd := exec.CommandContext(t.Context(), bin, append([]string{"-data", data}, strings.Fields(tt.args)...)...)
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: got exit code %d (%v) and\n%s\nwant %d and %q", tt.args, code, err, out, tt.code, tt.want)
		}
	}
}

// A program that is killed in the middle of many tenants goes on where it was
// when it is called again, and migrates each once.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	n := 200
	if testing.Short() {
		n = 40
	}
	bin := build(t)
	data := fleet(t, migrations(t, countTable), n)
	command := func() *exec.Cmd {
		return exec.CommandContext(t.Context(), bin, "-data", data, "-migrations", migrations(t, countTable, countOnce), "db", "migrate", "--all", "--json", "--parallel", "2")
	}
	first := command()
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	before := runs.Progress{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if err := json.Unmarshal(lines.Bytes(), &before); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		if before.Done >= 10 {
			if err := first.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	_ = first.Wait()
	if before.Done < 10 || before.Done >= n {
		t.Fatalf("got %d tenants done before the end, want it in the middle", before.Done)
	}

	var stderr bytes.Buffer
	second := command()
	second.Stderr = &stderr
	answer, err := second.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(string(answer)), "\n")
	after := runs.Progress{}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &after); err != nil {
		t.Fatal(err)
	}
	if after.ID != before.ID || after.State != runs.StateDone || after.Done != n || !strings.Contains(stderr.String(), "Going on") {
		t.Errorf("got %+v and %q, want the first run done", after, stderr.String())
	}
	app, err := open(t.Context(), places{data: data})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = app.Close() }()
	all, err := app.Catalog.List(t.Context(), tenancy.Filter{Limit: 1000})
	if err != nil || len(all) != n {
		t.Fatalf("got %d tenants, %v", len(all), err)
	}
	for _, each := range all {
		if got := counted(t, filepath.Join(data, "tenants", each.Placement.Database+".db")); got != 1 {
			t.Errorf("%s: migrated %d times, want once", each.Slug, got)
		}
	}
}

func counted(t *testing.T, path string) (n int) {
	t.Helper()
	db, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Get(&n, `SELECT COUNT(*) FROM counted`); err != nil {
		t.Fatal(err)
	}
	return n
}

// The list of failures, and what to do about them.
func TestFailures(t *testing.T) {
	t.Parallel()
	good := migrations(t, "CREATE TABLE notes (id INTEGER);")
	bad := migrations(t, "CREATE TABLE notes (id INTEGER);", "CREATE UNIQUE INDEX notes_id ON notes (id);")
	data := fleet(t, good, 5)
	app, err := open(t.Context(), places{data: data})
	if err != nil {
		t.Fatal(err)
	}
	broken, err := app.Catalog.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "t-003"})
	if err = errors.Join(err, app.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(filepath.Join(data, "tenants", broken.Placement.Database+".db"))
	if err != nil {
		t.Fatal(err)
	}
	db.MustExec(`INSERT INTO notes (id) VALUES (1), (1)`)
	where := places{data: data, migrations: bad}
	code, out := call(t, where, "db", "migrate", "--all")
	if code != 1 || !strings.Contains(out, "4 of 5 tenants done, 1 failed") || !strings.Contains(out, "t-003") || !strings.Contains(out, "UNIQUE") {
		t.Errorf("got exit code %d and\n%s", code, out)
	}
	db.MustExec(`DELETE FROM notes`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, id, _ := strings.Cut(out, "run retry ")
	if code, out := call(t, where, "run", "retry", strings.TrimSpace(id)); code != 0 || !strings.Contains(out, "5 of 5 tenants done") {
		t.Errorf("retry: got exit code %d and\n%s", code, out)
	}
}

// Changes by the command line have events. One that an instance refuses is listed and given up, also when its tenant is gone; not while the catalog
// does not answer.
func TestEvents(t *testing.T) {
	t.Parallel()
	where := places{data: t.TempDir()}
	for _, args := range [][]string{{"tenant", "create", "acme"}, {"tenant", "create", "globex"}, {"tenant", "archive", "globex", "--yes"}, {"tenant", "purge", "globex", "--yes", "--now", "--reason", "a test"}} {
		if code, out := call(t, where, args...); code != 0 {
			t.Fatalf("%q: got exit code %d and\n%s", args, code, out)
		}
	}
	db, err := catalogDatabase(where)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	box, err := catalog.NewOutbox(db, &catalog.OutboxOptions{RetryFrom: time.Hour, Deliver: func(context.Context, catalog.Event) error { return errors.New("no") }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- box.Run(ctx) }()
	var stuck []catalog.StuckEvent
	for end := time.Now().Add(10 * time.Minute); len(stuck) < 2; time.Sleep(10 * time.Millisecond) {
		if stuck, err = box.Stuck(t.Context()); err != nil || time.Now().After(end) {
			t.Fatalf("got %+v, %v, want the first events of both tenants", stuck, err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, each := range stuck {
		id := string(each.Event.Tenant)
		if code, out := call(t, where, "event", "stuck"); code != 0 || !strings.Contains(out, each.Event.ID) {
			t.Errorf("got exit code %d and\n%s\nwant the event of %s", code, out, id)
		}
		if code, out := call(t, where, "--catalog", "postgres://nobody@127.0.0.1:1/control", "event", "skip", id, each.Event.ID, "--yes"); code != 3 {
			t.Errorf("without the catalog: got exit code %d and\n%s", code, out)
		}
		if code, out := call(t, where, "event", "skip", id, each.Event.ID, "--yes", "--reason", "a test"); code != 0 {
			t.Errorf("skip %s: got exit code %d and\n%s", id, code, out)
		}
	}
	if code, out := call(t, where, "event", "stuck"); code != 0 || !strings.Contains(out, "No event is stuck") {
		t.Errorf("afterwards: got exit code %d and\n%s", code, out)
	}
}

// Maintenance of the whole service leaves entries that say who and what.
func TestServiceMaintenanceIsAudited(t *testing.T) {
	t.Parallel()
	where := places{data: fleet(t, "", 0)}
	for _, step := range []struct{ did, action string }{{"on", "maintenance.begin"}, {"off", "maintenance.end"}} {
		if code, out := call(t, where, "maintenance", step.did, "--service", "--yes"); code != 0 {
			t.Fatalf("%s: got exit code %d and\n%s", step.did, code, out)
		}
		code, out := call(t, where, "audit", "list", "--limit", "1", "--json")
		var e tenancy.Entry
		if err := json.Unmarshal([]byte(out), &e); err != nil || code != 0 {
			t.Fatalf("got exit code %d, %v and\n%s", code, err, out)
		}
		if e.Action != step.action || e.Actor.Kind != tenancy.ActorCommandLine || len(e.Changes) == 0 {
			t.Errorf("%s: got %+v, want %s by the command line, with what changed", step.did, e, step.action)
		}
	}
}

// Help shows no password that the environment holds.
func TestHelpHidesPasswords(t *testing.T) {
	for _, name := range []string{"TENANTCTL_CATALOG", "TENANTCTL_SERVER", "TENANTCTL_REDIS"} {
		t.Setenv(name, "redis://ann:hunter2@db.example:6379")
	}
	for _, args := range [][]string{{"--help"}, {"tenant", "list", "--help"}, {"tenant", "list", "--oh"}} {
		if _, out := call(t, places{data: t.TempDir()}, args...); strings.Contains(out, "hunter2") {
			t.Errorf("%q: got a password in\n%s", args, out)
		}
	}
}

// With the Redis of the service, another process sees a change though its cache keeps records for an hour, does the drain that the command
// line asks for, and hears that a run was started.
func TestInstancesHearOfChanges(t *testing.T) {
	t.Parallel()
	client, _ := tenancytest.Redis(t)
	where := places{data: t.TempDir(), redis: os.Getenv(tenancytest.RedisEnv)}
	must := func(args ...string) {
		t.Helper()
		if code, out := call(t, where, args...); code != 0 {
			t.Fatalf("%q: got exit code %d and\n%s", args, code, out)
		}
	}
	must("tenant", "create", "acme")

	// The other process.
	db, err := catalogDatabase(where)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	cat, err := catalog.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := cat.Namespace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	find, err1 := cache.NewRedis(cat, client, namespace, &cache.Options{TTL: time.Hour, MaxAgeUnsynced: time.Hour})
	drains, err2 := drainredis.New(client, namespace)
	bell, err3 := runredis.New(client, namespace)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = find.Close() }()
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	working.Go(func() { _ = find.Run(ctx) })
	ready, rung := make(chan struct{}, 1), make(chan struct{}, 1)
	say := func(to chan struct{}) {
		select {
		case to <- struct{}{}:
		default:
		}
	}
	working.Go(func() { _ = bell.Listen(ctx, func() { say(ready) }, func([]byte) { say(rung) }) })
	heard := func(what string, from chan struct{}) {
		t.Helper()
		select {
		case <-from:
		case <-time.After(3 * time.Minute):
			t.Fatalf("waited in vain until %s", what)
		}
	}
	heard("the other process listens", ready)

	acme := tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"}
	until := func(what string, met func(*tenancy.Tenant) bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if found, err := find.Find(t.Context(), acme); err != nil || time.Now().After(end) {
				t.Fatalf("waited in vain until the other process sees %s: %+v, %v", what, found, err)
			} else if met(found) {
				return
			}
		}
	}
	until("that it is active", func(t *tenancy.Tenant) bool { return t.Status == tenancy.StatusActive })
	must("tenant", "suspend", "acme")
	until("that it is suspended", func(t *tenancy.Tenant) bool { return t.Status == tenancy.StatusSuspended })
	heard("a run was started", rung)

	must("maintenance", "on", "acme")
	until("its maintenance", func(t *tenancy.Tenant) bool { return t.Access.Maintenance != nil })
	drained := make(chan string, 1)
	go func() {
		code, out := call(t, where, "maintenance", "drain", "acme", "--timeout", "3m")
		drained <- fmt.Sprint(code, " ", out)
	}()
	for end := time.Now().Add(10 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		asked, err := drains.Heartbeat(t.Context(), "another")
		if err != nil || time.Now().After(end) {
			t.Fatalf("waited in vain until the command line asks for a drain: %v", err)
		}
		for _, d := range asked {
			if err := drains.Done(t.Context(), d, "another"); err != nil {
				t.Fatal(err)
			}
		}
		if len(asked) > 0 {
			break
		}
	}
	if got := <-drained; !strings.HasPrefix(got, "0 ") || !strings.Contains(got, "Drained acme") {
		t.Errorf("drain: got %s", got)
	}

	where.redis = "127.0.0.1:1"
	if code, out := call(t, where, "tenant", "list"); code != 3 || !strings.Contains(out, "--redis") {
		t.Errorf("a Redis that is down: got exit code %d and\n%s", code, out)
	}
	if code, out := call(t, where, "--redis=", "tenant", "list"); code != 0 {
		t.Errorf("without Redis: got exit code %d and\n%s", code, out)
	}
}

// call runs a command in this process.
func call(t *testing.T, where places, args ...string) (code int, out string) {
	t.Helper()
	root := command(&where)
	var buf bytes.Buffer
	root.SetArgs(args)
	root.SetOut(&buf)
	root.SetErr(&buf)
	root.SetIn(strings.NewReader(""))
	code = cli.Run(t.Context(), root)
	return code, buf.String()
}

// The reports and checks are wired.
func TestUsageAndHealth(t *testing.T) {
	t.Parallel()
	where := places{data: t.TempDir()}
	if code, out := call(t, where, "tenant", "create", "acme"); code != 0 {
		t.Fatalf("got exit code %d and\n%s", code, out)
	}
	if code, out := call(t, where, "usage", "overview"); code != 0 || !strings.Contains(out, "Requests") {
		t.Errorf("usage: got exit code %d and\n%s", code, out)
	}
	if code, out := call(t, where, "health"); code != 0 || !strings.Contains(out, "usage") || !strings.Contains(out, "locks") {
		t.Errorf("health: got exit code %d and\n%s", code, out)
	}
}
