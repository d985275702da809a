package archtest

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// sameVersions returns the migrations that have the version of another one in their folder.
// goose refuses such a folder when the application starts.
func sameVersions(module fs.FS) ([]string, error) {
	files, err := fs.Glob(module, "*/migrations/*/*.sql")
	for _, deeper := range []string{"*/*/migrations/*/*.sql", "*/*/*/migrations/*/*.sql"} {
		if err == nil {
			var more []string
			more, err = fs.Glob(module, deeper)
			files = append(files, more...)
		}
	}
	slices.Sort(files)
	var same []string
	first := map[string]bool{}
	for _, file := range files {
		version, _, _ := strings.Cut(path.Base(file), "_")
		key := path.Join(path.Dir(file), version)
		if first[key] {
			same = append(same, file)
		}
		first[key] = true
	}
	return same, err
}

func TestMigrationsHaveVersionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	module := os.DirFS("../..")
	same, err := sameVersions(module)
	if err != nil || len(same) > 0 {
		t.Errorf("got %v, %v, want each version once in a folder", same, err)
	}
	planted := fstest.MapFS{}
	for _, name := range []string{"a/migrations/sqlite/00001_x.sql", "a/migrations/sqlite/00001_y.sql", "a/b/migrations/mysql/00001_x.sql", "a/b/migrations/postgres/00001_x.sql"} {
		planted[name] = &fstest.MapFile{}
	}
	same, err = sameVersions(planted)
	if err != nil || !slices.Equal(same, []string{"a/migrations/sqlite/00001_y.sql"}) {
		t.Errorf("planted: got %v, %v", same, err)
	}
	if files, _ := fs.Glob(module, "analytics/migrations/*/*.sql"); len(files) == 0 {
		t.Error("no migrations were found")
	}
}
