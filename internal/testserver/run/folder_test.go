//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A run removes its folder, and those of runs that were killed; not those of runs
// that are alive, and no folder that no run has made.
func TestFolders(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	killed, err := newFolder()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(killed.temp, "server1", "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := killed.lock.Close(); err != nil { // as the kernel does
		t.Fatal(err)
	}
	foreign := filepath.Join(os.TempDir(), folderPrefix+"foreign")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	alive, err := newFolder()
	if err != nil {
		t.Fatal(err)
	}
	own, err := newFolder()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{killed.path: false, foreign: true, alive.path: true, own.temp: true} {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) == want {
			t.Errorf("%s: got there: %t, want %t", path, !want, want)
		}
	}
	for _, f := range []*folder{alive, own} {
		if err := f.remove(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
