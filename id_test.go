package tenancy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// nasty is refused wherever a name goes into a path, a host or a statement.
var nasty = []string{
	"", " ", ".", "..", "../x", "a/b", `a\b`, "/acme", `acme"; DROP DATABASE`, "acme'--", "acme`", "acme;", "$acme", "acme%00",
	"acme\x00", "\x00", "acme\n", "acme\r\nX: y", "acme\t", " acme", "acme ", "ACME", "Acme", "acmé", "ａｃｍｅ", "аcme", "acme\u200b",
	"acme\u202e", "bücher", "\xff\xfe", "-acme", "_acme", "acme@x", "acme:1", "acme#", "acme?", "*", "acme*", "acme,b", "acme=b",
	strings.Repeat("a", 300), strings.Repeat("é", 20), strings.Repeat("\x00", 10), strings.Repeat("a", 1<<20),
}

func TestNewID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[tenancy.ID]bool, 100_000)
		for range 100_000 { // the clock stands still: only the random part differs
			id := tenancy.NewID()
			if err := id.Validate(); err != nil {
				t.Fatalf("NewID() = %q: %v", id, err)
			}
			if len(id) != 26 || id[:10] != "00vhnczb00" { // 946,684,800,000 ms
				t.Fatalf("NewID() = %q, want 26 characters that begin with 00vhnczb00", id)
			}
			if seen[id] {
				t.Fatalf("NewID() = %q a second time", id)
			}
			seen[id] = true
		}
		for i := 10; i < 26; i++ {
			chars := map[byte]bool{}
			for id := range seen {
				chars[id[i]] = true
			}
			if len(chars) != 32 {
				t.Errorf("character %d: got %d different ones in 100,000 IDs, want 32", i, len(chars))
			}
		}
	})
}

func TestNewIDsSortByTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		last := tenancy.NewID()
		for _, step := range []time.Duration{time.Millisecond, time.Millisecond, time.Second, time.Hour, 1e4 * time.Hour} {
			for range 50 {
				time.Sleep(step)
				id := tenancy.NewID()
				if id <= last {
					t.Fatalf("got %q after %q, %v later; want it to sort behind", id, last, step)
				}
				last = id
			}
		}
	})
}

func TestValidateNames(t *testing.T) {
	t.Parallel()
	a := func(n int) string { return strings.Repeat("a", n) }
	uuid := "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	domain253 := strings.Repeat(a(62)+".", 4) + "c"
	for _, tt := range []struct {
		name     string
		validate func(string) error
		ok, bad  []string
	}{
		{
			"ID", func(s string) error { return tenancy.ID(s).Validate() },
			[]string{"a", "0", "acme", "a-b", "a_b", "a--_b", "42", uuid, a(36), "xn--a"},
			[]string{a(37), "a-", "a_", "-", "_", "--", "a.b", strings.ToUpper(uuid), "{" + uuid + "}"},
		},
		{
			"slug", tenancy.ValidateSlug,
			[]string{"a", "0", "42", "acme", "a-b", "a--b", "a-b--c", "abc--d", a(63), uuid},
			[]string{a(64), "a-", "-", "--", "a_b", "a.b", "acme.", "xn--bcher-kva", "ab--", "ab--c"},
		},
		{
			"domain", tenancy.ValidateDomain,
			[]string{"a", "localhost", "acme.example.com", "a.b.c.d.e", "xn--bcher-kva.example", "1.example", "a--b.c", "a.b1", "1.2.3.4a", domain253, a(63) + ".com"},
			[]string{
				domain253 + "c", a(64) + ".com", ".com", "acme.", "acme.example.com.", "a..b", ".", "a.-b", "a-.b", "a_b.com", "*.example.com",
				"127.0.0.1", "127.1", "1", "a.1", "a.0", "::1", "[::1]", "acme.example.com:80", "user@acme.example.com", "https://acme.example.com",
			},
		},
		{
			"database name", tenancy.ValidateDatabaseName,
			[]string{"a", "0", "acme", "t_acme", "tenant-1", "a_", "a-", a(63), "mysql_", "postgres2", uuid},
			[]string{
				a(64), "-", "_", "_a", "a.b", "postgres", "template0", "template1", "mysql", "sys",
				"information_schema", "performance_schema", "MySQL", "file:a", "a?mode=memory", ":memory:",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, s := range tt.ok {
				if err := tt.validate(s); err != nil {
					t.Errorf("%q: got %v, want nil", s, err)
				}
			}
			for _, s := range slices.Concat(nasty, tt.bad) {
				err := tt.validate(s)
				if !errors.Is(err, tenancy.ErrInvalid) {
					t.Errorf("%.80q: got %v, want ErrInvalid", s, err)
				} else if len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\x00\r\n") {
					t.Errorf("%.80q: got an error of %d bytes, want it short and on one line", s, len(err.Error()))
				}
			}
		})
	}
}
