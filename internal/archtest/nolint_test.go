package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// standardLinters are those that golangci-lint runs by default.
var standardLinters = []string{"errcheck", "govet", "ineffassign", "staticcheck", "unused"}

// Comments that switch a linter off, and those of the configuration that switch one on.
var (
	nolint  = regexp.MustCompile(`//nolint:([a-z0-9,]+)`)
	enabled = regexp.MustCompile(`(?m)^    - ([a-z0-9]+)$`)
)

// idleNolints returns the linters that a text switches off and nobody has switched on.
func idleNolints(text string, on []string) (idle []string) {
	for _, m := range nolint.FindAllStringSubmatch(text, -1) {
		for name := range strings.SplitSeq(m[1], ",") {
			if !slices.Contains(on, name) {
				idle = append(idle, name)
			}
		}
	}
	return idle
}

// A comment that switches off a linter which is not on says nothing.
func TestNolintNamesLintersThatAreOn(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	config, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	on := slices.Clone(standardLinters)
	for _, m := range enabled.FindAllSubmatch(config, -1) {
		on = append(on, string(m[1]))
	}
	if !slices.Contains(on, "sqlclosecheck") {
		t.Fatalf("got the linters %q, want those of the configuration", on)
	}
	err = fs.WalkDir(os.DirFS(root), ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || filepath.Ext(file) != ".go" && !d.IsDir():
			return err
		case d.IsDir():
			if name := d.Name(); name != "." && (name[0] == '.' || name == "node_modules" || file == "internal/archtest") {
				return fs.SkipDir
			}
			return nil
		}
		src, err := os.ReadFile(filepath.Join(root, file))
		for _, name := range idleNolints(string(src), on) {
			t.Errorf("%s: nolint:%s, which is not on: give the reason in a plain comment", file, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestIdleNolints(t *testing.T) {
	t.Parallel()
	if got := idleNolints("a() //nolint:gosec,errcheck // b\n//nolint:errcheck\n//nolint:noctx", standardLinters); !slices.Equal(got, []string{"gosec", "noctx"}) {
		t.Errorf("got %q, want gosec and noctx", got)
	}
}
