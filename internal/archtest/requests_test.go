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
	"strconv"
	"strings"
	"testing"
)

// Why a copy of a request is refused.
const copiesRequest = "a request is copied: use internal/request, or those in front do not see what net/http writes into it"

// mayCopy are the folders that may copy requests: the one that does it right, and
// those that send requests instead of serving them.
var mayCopy = []string{"internal/request", "internal/bench", "tenancytest"}

// requestCopies returns the lines at which a file copies a request, as far as its
// syntax shows: calls such as r.WithContext(ctx) and r.Clone(ctx) in files that import
// net/http, unless they are functions of a package, http.Request made by hand, and
// assignments of what a parameter of the type *http.Request points to.
func requestCopies(file string, src []byte) (lines []int, err error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	packages, web := map[string]bool{}, ""
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		packages[name] = true
		if imported == "net/http" {
			web = name
		}
	}
	if web == "" {
		return nil, nil
	}
	isRequest := func(e ast.Expr) bool {
		s, ok := e.(*ast.SelectorExpr)
		if !ok || s.Sel.Name != "Request" {
			return false
		}
		of, ok := s.X.(*ast.Ident)
		return ok && of.Name == web
	}
	requests := map[string]bool{} // names of parameters
	pointed := func(e ast.Expr) ast.Expr {
		if star, ok := e.(*ast.StarExpr); ok {
			return star.X
		}
		return nil
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		bad := false
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				requests[name.Name] = requests[name.Name] || isRequest(pointed(n.Type))
			}
		case *ast.AssignStmt:
			for _, e := range n.Rhs {
				of, ok := pointed(e).(*ast.Ident)
				bad = bad || ok && requests[of.Name]
			}
		case *ast.CompositeLit:
			bad = isRequest(n.Type)
		case *ast.CallExpr:
			if len(n.Args) != 1 {
				break
			}
			switch fun := n.Fun.(type) {
			case *ast.Ident:
				bad = fun.Name == "new" && isRequest(n.Args[0])
			case *ast.SelectorExpr:
				of, ok := fun.X.(*ast.Ident)
				bad = (fun.Sel.Name == "WithContext" || fun.Sel.Name == "Clone") && (!ok || !packages[of.Name])
			}
		}
		if bad {
			lines = append(lines, set.Position(n.Pos()).Line)
		}
		return true
	})
	return lines, nil
}

// walkRequests applies the rule to the files that are not tests.
func walkRequests(root fs.FS) (findings []string, err error) {
	err = fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if name == "testdata" || name != "." && (name[0] == '.' || name[0] == '_') || slices.Contains(mayCopy, file) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || name[0] == '.' || name[0] == '_' {
			return nil
		}
		src, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		lines, err := requestCopies(file, src)
		for _, line := range lines {
			findings = append(findings, fmt.Sprintf("%s:%d: %s", file, line, copiesRequest))
		}
		return err
	})
	return findings, err
}

func TestNobodyCopiesRequests(t *testing.T) {
	t.Parallel()
	findings, err := walkRequests(os.DirFS(filepath.Join("..", "..")))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
}

func TestRequestCopies(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		"next.ServeHTTP(w, r.WithContext(ctx))":       true,
		"r = r.Clone(r.Context())":                    true,
		"r2 := new(http.Request); *r2 = *r":           true,
		"r2 := &http.Request{}":                       true,
		"r2 := *r":                                    true,
		"n := *p":                                     false,
		"s.requests[0].WithContext(ctx)":              true,
		"request.Serve(ctx, next, w, r, nil)":         false,
		"x := slices.Clone(list)":                     false,
		"t = t.Clone()":                               false,
		"r, err := http.NewRequest(method, url, nil)": false,
	} {
		src := "package x\nimport (\"net/http\"; \"slices\")\nfunc f(w http.ResponseWriter, r *http.Request, p *int) {\n" + body + "\n}\n"
		if lines, err := requestCopies("x.go", []byte(src)); err != nil || (len(lines) > 0) != want {
			t.Errorf("%s: got the lines %v, %v, want one: %v", body, lines, err, want)
		}
		src = strings.Replace(src, "net/http", "example.com/http2", 1)
		if lines, err := requestCopies("x.go", []byte(src)); err != nil || len(lines) > 0 {
			t.Errorf("%s, without net/http: got the lines %v, %v, want none", body, lines, err)
		}
	}
}

func TestWalkFindsAPlantedCopy(t *testing.T) {
	t.Parallel()
	const src = "package x\nimport \"net/http\"\nvar _ = new(http.Request)\n"
	for file, want := range map[string]bool{
		"middleware/planted.go": true, "admin/ui/planted.go": true, "middleware/planted_test.go": false,
		"internal/request/request.go": false, "internal/request2/planted.go": true,
	} {
		root := t.TempDir()
		write(t, root, file)
		if err := os.WriteFile(filepath.Join(root, file), []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := walkRequests(os.DirFS(root)); err != nil || (len(got) == 1) != want {
			t.Errorf("%s: got %q, %v, want a finding: %v", file, got, err, want)
		}
	}
}
