package sqlkit

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/artflow-studio/tenancy"
)

// CheckFiles looks at the root of fsys and at the engines' folders, for what
// would otherwise come to light with the first tenant, or not at all: goose
// passes over files whose names it cannot read.
func CheckFiles(fsys fs.FS) error {
	found := 0
	for _, dir := range []string{".", string(Postgres), string(MySQL), string(SQLite)} {
		n, err := checkFolder(fsys, dir)
		if err != nil {
			return err
		}
		found += n
	}
	if found == 0 {
		return fmt.Errorf("%w: no .sql file in the root of the file system; with go:embed, take fs.Sub(files, \"folder\")", tenancy.ErrInvalid)
	}
	return nil
}

func checkFolder(fsys fs.FS, dir string) (n int, err error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*.sql"))
	if err != nil {
		return 0, err
	}
	versions := map[int64]string{}
	for _, name := range names {
		version, err := goose.NumericComponent(path.Base(name))
		if err != nil {
			return 0, fmt.Errorf("%w: migration %s: want a name like 00001_make_notes.sql", tenancy.ErrInvalid, name)
		}
		if other, ok := versions[version]; ok {
			return 0, fmt.Errorf("%w: migrations %s and %s have the same version", tenancy.ErrInvalid, other, name)
		}
		versions[version] = name
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return 0, err
		}
		if !hasUp(text) {
			return 0, fmt.Errorf("%w: migration %s: no line with -- +goose Up", tenancy.ErrInvalid, name)
		}
	}
	return len(names), nil
}

func hasUp(text []byte) bool {
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) >= 3 && fields[0] == "--" && fields[1] == "+goose" && strings.EqualFold(fields[2], "Up") {
			return true
		}
	}
	return false
}
