package examples_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// That a path or a header names a tenant says nothing about whether its sender may
// use it: every example that serves such requests asks.
func TestExamplesAuthorize(t *testing.T) {
	t.Parallel()
	programs := map[string]string{} // by name, with their text
	for _, page := range []string{"../README.md", "../docs/production.md"} {
		programs[page] = programIn(t, page)
	}
	for _, file := range glob(t, "*/*.go") {
		if !strings.HasSuffix(file, "_test.go") {
			programs[filepath.Dir(file)] += read(t, file)
		}
	}
	for _, file := range append(glob(t, "../*/*_test.go"), glob(t, "../*/*/*_test.go")...) {
		text := read(t, file)
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range parsed.Decls {
			if f, ok := each.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Example") {
				programs[file+" "+f.Name.Name] = text[f.Pos()-1 : f.End()-1]
			}
		}
	}
	found := 0
	for name, text := range programs {
		serves := strings.Contains(text, "middleware.Tenant(") || strings.Contains(text, "middleware.Optional(") || strings.Contains(text, "middleware.Standard(")
		if !serves || !strings.Contains(text, "resolver.NewPath(") && !strings.Contains(text, "resolver.NewHeader(") {
			continue
		}
		found++
		if !strings.Contains(text, "middleware.Authorize(") && !strings.Contains(text, "Authorize: ") {
			t.Errorf("%s: got a tenant named by a path or header, and no Authorize", name)
		}
	}
	if found < 4 {
		t.Errorf("got %d such examples, want those of middleware and the quickstart", found)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file) // a file of the repository
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
