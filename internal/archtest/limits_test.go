package archtest

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ownKeys are where this module says which keys of a tenant's Limits and Settings it
// reads: an index by a constant text, and the constants that are read as such.
var ownKeys = regexp.MustCompile(`(?:Limits|Settings)\["([^"]+)"\]|"((?:rate|burst|slo)\.[a-z_]+)"`)

// keysRead returns the keys of limits and settings that the files of the library read.
func keysRead(root fs.FS) (keys map[string]string, err error) {
	keys = map[string]string{}
	err = fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{"examples", "internal/bench", "tenancytest"}, file) || d.Name() != "." && d.Name()[0] == '.' {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") || file == "tenancy.go" {
			return nil
		}
		src, err := fs.ReadFile(root, file)
		for _, match := range ownKeys.FindAllStringSubmatch(string(src), -1) {
			keys[match[1]+match[2]] = file
		}
		return err
	})
	return keys, err
}

// The comment of Tenant.Limits lists the keys that are not the application's own.
func TestTheRecordListsOurKeys(t *testing.T) {
	t.Parallel()
	root := os.DirFS(filepath.Join("..", ".."))
	keys, err := keysRead(root)
	if err != nil {
		t.Fatal(err)
	}
	record, err := fs.ReadFile(root, "tenancy.go")
	if err != nil {
		t.Fatal(err)
	}
	if keys["concurrency"] == "" || keys["rate.key"] == "" || keys["homepage"] == "" {
		t.Fatalf("got the keys %v, want those that are known", keys)
	}
	for key, file := range keys {
		if !strings.Contains(string(record), fmt.Sprintf("%q", key)) {
			t.Errorf("%s reads the key %q, and the comment of Tenant.Limits does not list it", file, key)
		}
	}
}
