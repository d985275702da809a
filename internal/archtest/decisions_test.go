package archtest_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The index of docs/decisions.md has a line for each package, and each entry stands in it.
func TestDecisions(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	index, entries, ok := strings.Cut(string(text), "\n\n## IDs are")
	if !ok {
		t.Fatal("docs/decisions.md has no first entry, want the one about IDs")
	}
	seen := make(map[string]bool)
	for _, line := range regexp.MustCompile(`(?m)^- .*?:`).FindAllString(index, -1) {
		if seen[line] {
			t.Errorf("%q stands there twice", line)
		}
		seen[line] = true
	}
	found := regexp.MustCompile(`(?m)^## (.*) \(\d{4}-\d\d-\d\d\)$`).FindAllStringSubmatch("## IDs are"+entries, -1)
	if len(seen) < 10 || len(found) < 100 {
		t.Errorf("got %d packages and %d entries, want more", len(seen), len(found))
	}
	for _, entry := range found {
		if !strings.Contains(index, "["+entry[1]+"](#") {
			t.Errorf("%q is not in the index", entry[1])
		}
	}
}
