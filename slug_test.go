package tenancy_test

import (
	"slices"
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestReservedSlugs(t *testing.T) {
	t.Parallel()
	got := tenancy.ReservedSlugs()
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("got %v, want ascending order and nothing twice", got)
	}
	for _, slug := range got {
		if err := tenancy.ValidateSlug(slug); err != nil {
			t.Errorf("%q: got %v, want a slug", slug, err)
		}
	}
	got[0] = "spoiled"
	if again := tenancy.ReservedSlugs(); again[0] == "spoiled" {
		t.Error("a caller's change shows in the next call, want a copy")
	}
}
