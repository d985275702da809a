package hostname

import (
	"errors"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestParse(t *testing.T) {
	t.Parallel()
	label63 := strings.Repeat("a", 63)
	for _, tt := range []struct{ in, want string }{
		{"acme.example.com", "acme.example.com"},
		{"ACME.Example.COM", "acme.example.com"},
		{"acme.example.com:8080", "acme.example.com"},
		{"acme.example.com:", "acme.example.com"},
		{"acme.example.com.", "acme.example.com"},
		{"acme.example.com.:443", "acme.example.com"},
		{"localhost", "localhost"},
		{"127.0.0.1:80", "127.0.0.1"},
		{"[::1]:80", "::1"},
		{"[2001:DB8:0:0::1]", "2001:db8::1"},
		{"bücher.example", "xn--bcher-kva.example"},
		{"BÜCHER.example:1", "xn--bcher-kva.example"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
		{"ａｃｍｅ.example", "acme.example"}, // full-width letters
		{"acme。example", "acme.example"}, // ideographic full stop
		{label63 + ".example", label63 + ".example"},
		{"a--b.example", "a--b.example"},
		{"my_app:8080", "my_app"}, // of containers and service meshes
		{"My_App.svc.Cluster.local.", "my_app.svc.cluster.local"},
		{"_dmarc.example.com", "_dmarc.example.com"},
		{"a_.b", "a_.b"},
		{"a_1", "a_1"},
	} {
		got, err := Parse(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("Parse(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", ".", ":80", "..", "a..b", ".a", "a.b..", "-a.example", "a-.example", "_-.example", "a_b.-c", "bücher_b.example", "xn--bcher-kva_.example", "a_b.1", "a_b.0x1", "a_b..c", "a_b@c", "a_ b",
		"user@acme.example.com", "acme.example.com@evil.example", "acme.example.com/x", "acme example", "acme%2eexample",
		"acme.example.com:80:80", "acme.example.com:99999", "acme.example.com:8o", "acme.example.com:-1",
		"::1", "[::1", "::1]", "[::1%25eth0]", "[127.0.0.1]", "[acme.example]", "[]", "127.1", "0x7f.1", "1.2.3.4.5", "a.123", "a.0x7f", "a.0x", "[[::1]]",
		"acme\x00.example", "acme\n.example", "acme.example\r\nX: y", "xn--a.example", "xn--.example", "ab--c.\u00ad", "a]:80", "[a]b:1", "[::1]:80]", "[::1]x", "[::1]:8o",
		strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "abc", strings.Repeat("a", 10<<10),
		"\xff\xfe.example", "acme.example:٣", "99999999999999999999:99999999999999999999",
	} {
		got, err := Parse(in)
		if !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("Parse(%.40q) = %q, %v, want ErrInvalid", in, got, err)
		} else if len(err.Error()) > 400 {
			t.Errorf("Parse(%.40q): an error of %d bytes, want it short", in, len(err.Error()))
		}
	}
}

func TestParseCanonicalDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _, _ = Parse("acme.example.com:8080") }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"acme.example.com:80", "[::1]:1", "bücher.example.", "a@b", "XN--BCHER-KVA.x", "127.1", "a..b", "My_App:1", "xn--a_b.c", "_", "1_.2_"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := Parse(in)
		if err != nil {
			if got != "" || !errors.Is(err, tenancy.ErrInvalid) {
				t.Fatalf("Parse(%q) = %q, %v, want nothing and ErrInvalid", in, got, err)
			}
			return
		}
		if IsIP(got) {
			return
		}
		if tenancy.ValidateDomain(strings.ReplaceAll(got, "_", "a")) != nil {
			t.Fatalf("Parse(%q) = %q, not a domain in canonical form", in, got)
		}
		again, err := Parse(got)
		if err != nil || again != got {
			t.Fatalf("Parse(%q) = %q, but Parse of that = %q, %v", in, got, again, err)
		}
	})
}

// A log gets whole characters, and no user of an address.
func TestClip(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"acme.example":                  "acme.example",
		strings.Repeat("a", 65):         strings.Repeat("a", 64) + "…",
		strings.Repeat("a", 63) + "ööö": strings.Repeat("a", 63) + "…",
	} {
		if got := Clip(in); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
