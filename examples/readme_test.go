package examples_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The program in the README builds, runs, and does what the README says.
func TestREADME(t *testing.T) {
	t.Parallel()
	try(t, programIn(t, "../README.md"))
}

// The program builds with the console that the README adds, and does the same.
func TestREADMEConsole(t *testing.T) {
	t.Parallel()
	program := programIn(t, "../README.md")
	put := func(block, after, until string) {
		before, rest, ok := strings.Cut(program, after)
		_, behind, found := strings.Cut(rest, until)
		if !ok || !found {
			t.Fatalf("the program has no %q before %q", after, until)
		}
		program = before + after + block + until + behind
	}
	put(blockIn(t, "../README.md", "trail := "), "db := tenancy.Must(sqlite.Open(\"data/catalog.db\"))\n", "\tif err := cat.Migrate(ctx)")
	put(strings.ReplaceAll(blockIn(t, "../README.md", "runner := "), "127.0.0.1:8081", "127.0.0.1:0"), "makes it if it is missing\n\t}\n", "\n\tvisits := ")
	program = strings.Replace(program, "import (\n", `import (
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/ui"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/maintenance/runs"
`, 1)
	try(t, program)
}

// The lines about what stands in front of the handlers build, and pass vet, where the words
// that they do not explain are what the README says elsewhere.
func TestREADMEStandard(t *testing.T) {
	t.Parallel()
	vet(t, `package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

func main() {}

func serve(ctx context.Context, cat *catalog.Catalog, acme *tenancy.Tenant, resolve resolver.Resolver, mux *http.ServeMux, addr string,
	mayUse func(context.Context, *middleware.Principal, *tenancy.Tenant) error) error {
`+blockIn(t, "../README.md", "tenants, err := cache.New")+`
	// What its comments name.
	go tenants.Run(ctx)
	go issuer.Run(ctx)
	_, _, _ = gate.Tenant(acme.ID).Begin, issuer.Rotate, issuer.Revoke
	return err
}
`)
}

// try builds a program, and does what the README says.
func try(t *testing.T, program string) {
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
	for _, run := range [][]string{
		{"acme visits: 1", "acme visits: 2", "globex visits: 1", "nobody 404"},
		{"acme visits: 3", "globex visits: 2"}, // started again
	} {
		ctx, stop := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, bin)
		cmd.Dir = dir
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for _, want := range run {
			slug, _, _ := strings.Cut(want, " ")
			if got := visit(t, addr, slug); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		stop()
		_ = cmd.Wait()
	}
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

// visit asks for a tenant's page, as soon as the program listens.
func visit(t *testing.T, addr, slug string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = slug + ".localhost:8080"
	res, err := http.DefaultClient.Do(r)
	for until := time.Now().Add(3 * time.Minute); err != nil && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
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
