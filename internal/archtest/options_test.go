package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// noDefaults returns the fields of exported types called ...Options whose comments do not name the default: as
// "line: Type.Field". A field without a comment of its own, right below another, shares that one's.
func noDefaults(file string, src []byte) (odd []string, fields int, err error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, 0, err
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || !spec.Name.IsExported() || !strings.HasSuffix(spec.Name.Name, "Options") {
			return true
		}
		options, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		comment, end := "", 0
		for _, field := range options.Fields.List {
			line := set.Position(field.Pos()).Line
			switch {
			case field.Doc != nil:
				comment = field.Doc.Text()
			case line != end+1:
				comment = ""
			}
			end = set.Position(field.End()).Line
			if len(field.Names) == 0 || !slices.ContainsFunc(field.Names, (*ast.Ident).IsExported) {
				continue // an embedded type, whose fields say it
			}
			fields++
			if !strings.Contains(comment, "efault") {
				odd = append(odd, fmt.Sprintf("%d: %s.%s", line, spec.Name.Name, field.Names[0].Name))
			}
		}
		return true
	})
	return odd, fields, nil
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	fields := 0
	root := os.DirFS(filepath.Join("..", ".."))
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if name == "testdata" || name == "internal" || name == "examples" || name != "." && (name[0] == '.' || name[0] == '_') {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		src, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		odd, n, err := noDefaults(file, src)
		fields += n
		for _, each := range odd {
			t.Errorf("%s:%s: the comment does not say the default", file, each)
		}
		return err
	})
	if err != nil || fields < 100 {
		t.Errorf("got %d fields, %v, want those of the module", fields, err)
	}
}

func TestNoDefaults(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"// A is one. Default: 1.\nA int": "",
		"// A is one.\nA int":             "3: XOptions.A",
		"A int":                           "2: XOptions.A",
		"a int":                           "",
		"Other":                           "",
		"// A and B are one. Default: 1.\nA int\nB int":            "",
		"// A is one. Default: 1.\nA int\n\nB int":                 "5: XOptions.B",
		"// A is one. Default: 1.\nA int\n// B is another.\nB int": "5: XOptions.B",
	} {
		src := "package x; type XOptions struct {\n" + body + "\n}\ntype other struct { A int }\ntype yOptions struct { A int }\n"
		odd, _, err := noDefaults("x.go", []byte(src))
		if got := strings.Join(odd, "\n"); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", body, got, err, want)
		}
	}
}
