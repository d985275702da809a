package resolver_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/resolver"
)

func TestHeader(t *testing.T) {
	t.Parallel()
	unresolved, invalid := tenancy.ErrUnresolved, tenancy.ErrInvalid
	by := tenancy.Must(resolver.NewHeader("x-tenant", private, nil))
	for _, tt := range []struct {
		peer  string
		lines []string
		want  resolver.Match
		err   error
	}{
		{"10.0.0.1:9", []string{"acme"}, slug("acme"), nil},
		{"[::ffff:10.0.0.1]:9", []string{"acme"}, slug("acme"), nil},
		{"[fd00::1]:9", []string{"acme"}, slug("acme"), nil},
		{"[fd00::1%eth0]:9", []string{"acme"}, slug("acme"), nil},
		{"10.0.0.1:9", []string{"acme", "acme"}, slug("acme"), nil},
		{"10.0.0.1:9", nil, none, unresolved},
		{"10.0.0.1:9", []string{"acme", "umbrella"}, none, invalid},
		{"10.0.0.1:9", []string{"acme", "acme", "umbrella"}, none, invalid},
		{"10.0.0.1:9", []string{"acme", ""}, none, invalid},
		{"10.0.0.1:9", []string{""}, none, invalid},
		{"10.0.0.1:9", []string{"ACME"}, none, invalid},
		{"10.0.0.1:9", []string{"acme,umbrella"}, none, invalid},
		{"10.0.0.1:9", []string{"../x\x00"}, none, invalid},
		{"11.0.0.1:9", []string{"acme"}, none, unresolved},
		{"11.0.0.1:9", []string{"acme", "umbrella"}, none, unresolved},
		{"11.0.0.1:9", []string{"../x"}, none, unresolved},
		{"[::ffff:11.0.0.1]:9", []string{"acme"}, none, unresolved},
		{"[fe80::1]:9", []string{"acme"}, none, unresolved},
		{"[::10.0.0.1]:9", []string{"acme"}, none, unresolved},
		{"@", []string{"acme"}, none, unresolved},
		{"", []string{"acme"}, none, unresolved},
		{"10.0.0.1", []string{"acme"}, none, unresolved},
		{"localhost:9", []string{"acme"}, none, unresolved},
	} {
		r := from(tt.peer, "X-Tenant-Id", "umbrella", "X-Forwarded-For", "10.0.0.1")
		for _, line := range tt.lines {
			r.Header.Add("X-Tenant", line)
		}
		check(t, by, r, tt.want, tt.err)
	}
	byID := tenancy.Must(resolver.NewHeader("X-Tenant", private, &resolver.HeaderOptions{Kind: tenancy.RefID}))
	check(t, byID, from("10.0.0.1:9", "X-Tenant", "a_b"), id("a_b"), nil)
}

func TestHeaderCopiesTheAddresses(t *testing.T) {
	t.Parallel()
	trusted := slices.Clone(private)
	by := tenancy.Must(resolver.NewHeader("X-Tenant", trusted, nil))
	trusted[0] = trusted[1]
	check(t, by, from("10.0.0.1:9", "X-Tenant", "acme"), slug("acme"), nil)
}

func FuzzHeader(f *testing.F) {
	f.Add("acme", "acme", "11.0.0.1:9")
	f.Add("acme", "umbrella", "@")
	f.Add("", "ACME", "[::ffff:11.0.0.1]:1")
	by := tenancy.Must(resolver.NewHeader("X-Tenant", private[:1], nil))
	f.Fuzz(func(t *testing.T, first, second, peer string) {
		for _, lines := range [][]string{{first}, {first, second}} {
			r := from("10.1.2.3:9")
			r.Header["X-Tenant"] = lines
			m, err := by.Resolve(r)
			sane(t, m, err)
			if err == nil && (m.Ref.Value != first || m.Ref.Value != lines[len(lines)-1]) {
				t.Fatalf("%q: got %v, want what all lines say", lines, m)
			}
			if err != nil && !errors.Is(err, tenancy.ErrInvalid) {
				t.Fatalf("%q: got %v, want ErrInvalid", lines, err)
			}
			// An address outside of 10.0.0.0/8, and whatever is no address at all.
			for _, untrusted := range []string{"203.0.113.7:9", "[2001:db8::a00:1]:9", "x" + peer, peer + "x"} {
				r.RemoteAddr = untrusted
				if m, err := by.Resolve(r); !errors.Is(err, tenancy.ErrUnresolved) {
					t.Fatalf("%q from %q: got %v, %v, want ErrUnresolved", lines, untrusted, m, err)
				}
			}
		}
	})
}
