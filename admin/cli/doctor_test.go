package cli_test

import (
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestDoctorCommand(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	if code, out, err := l.call("", "tenant", "create", "acme"); code != 0 {
		t.Fatal(code, out, err)
	}
	step := func(code int, want, never string, args ...string) {
		t.Helper()
		got, out, errs := l.call("", args...)
		if got != code || !strings.Contains(out+errs, want) || never != "" && strings.Contains(out+errs, never) {
			t.Errorf("%q: got %d, want %d and %q, not %q:\n%s%s", args, got, code, want, never, out, errs)
		}
	}
	step(0, "1 tenant, 1 database: nothing is wrong", "", "doctor")
	acme, err := l.app.Catalog.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []tenancy.Status{tenancy.StatusArchived, tenancy.StatusPurging} {
		if _, err := l.app.Catalog.SetStatus(t.Context(), acme.ID, status); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.app.Catalog.Delete(t.Context(), acme.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := l.app.Catalog.Create(t.Context(), &tenancy.Tenant{Slug: "half", Placement: tenancy.Placement{Server: "main", Database: "tenant_half"}}); err != nil {
		t.Fatal(err)
	}
	step(0, "--refresh looks again", "orphan", "doctor")
	step(1, "orphan  "+string(acme.ID), "half-made", "doctor", "--refresh")
	step(1, "2 findings", "mended", "doctor", "--age", "0")
	step(1, `"kind":"half-made"`, "KIND", "doctor", "--age", "0", "--json")
	step(1, `"counts":{"half-made":1,"orphan":1}`, "KIND", "doctor", "--age", "0", "--json")
	step(2, "Give --yes", "", "doctor", "--mend", "orphan")
	step(2, "want one of orphan, half-made", "", "doctor", "--mend", "foreign")
	step(1, "mended: it has been provisioning", "ago", "doctor", "--age", "0", "--mend", "half-made", "--yes")
	step(0, "1 mended", "", "doctor", "--age", "0", "--mend", "orphan", "--yes")
	step(0, "nothing is wrong", "", "doctor", "--age", "0")
	step(0, "active", "", "tenant", "show", "half")
}

// A half-made tenant becomes nothing by a command, is not archived, and is purged as it is.
func TestHalfMadeTenantsStay(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	half, err := l.app.Catalog.Create(t.Context(), &tenancy.Tenant{Slug: "half", Placement: tenancy.Placement{Server: "main", Database: "tenant_half"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"tenant activate half", 2, "cannot take part: half: "},
		{"tenant archive half --yes", 2, "cannot take part: half: "},
		{"tenant restore half --yes", 2, "cannot be restored"},
		{"tenant purge half --yes", 2, "after its last change"},
	} {
		if code, out, errs := l.call("", strings.Fields(tt.args)...); code != tt.code || !strings.Contains(out+errs, tt.want) {
			t.Errorf("%s: got %d %s%s, want %d and %q", tt.args, code, out, errs, tt.code, tt.want)
		}
		if now, err := l.app.Catalog.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "half"}); err != nil || now.Version != half.Version {
			t.Errorf("%s: got %+v, %v, want no change", tt.args, now, err)
		}
	}
	if code, out, errs := l.call("", "tenant", "purge", "half", "--now", "--reason", "tested", "--yes"); code != 0 || !strings.Contains(out, "Purged tenant half") {
		t.Errorf("purge: got %d %s%s", code, out, errs)
	}
}
