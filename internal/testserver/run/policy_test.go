//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// While we install, a server may not start; afterwards all is as before.
func TestForbidStarts(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{"none": "", "another's": "#!/bin/sh\nexit 0\n", "of a killed run": policy} {
		file := filepath.Join(t.TempDir(), "policy-rc.d")
		if before != "" {
			if err := os.WriteFile(file, []byte(before), 0o755); err != nil { // a program
				t.Fatal(err)
			}
		}
		allow, err := forbidStarts(file)
		if err != nil {
			t.Fatal(err)
		}
		want := 101
		if name == "another's" {
			want = 0
		}
		cmd := exec.CommandContext(t.Context(), "sh", file, "postgresql", "start") // of this test
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
			t.Errorf("%s: got %v, want exit status %d", name, err, want)
		}
		allow()
		after, err := os.ReadFile(file) // of this test
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if want := map[bool]string{true: before, false: ""}[name == "another's"]; string(after) != want {
			t.Errorf("%s: got %q afterwards, want %q", name, after, want)
		}
	}
	if _, err := forbidStarts(filepath.Join(t.TempDir(), "no", "such", "folder")); err == nil {
		t.Error("no such folder: got no error")
	}
}
