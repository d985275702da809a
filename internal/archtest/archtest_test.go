// Package archtest holds the rules on which package may import which, and a
// test that enforces them on the files of the module.
package archtest

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/artflow-studio/tenancy"

// Why an import is refused.
const (
	rootStd      = "the root imports the standard library only"
	examplesUse  = "nobody imports examples"
	testsOnly    = "only tests import it"
	noTesting    = "only tests, tenancytest and internal/testserver import testing"
	publicOnly   = "examples import public packages only"
	internalUses = "internal imports the root and internal only"
	peers        = "peers do not import each other"
	unknownRoom  = "no rule for this folder"
	upwards      = "what is below does not import what is above it"
	driverOnly   = "engines and what is below the pool do not import the pool"
	poolInside   = "only the pool imports what it is made of"
	noDatabase   = "who gets the next connection is decided without knowing a database"
)

// rooms are the peers: they import the root, internal, their own subtree and
// the rooms that are listed.
var rooms = map[string][]string{
	"resolver": nil, "dbpool": nil, "catalog": nil, "maintenance": nil, "analytics": nil, "backup": nil,
	"middleware": {"resolver"},
}

// above names, for folders whose place inside their room matters, the packages of the room that they do not import: those that build on them.
var above = map[string][]string{
	"maintenance/runs":   {"maintenance/lifecycle", "maintenance/migrate", "maintenance/riverrun", "maintenance/runredis"},
	"catalog/audit":      {"catalog", "catalog/cache", "catalog/stream"},
	"middleware/session": {"middleware"},
	"internal/problem":   {"internal/rediskit", "internal/sqlkit"},
}

// inside names what package dbpool is made of, and who imports that.
var inside = map[string][]string{
	"dbpool/internal/sched":   {"dbpool", "dbpool/internal/wire"},
	"dbpool/internal/wire":    {"dbpool"},
	"dbpool/internal/sqltext": {"dbpool", "dbpool/internal/wire"},
}

// violation says why a file of the package in dir, "." for the root, may not
// import that path, or returns "". A test file is one that ends in _test.go.
func violation(dir, importPath string, testFile bool) string {
	room, _, _ := strings.Cut(dir, "/")
	target, own := strings.CutPrefix(importPath, module+"/")
	own = own || importPath == module
	if importPath == module {
		target = "."
	}
	to, _, _ := strings.Cut(target, "/")
	within := func(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }

	if own && to == "examples" {
		return examplesUse
	}
	if testFile {
		return ""
	}
	if within(importPath, "testing") && room != "tenancytest" && !within(dir, "internal/testserver") {
		return noTesting
	}
	if room == "." {
		if first, _, _ := strings.Cut(importPath, "/"); own || strings.Contains(first, ".") {
			return rootStd
		}
		return ""
	}
	peersOf, isRoom := rooms[room]
	if !isRoom && !slices.Contains([]string{"internal", "admin", "tenancytest", "examples"}, room) {
		return unknownRoom
	}
	if dir == "dbpool/internal/sched" && (within(importPath, "database/sql") || target == "dbpool/driver") {
		return noDatabase
	}
	if !own {
		return ""
	}
	if by, ok := inside[target]; ok && to == room && !slices.Contains(by, dir) {
		return poolInside
	}
	if slices.Contains(above[dir], target) {
		return upwards
	}
	if within(dir, "internal/bench") { // programs that measure the others
		return ""
	}
	if room != "tenancytest" && (to == "tenancytest" || within(target, "internal/testserver") && !within(dir, "internal/testserver")) {
		return testsOnly
	}
	if target == "dbpool" && belowPool(dir) {
		return driverOnly
	}
	switch {
	case room == "admin" || room == "tenancytest" || to == ".":
		return ""
	case room == "examples" && slices.Contains(strings.Split(target, "/"), "internal"):
		return publicOnly
	case room == "examples" || to == "internal" || to == room:
		return ""
	case room == "internal":
		return internalUses
	case !slices.Contains(peersOf, to):
		return peers
	}
	return ""
}

// belowPool reports whether a folder has what package dbpool is made of, or an engine.
func belowPool(dir string) bool {
	for _, below := range []string{"dbpool/driver", "dbpool/internal", "dbpool/mysql", "dbpool/postgres", "dbpool/sqlite"} {
		if dir == below || strings.HasPrefix(dir, below+"/") {
			return true
		}
	}
	return false
}

// walk applies the rules to all Go files under root and returns what it found
// as "file imports path: why", in the order of the files. It skips what the go
// command skips, testdata and hidden folders, but not nested modules: the same rules hold in them.
func walk(root fs.FS) (findings []string, packages int, err error) {
	seen := map[string]bool{}
	err = fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		skip := name != "." && (name[0] == '.' || name[0] == '_')
		if d.IsDir() {
			if skip || name == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if skip || path.Ext(name) != ".go" {
			return nil
		}
		src, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		seen[path.Dir(file)] = true
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if why := violation(path.Dir(file), imported, strings.HasSuffix(name, "_test.go")); why != "" {
				findings = append(findings, fmt.Sprintf("%s imports %s: %s", file, imported, why))
			}
		}
		return nil
	})
	if err == nil && len(seen) == 0 {
		err = errors.New("walked no packages")
	}
	return findings, len(seen), err
}

func TestImports(t *testing.T) {
	t.Parallel()
	root := os.DirFS(filepath.Join("..", ".."))
	if mod, err := fs.ReadFile(root, "go.mod"); err != nil || !strings.HasPrefix(string(mod), "module "+module+"\n") {
		t.Fatalf("go.mod: got %.80q, %v, want the module %s", mod, err, module)
	}
	findings, packages, err := walk(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
	t.Logf("%d packages", packages)
}

func TestViolation(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		dir, imports string // of the module when it begins with a slash
		want         string
	}{
		{".", "net/http", ""},
		{".", "github.com/google/uuid", rootStd},
		{".", "golang.org/x/net/idna", rootStd},
		{".", "/internal/hostname", rootStd},
		{".", "/resolver", rootStd},
		{".", "testing", noTesting},

		{"internal/hostname", "/", ""},
		{"internal/hostname", "golang.org/x/net/idna", ""},
		{"internal/sqlkit", "/internal/hostname", ""},
		{"internal/sqlkit", "/catalog", internalUses},
		{"internal/sqlkit", "/dbpool/postgres", internalUses},
		{"internal/sqlkit", "/tenancytest", testsOnly},
		{"internal/sqlkit", "/internal/testserver", testsOnly},
		{"internal/sqlkit", "testing", noTesting},
		{"internal/testserver", "testing", ""},
		{"internal/bench/pools", "/dbpool/postgres", ""},
		{"internal/bench/pools", "testing", noTesting},
		{"internal/bench2", "/dbpool", internalUses},
		{"internal/testserver", "github.com/jackc/pgx/v5", ""},
		{"internal/testserver", "/internal/testserver/x", ""},
		{"internal/testserver", "/dbpool", internalUses},
		{"internal/testserver2", "testing", noTesting},

		{"analytics", "/internal/witness", ""},
		{"analytics", "/internal/sqlkit", ""},
		{"analytics", "/catalog", peers},
		{"analytics", "/dbpool", peers},
		{"analytics", "/middleware", peers},
		{"analytics", "/admin", peers},
		{"analytics", "/tenancytest", testsOnly},
		{"dbpool", "/analytics", peers},
		{"middleware", "/analytics", peers},
		{"internal/witness", "/", ""},
		{"internal/witness", "/analytics", internalUses},
		{"admin", "/analytics", ""},
		{"examples/usage", "/analytics", ""},
		{"examples/usage", "/internal/witness", publicOnly},

		{"resolver", "/", ""},
		{"resolver", "/internal/hostname", ""},
		{"resolver", "golang.org/x/net/idna", ""},
		{"resolver", "/resolver/x", ""},
		{"resolver/x", "/resolver", ""},
		{"resolver", "/middleware", peers},
		{"resolver", "/resolver2", peers},
		{"resolver", "/admin", peers},
		{"resolver", "/examples/quickstart", examplesUse},
		{"resolver", "/tenancytest", testsOnly},
		{"resolver", "/internal/testserver", testsOnly},
		{"resolver", "testing/iotest", noTesting},
		{"resolver", "testingx", ""},
		{"dbpool", "/catalog", peers},
		{"dbpool/postgres", "/dbpool", driverOnly},
		{"dbpool/postgres", "/dbpool/driver", ""},
		{"dbpool/internal/sqltext", "/dbpool", driverOnly},
		{"dbpool/driver", "/dbpool", driverOnly},
		{"dbpool/internal/sched", "/dbpool", driverOnly},
		{"dbpool/internal/sched", "/dbpool/driver", noDatabase},
		{"dbpool/internal/sched", "database/sql", noDatabase},
		{"dbpool/internal/sched", "database/sql/driver", noDatabase},
		{"dbpool/internal/sched", "/dbpool/internal/wire", poolInside},
		{"dbpool/internal/sched", "/dbpool/internal/sqltext", poolInside},
		{"dbpool/internal/sched", "/internal/nextuse", ""},
		{"dbpool/internal/sched", "/", ""},
		{"dbpool/internal/wire", "/dbpool", driverOnly},
		{"dbpool/internal/wire", "/dbpool/internal/sched", ""},
		{"dbpool/internal/wire", "/dbpool/internal/sqltext", ""},
		{"dbpool/internal/wire", "/dbpool/driver", ""},
		{"dbpool/internal/wire", "database/sql/driver", ""},
		{"dbpool/internal/sqltext", "/dbpool/internal/wire", poolInside},
		{"dbpool/driver", "/dbpool/internal/sched", poolInside},
		{"dbpool/mysql", "/dbpool/internal/wire", poolInside},
		{"dbpool/lease", "/dbpool/internal/sched", poolInside},
		{"dbpool", "/dbpool/internal/sched", ""},
		{"dbpool", "/dbpool/internal/wire", ""},
		{"dbpool/lease", "/dbpool", ""},
		{"dbpool", "/dbpool/driver", ""},
		{"dbpool/postgres", "github.com/jackc/pgx/v5", ""},
		{"dbpool/postgres", "/maintenance", peers},
		{"catalog", "/dbpool", peers},
		{"catalog", "github.com/artflow-studio/tenancy2", ""},
		{"maintenance", "/catalog", peers},
		{"maintenance/migrate", "/internal/sqlkit", ""},
		{"maintenance/migrate", "/dbpool", peers},
		{"analytics/quota", "/analytics", ""},
		{"analytics/quota", "/backup", peers},
		{"backup", "/dbpool", peers},
		{"backup/engine/postgres", "/backup", ""},

		{"middleware", "/resolver", ""},
		{"middleware", "/resolver/x", ""},
		{"middleware/ratelimit", "/resolver", ""},
		{"middleware/ratelimit", "/middleware", ""},
		{"middleware", "/internal/hostname", ""},
		{"middleware", "/catalog", peers},
		{"middleware", "/admin", peers},

		{"admin", "/catalog", ""},
		{"admin/ui", "/middleware", ""},
		{"admin", "/internal/sqlkit", ""},
		{"admin/auth", "/tenancytest", testsOnly},
		{"admin", "/examples/admin", examplesUse},
		{"admin/cli", "testing", noTesting},

		{"tenancytest", "/admin/auth", ""},
		{"tenancytest", "/internal/testserver", ""},
		{"tenancytest", "testing", ""},
		{"tenancytest/x", "/tenancytest", ""},
		{"tenancytest", "/examples/quickstart", examplesUse},

		{"examples/quickstart", "/", ""},
		{"examples/quickstart", "/dbpool/postgres", ""},
		{"examples/admin", "/admin/ui", ""},
		{"examples/quickstart", "/internal/sqlkit", publicOnly},
		{"examples/quickstart", "/dbpool/internal/x", publicOnly},
		{"examples/quickstart", "/tenancytest", testsOnly},
		{"examples/quickstart", "/examples/admin", examplesUse},
		{"examples/quickstart", "testing", noTesting},

		{"maintenance/lifecycle", "/maintenance/runs", ""},
		{"maintenance/runs", "/maintenance/lifecycle", upwards},
		{"maintenance/runs", "/maintenance/migrate", upwards},
		{"maintenance/riverrun", "/maintenance/runs", ""},
		{"maintenance/riverrun", "/dbpool", peers},
		{"dbpool", "/dbpool/driver", ""},
		{"catalog", "/catalog/audit", ""},
		{"catalog/audit", "/catalog", upwards},
		{"middleware/session", "/middleware", upwards},
		{"maintenance/drainredis", "/maintenance", ""},
		{"maintenance/drainredis", "/catalog", peers},
		{"catalog/stream", "/dbpool", peers},
		{"internal/ipnet", "/resolver", internalUses},
		{"internal/signed", "/middleware", internalUses},

		{"util", "/", unknownRoom},
		{"util", "fmt", unknownRoom},
	} {
		imports := tt.imports
		if rest, ok := strings.CutPrefix(imports, "/"); ok {
			imports = strings.TrimSuffix(module+"/"+rest, "/")
		}
		if got := violation(tt.dir, imports, false); got != tt.want {
			t.Errorf("%s imports %s: got %q, want %q", tt.dir, imports, got, tt.want)
		}
		want := "" // a test may do all but one thing
		if tt.want == examplesUse {
			want = examplesUse
		}
		if got := violation(tt.dir, imports, true); got != want {
			t.Errorf("a test in %s imports %s: got %q, want %q", tt.dir, imports, got, want)
		}
	}
}

// write makes a file that imports the paths.
func write(t *testing.T, root, file string, imports ...string) {
	t.Helper()
	var src strings.Builder
	src.WriteString("//go:build never\n\npackage x\n\nimport (\n")
	for _, p := range imports {
		fmt.Fprintf(&src, "\t_ %q\n", p)
	}
	src.WriteString(")\n")
	name := filepath.Join(root, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(src.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// innocent writes a tree without a violation, and returns its root and the
// number of its packages.
func innocent(t *testing.T) (root string, packages int) {
	t.Helper()
	root = t.TempDir()
	write(t, root, "tenancy.go", "fmt", "log/slog")
	write(t, root, "tenancy_test.go", "testing", module+"/tenancytest", "github.com/google/go-cmp/cmp")
	write(t, root, "resolver/resolver.go", module, module+"/internal/hostname", "golang.org/x/net/idna")
	write(t, root, "middleware/middleware.go", module+"/resolver")
	write(t, root, "middleware/middleware_test.go", module+"/dbpool", module+"/internal/testserver")
	write(t, root, "admin/admin.go", module+"/middleware", module+"/dbpool/postgres")
	write(t, root, "tenancytest/tenancytest.go", "testing", module+"/dbpool", module+"/internal/testserver")
	write(t, root, "internal/testserver/testserver.go", "testing", "github.com/jackc/pgx/v5")
	write(t, root, "examples/quickstart/main.go", module+"/middleware")
	write(t, root, "backup/cloud/cloud.go", module+"/backup", "github.com/aws/aws-sdk-go-v2/aws") // a module of its own
	packages = 8
	// Skipped, and each with a violation.
	for _, folder := range []string{"resolver/testdata", "resolver/testdata/deep", ".hidden", "_old"} {
		write(t, root, folder+"/bad.go", module+"/examples/quickstart")
	}
	write(t, root, "resolver/_bad.go", module+"/dbpool")
	write(t, root, "resolver/bad.txt", module+"/dbpool")
	for _, gomod := range []string{"go.mod", "backup/cloud/go.mod"} {
		if err := os.WriteFile(filepath.Join(root, gomod), []byte("module x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root, packages
}

func TestWalkFindsNothingInInnocence(t *testing.T) {
	t.Parallel()
	root, want := innocent(t)
	if findings, packages, err := walk(os.DirFS(root)); len(findings) != 0 || packages != want || err != nil {
		t.Errorf("got %q in %d packages, %v, want nothing in %d", findings, packages, err, want)
	}
}

func TestWalkFindsEachPlantedViolation(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, imports, why string }{
		{"planted.go", "github.com/google/uuid", rootStd},
		{"planted.go", module + "/internal/hostname", rootStd},
		{"planted.go", module + "/resolver", rootStd},
		{"internal/hostname/planted.go", module + "/catalog", internalUses},
		{"resolver/planted.go", module + "/dbpool", peers},
		{"dbpool/sqlite/planted.go", module + "/catalog", peers},
		{"dbpool/sqlite/planted.go", module + "/dbpool", driverOnly},
		{"dbpool/sqlite/planted.go", module + "/dbpool/internal/wire", poolInside},
		{"dbpool/internal/sched/planted.go", module + "/dbpool/driver", noDatabase},
		{"dbpool/internal/sched/planted.go", "database/sql/driver", noDatabase},
		{"dbpool/internal/sched/planted.go", module + "/dbpool/internal/wire", poolInside},
		{"dbpool/internal/wire/planted.go", module + "/dbpool", driverOnly},
		{"catalog/planted.go", module + "/middleware", peers},
		{"maintenance/migrate/planted.go", module + "/dbpool", peers},
		{"analytics/planted.go", module + "/maintenance", peers},
		{"backup/planted.go", module + "/admin", peers},
		{"middleware/ratelimit/planted.go", module + "/catalog", peers},
		{"backup/cloud/planted.go", module + "/catalog", peers},
		{"backup/cloud/s3/planted.go", module + "/examples/quickstart", examplesUse},
		{"maintenance/runs/planted.go", module + "/maintenance/lifecycle", upwards},
		{"internal/signed/planted.go", module + "/middleware", internalUses},
		{"admin/planted.go", module + "/examples/quickstart", examplesUse},
		{"admin/planted_test.go", module + "/examples/quickstart", examplesUse},
		{"tenancytest/planted.go", module + "/examples/quickstart", examplesUse},
		{"admin/planted.go", module + "/tenancytest", testsOnly},
		{"examples/quickstart/planted.go", module + "/tenancytest", testsOnly},
		{"dbpool/planted.go", module + "/internal/testserver", testsOnly},
		{"examples/quickstart/planted.go", module + "/internal/hostname", publicOnly},
		{"resolver/planted.go", "testing", noTesting},
		{"internal/sqlkit/planted.go", "testing/fstest", noTesting},
		{"helpers/planted.go", "fmt", unknownRoom},
	} {
		root, _ := innocent(t)
		write(t, root, tt.file, "fmt", tt.imports)
		want := []string{tt.file + " imports " + tt.imports + ": " + tt.why}
		if tt.imports == "fmt" {
			want = append(want, want[0]) // "fmt" stands there twice
		}
		if got, _, err := walk(os.DirFS(root)); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestWalkFailsWithoutPackages(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, "testdata/x.go", "fmt")
	if findings, packages, err := walk(os.DirFS(root)); err == nil || packages != 0 {
		t.Errorf("got %q in %d packages, %v, want an error", findings, packages, err)
	}
	if _, _, err := walk(os.DirFS(filepath.Join(root, "missing"))); err == nil {
		t.Error("a folder that is not there: got no error, want one")
	}
	write(t, root, "broken.go")
	if err := os.WriteFile(filepath.Join(root, "broken.go"), []byte("package x\nimport (\"fmt\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := walk(os.DirFS(root)); err == nil {
		t.Error("a file that does not parse: got no error, want one")
	}
}
