package tenancy_test

import (
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestCanBecome(t *testing.T) {
	t.Parallel()
	statuses := []tenancy.Status{"provisioning", "active", "suspended", "blocked", "inactive", "archived"}
	allowed := map[tenancy.Status]string{ // x where the status of that column may follow
		"provisioning": "xx..xx",
		"active":       ".xxxxx",
		"suspended":    ".xxxxx",
		"blocked":      ".xxxxx",
		"inactive":     ".xxxxx",
		"archived":     "....xx",
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

func TestStatusesIsACopy(t *testing.T) {
	t.Parallel()
	tenancy.Statuses()[1] = "spoiled"
	if got := tenancy.Statuses()[1]; got != tenancy.StatusActive {
		t.Errorf("Statuses()[1] = %q after a caller changed its copy, want active", got)
	}
}
