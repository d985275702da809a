package tenancy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestCanBecome(t *testing.T) {
	t.Parallel()
	statuses := []tenancy.Status{"provisioning", "active", "suspended", "blocked", "inactive", "archived", "purging"}
	allowed := map[tenancy.Status]string{ // x where the status of that column may follow
		"provisioning": "xx..x.x",
		"active":       ".xxxxx.",
		"suspended":    ".xxxxx.",
		"blocked":      ".xxxxx.",
		"inactive":     ".xxxxx.",
		"archived":     "....xxx",
		"purging":      "......x",
	}
	for _, from := range statuses {
		for i, to := range statuses {
			if got, want := from.CanBecome(to), allowed[from][i] == 'x'; got != want {
				t.Errorf("%s.CanBecome(%s) = %v, want %v", from, to, got, want)
			}
		}
		for _, unknown := range []tenancy.Status{"", "Active", "deleted", "active\x00"} {
			if from.CanBecome(unknown) || unknown.CanBecome(from) || unknown.CanBecome(unknown) {
				t.Errorf("%s and the unknown %q: got a way, want none", from, unknown)
			}
		}
	}
}

func TestNextStatuses(t *testing.T) {
	t.Parallel()
	for from, want := range map[tenancy.Status][]tenancy.Status{
		"provisioning": {"active", "inactive", "purging"},
		"active":       {"suspended", "blocked", "inactive", "archived"},
		"archived":     {"inactive", "purging"},
		"purging":      {},
		"odd":          {},
	} {
		if got := from.Next(); !slices.Equal(got, want) {
			t.Errorf("%s.Next() = %q, want %q", from, got, want)
		}
	}
}

func TestWhyNot(t *testing.T) {
	t.Parallel()
	const resume, restore, purged, never = "resume its creation", "restore it", "is being purged", "only by its"
	for from, want := range map[tenancy.Status][7]string{ // in the order of Statuses; "" where it may
		"provisioning": {"", resume, resume, resume, resume, resume, resume},
		"active":       {never, "", "", "", "", "", never},
		"suspended":    {never, "", "", "", "", "", never},
		"blocked":      {never, "", "", "", "", "", never},
		"inactive":     {never, "", "", "", "", "", never},
		"archived":     {never, restore, restore, restore, restore, "", never},
		"purging":      {purged, purged, purged, purged, purged, purged, ""},
	} {
		for i, to := range tenancy.Statuses() {
			if got := from.WhyNot(to); (got == "") != (want[i] == "") || !strings.Contains(got, want[i]) {
				t.Errorf("%s.WhyNot(%s) = %q, want %q", from, to, got, want[i])
			}
			if from.WhyNot(to) == "" && !from.CanBecome(to) {
				t.Errorf("%s may become %s, which the catalog refuses", from, to)
			}
		}
		for _, unknown := range []tenancy.Status{"", "Active", "active\x00"} {
			if from.WhyNot(unknown) == "" || unknown.WhyNot(from) == "" || unknown.WhyNot(unknown) == "" {
				t.Errorf("%s and the unknown %q: got a way, want none", from, unknown)
			}
		}
	}
}

func TestRemovableStatuses(t *testing.T) {
	t.Parallel()
	for status, want := range map[tenancy.Status]bool{
		"provisioning": true, "active": false, "suspended": false, "blocked": false, "inactive": false, "archived": true, "purging": true,
		"": false, "odd": false,
	} {
		if got := status.Removable(); got != want {
			t.Errorf("%q.Removable() = %v, want %v", status, got, want)
		}
	}
}

func TestStatusesIsACopy(t *testing.T) {
	t.Parallel()
	tenancy.Statuses()[1] = "spoiled"
	if got := tenancy.Statuses()[1]; got != tenancy.StatusActive {
		t.Errorf("Statuses()[1] = %q after a caller changed its copy, want active", got)
	}
}
