//go:build unix

package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestFailuresAreRepeated(t *testing.T) {
	t.Parallel()
	printed := "ok  \tpkg/a\t1s\n2000/01/01 ERROR a line of a log\n--- FAIL: TestA (0.10s)\n    a_test.go:1: got 1, want 2\n        more\n" +
		"--- PASS: TestB (0.00s)\n    b_test.go:1: fine\n    --- FAIL: TestC/sub (0.00s)\n        c_test.go:2: " + strings.Repeat("x", 1000) + "\nFAIL\nFAIL\tpkg/b\t2s\nok  \tpkg/c\t1s\n"
	want := "\nwhat failed:\n--- FAIL: TestA (0.10s)\n    a_test.go:1: got 1, want 2\n        more\n    --- FAIL: TestC/sub (0.00s)\n        c_test.go:2: " +
		strings.Repeat("x", saidALine-len("        c_test.go:2: ")) + "\nFAIL\tpkg/b\t2s\n"
	for _, size := range []int{1, 7, len(printed)} {
		var out bytes.Buffer
		f := &failures{to: &out}
		for rest := []byte(printed); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if n, err := f.Write(rest[:min(size, len(rest))]); n != min(size, len(rest)) || err != nil {
				t.Fatal(n, err)
			}
		}
		f.repeat()
		if got := out.String(); got != printed+want {
			t.Errorf("%d bytes at once: got\n%s\nwant\n%s", size, got, printed+want)
		}
	}
	var out bytes.Buffer
	f := &failures{to: &out}
	_, _ = f.Write([]byte("ok  \tpkg/a\t1s\n"))
	f.repeat()
	if got := out.String(); got != "ok  \tpkg/a\t1s\n" {
		t.Errorf("got %q, want nothing repeated", got)
	}
}
