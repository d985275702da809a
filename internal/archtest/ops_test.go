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
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// operation is the form of an Op of errors.
var operation = regexp.MustCompile(`^[a-z]\w*\.[A-Z]\w*(\.[A-Z]\w*)?$`)

// receiver returns the name of a method's type, or "".
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	for {
		switch t := of.(type) {
		case *ast.StarExpr:
			of = t.X
		case *ast.IndexExpr:
			of = t.X
		case *ast.IndexListExpr:
			of = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

// oddOps returns the operations in errors below root that are not package.Type.Method, or package.Function, of what
// returns the error: as "file:line: got, want". What is not exported may carry the name of whoever called it, as long as
// there is such a thing.
func oddOps(root fs.FS) (odd []string, ops int, err error) {
	set := token.NewFileSet()
	packages := map[string][]*ast.File{}
	err = fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case name != "." && (name[0] == '.' || name[0] == '_') || name == "testdata":
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		src, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(set, file, src, parser.SkipObjectResolution)
		packages[path.Dir(file)] = append(packages[path.Dir(file)], parsed)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	for _, files := range packages {
		pkg := files[0].Name.Name + "."
		there := map[string]bool{}
		each := func(fn func(name string, f *ast.FuncDecl)) {
			for _, file := range files {
				for _, d := range file.Decls {
					if f, ok := d.(*ast.FuncDecl); ok {
						name := pkg + f.Name.Name
						if of := receiver(f); of != "" {
							name = pkg + of + "." + f.Name.Name
						}
						fn(name, f)
					}
				}
			}
		}
		each(func(name string, _ *ast.FuncDecl) { there[name] = true })
		each(func(name string, f *ast.FuncDecl) {
			exported := operation.MatchString(name)
			ast.Inspect(f, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				op, err := strconv.Unquote(lit.Value)
				if err != nil || !strings.HasPrefix(op, pkg) || !operation.MatchString(op) {
					return true
				}
				ops++
				switch at := set.Position(lit.Pos()); {
				case exported && op != name:
					odd = append(odd, fmt.Sprintf("%s:%d: got %s, want %s", at.Filename, at.Line, op, name))
				case !there[op]:
					odd = append(odd, fmt.Sprintf("%s:%d: got %s, which there is not", at.Filename, at.Line, op))
				}
				return true
			})
		})
	}
	return odd, ops, nil
}

func TestOps(t *testing.T) {
	t.Parallel()
	odd, ops, err := oddOps(os.DirFS(filepath.Join("..", "..")))
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range odd {
		t.Error(each)
	}
	if ops < 100 {
		t.Errorf("got %d operations, want those of the module", ops)
	}
}

func TestOddOps(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ code, want string }{
		"a method":                   {`func (p *Pool) Drop() error { return wrap("pool.Pool.Drop") }`, ""},
		"a generic method":           {`func (p *Pool[T]) Drop() error { return wrap("pool.Pool.Drop") }`, ""},
		"a function":                 {`func New() error { const op = "pool.New"; return wrap(op) }`, ""},
		"without its type":           {`func (p *Pool) Drop() error { return wrap("pool.Drop") }`, "pool/a.go:2: got pool.Drop, want pool.Pool.Drop"},
		"another method":             {`func (p *Pool) Drop() error { return wrap("pool.Pool.Make") }`, "pool/a.go:2: got pool.Pool.Make, want pool.Pool.Drop"},
		"of the caller":              {"func (p *Pool) Drop() error { return p.drop() }; func (p *Pool) drop() error { return wrap(`pool.Pool.Drop`) }", ""},
		"of no caller":               {`func (p *Pool) drop() error { return wrap("pool.Drop") }`, "pool/a.go:2: got pool.Drop, which there is not"},
		"of a type behind interface": {`func New() { }; func (m member) Drop() error { return wrap("pool.New") }`, ""},
		"another package":            {`func (p *Pool) Drop() error { return wrap("other.Drop") }`, ""},
		"another text":               {`func (p *Pool) Drop() error { return wrap("pool.Drop: it") }`, ""},
	} {
		odd, _, err := oddOps(fstest.MapFS{"pool/a.go": {Data: []byte("package pool\n" + tt.code)}})
		if got := strings.Join(odd, "\n"); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, tt.want)
		}
	}
}
