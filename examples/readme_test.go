package examples_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

// The program in the README builds, runs, and does what the README says.
func TestREADME(t *testing.T) {
	t.Parallel()
	try(t, programIn(t, "../README.md"))
}

// A migration that is added to the program reaches the tenants that it has, and their records.
func TestREADMEMigration(t *testing.T) {
	t.Parallel()
	program := programIn(t, "../README.md")
	p := build(t, program)
	stop := p.start(t)
	if got := p.visit(t, "acme", "/"); got != "acme visits: 1" {
		t.Fatalf("got %q", got)
	}
	stop()
	const first, insert = `CREATE TABLE visits (path TEXT);")}`, "(path) VALUES ('/')"
	if !strings.Contains(program, first) || !strings.Contains(program, insert) {
		t.Fatal("the program is another one")
	}
	program = strings.Replace(program, first, first+`, "00002_at.sql": {Data: []byte("-- +goose Up\nALTER TABLE visits ADD at TEXT;")}`, 1)
	next := build(t, strings.Replace(program, insert, "(path, at) VALUES ('/', 'now')", 1))
	next.dir = p.dir
	next.start(t)
	if got := next.visit(t, "acme", "/"); got != "acme visits: 2" {
		t.Errorf("after the migration: got %q", got)
	}
	db, err := sqlite.Open(filepath.Join(p.dir, "data", "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	cat, err := catalog.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	if acme, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"}); err != nil || acme.SchemaVersion != 2 {
		t.Errorf("got the record %+v, %v, want version 2 of the schema", acme, err)
	}
}

// The program builds with the console that the README adds, and does the same.
func TestREADMEConsole(t *testing.T) {
	t.Parallel()
	program := programIn(t, "../README.md")
	program = put(t, program, blockIn(t, "../README.md", "trail := "), "db := tenancy.Must(sqlite.Open(\"data/catalog.db\"))\n", "\tif err := cat.Migrate(ctx)")
	program = put(t, program, strings.ReplaceAll(blockIn(t, "../README.md", "tasks := "), "127.0.0.1:8081", "127.0.0.1:0"), "since it was made\n\t\t\tlog.Fatal(err)\n\t\t}\n\t}\n", "\n\tvisits := ")
	try(t, imported(program, "admin", "admin/ui", "catalog/audit", "maintenance", "maintenance/runs"))
}

// The program builds with the chain that the README recommends, and asks for a key.
func TestREADMEStandard(t *testing.T) {
	t.Parallel()
	program := put(t, programIn(t, "../README.md"), blockIn(t, "../README.md", "records := "), "[]string{\"localhost\"}, nil))\n", "}\n")
	p := build(t, imported(program, "catalog/cache", "maintenance"))
	p.start(t)
	for _, want := range []string{"acme 401", "globex 401", "nobody 404"} {
		slug, _, _ := strings.Cut(want, " ")
		if got := p.visit(t, slug, "/"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	key, ok := strings.CutPrefix(<-p.lines, "key: ")
	if got := p.visit(t, "acme", "/", "X-API-Key", key); !ok || got != "acme visits: 1" {
		t.Errorf("with the key: got %q, want the page", got)
	}
}

// The program builds with the reports that the README adds, and says what a tenant used.
func TestREADMEUsage(t *testing.T) {
	t.Parallel()
	program := put(t, programIn(t, "../README.md"), blockIn(t, "../README.md", "store := "), "middleware.Tenant(cat, bySubdomain, nil))\n", "}\n")
	p := build(t, imported(program, "analytics"))
	p.start(t)
	if got := p.visit(t, "acme", "/"); got != "acme visits: 1" {
		t.Fatalf("got %q", got)
	}
	want := regexp.MustCompile(`^acme \d+ [\d.]+[µm]?s ±9 %$`)
	got := ""
	for until := time.Now().Add(10 * time.Minute); !want.MatchString(got) && time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		got = p.visit(t, "acme", "/usage")
	}
	if !want.MatchString(got) {
		t.Errorf("got %q, want it to match %s", got, want)
	}
}

// put puts lines into a program, between two of its own.
func put(t *testing.T, program, block, after, until string) string {
	t.Helper()
	before, rest, ok := strings.Cut(program, after)
	_, behind, found := strings.Cut(rest, until)
	if !ok || !found {
		t.Fatalf("the program has no %q before %q", after, until)
	}
	return before + after + block + until + behind
}

// imported adds imports of packages of the library to a program.
func imported(program string, packages ...string) string {
	text := "import (\n"
	for _, name := range packages {
		text += "\t\"github.com/artflow-studio/tenancy/" + name + "\"\n"
	}
	return strings.Replace(program, "import (\n", text, 1)
}

// try builds a program, and does what the README says.
func try(t *testing.T, program string) {
	t.Helper()
	p := build(t, program)
	for _, run := range [][]string{
		{"acme visits: 1", "acme visits: 2", "globex visits: 1", "nobody 404"},
		{"acme visits: 3", "globex visits: 2"}, // started again
	} {
		stop := p.start(t)
		for _, want := range run {
			slug, _, _ := strings.Cut(want, " ")
			if got := p.visit(t, slug, "/"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		stop()
	}
}

// process is a program that was built, and perhaps runs.
type process struct {
	addr, dir, bin string
	lines          chan string // what it prints
}

// build builds a program that listens on a port of its own.
func build(t *testing.T, program string) *process {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	dir := t.TempDir()
	source, bin := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(source, []byte(strings.ReplaceAll(program, "127.0.0.1:8080", addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return &process{addr, dir, bin, make(chan string, 10)}
}

// start starts the program, which ends with the test unless stop is called before.
func (p *process) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, p.bin)
	cmd.Dir, cmd.Stderr = p.dir, os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case p.lines <- lines.Text():
			default: // nobody asked for so many
			}
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended; _ = cmd.Wait() })
	t.Cleanup(stop)
	return stop
}

// The program in docs/production.md builds, and passes vet.
func TestProduction(t *testing.T) {
	t.Parallel()
	vet(t, programIn(t, "../docs/production.md"))
}

// vet has a program built and looked at.
func vet(t *testing.T, program string) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "vet", source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// The program in docs/commands.md builds, and works on the data of its service.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source, bin := filepath.Join(dir, "main.go"), filepath.Join(dir, "notesctl")
	files := filepath.Join(dir, "migrations")
	if err := errors.Join(os.Mkdir(files, 0o700), os.WriteFile(filepath.Join(files, "00001_notes.sql"), []byte("-- +goose Up\nCREATE TABLE notes (text TEXT);"), 0o600),
		os.WriteFile(source, []byte(programIn(t, "../docs/commands.md")), 0o600)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, tt := range []struct{ args, want string }{
		{"tenant create acme", `on server "sqlite"`},
		{"db migrate --all", "1 of 1 tenant done"},
		{"apikey issue acme", "notes_"},
		{"tenant suspend acme", "1 of 1 tenant done"},
		{"tenant list", "suspended"},
		{"doctor", "nothing is wrong"},
	} {
		cmd := exec.CommandContext(t.Context(), bin, strings.Fields(tt.args)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: got %v and\n%s\nwant %q", tt.args, err, out, tt.want)
		}
	}
}

// programIn returns the first program in a page.
func programIn(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page) // a page of the repository
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```go\n")
	program, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatalf("got no program in %s", page)
	}
	return program
}

// blockIn returns the lines of Go in a page that begin with these words.
func blockIn(t *testing.T, page, begin string) string {
	t.Helper()
	text, err := os.ReadFile(page) // a page of the repository
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```go\n"+begin)
	block, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatalf("got no lines in %s that begin with %q", page, begin)
	}
	return begin + block
}

// visit asks for a page of a tenant, as soon as the program listens.
func (p *process) visit(t *testing.T, slug, path string, header ...string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = slug + ".localhost:8080"
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	for until := time.Now().Add(10 * time.Minute); err != nil && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		res, err = http.DefaultClient.Do(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Sprint(slug, " ", res.StatusCode)
	}
	return slug + " " + strings.TrimSpace(string(body))
}
