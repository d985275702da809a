package main

import (
	"testing"
)

// The run of the schedule works, and again on what is there already.
func TestNightly(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for range 2 {
		if err := run(t.Context(), data, true); err != nil {
			t.Fatal(err)
		}
	}
}
