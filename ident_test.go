package tenancy_test

import (
	"errors"
	"fmt"
	"maps"
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

func validTenant() *tenancy.Tenant {
	return &tenancy.Tenant{
		ID: "t1", Slug: "acme", Name: "Acme & Söhne 株式会社", Domains: []string{"acme.example", "www.acme.example"},
		Status: tenancy.StatusActive, Placement: tenancy.Placement{Server: "eu-1", Database: "t_acme"}, Plan: "Pro",
		Limits: map[string]int64{"seats": -1}, Tags: []string{"eu"}, Settings: map[string]string{"theme": "dark\nmode", "empty": ""},
		Access:        validAccess(),
		SchemaVersion: 12, Version: 1, CreatedAt: time.Unix(1, 0).UTC(), UpdatedAt: time.Unix(2, 0).UTC(),
	}
}

func TestTenantValidate(t *testing.T) {
	t.Parallel()
	type tenant = tenancy.Tenant
	a := func(n int) string { return strings.Repeat("a", n) }
	domains := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("d%d.example", i))
		}
		return out
	}
	limits := func(n int) map[string]int64 {
		return maps.Collect(func(yield func(string, int64) bool) {
			for i := 0; i < n && yield(fmt.Sprint(i), 1); i++ {
			}
		})
	}
	settings := func(n int) map[string]string {
		return maps.Collect(func(yield func(string, string) bool) {
			for i := 0; i < n && yield(fmt.Sprint(i), ""); i++ {
			}
		})
	}
	for _, tt := range []struct {
		name   string
		change func(*tenant)
		ok     bool
	}{
		{"full", func(*tenant) {}, true},
		{"least", func(t *tenant) { *t = tenant{ID: "t1", Slug: "acme", Status: tenancy.StatusProvisioning} }, true},
		{"zero", func(t *tenant) { *t = tenant{} }, false},
		{"no ID", func(t *tenant) { t.ID = "" }, false},
		{"ID", func(t *tenant) { t.ID = "../x" }, false},
		{"no slug", func(t *tenant) { t.Slug = "" }, false},
		{"slug", func(t *tenant) { t.Slug = "Acme" }, false},
		{"no status", func(t *tenant) { t.Status = "" }, false},
		{"status", func(t *tenant) { t.Status = "deleted" }, false},
		{"name at most", func(t *tenant) { t.Name = a(200) }, true},
		{"name too long", func(t *tenant) { t.Name = a(201) }, false},
		{"name over two lines", func(t *tenant) { t.Name = "a\nb" }, false},
		{"name with NUL", func(t *tenant) { t.Name = "a\x00" }, false},
		{"name with escape", func(t *tenant) { t.Name = "\x1b[31m" }, false},
		{"name with a space inside", func(t *tenant) { t.Name = "a b" }, true},
		{"name with a space in front", func(t *tenant) { t.Name = " a" }, false},
		{"name that is a space", func(t *tenant) { t.Name = " " }, false},
		{"name that turns around", func(t *tenant) { t.Name = "a\u202eb" }, false},
		{"name not UTF-8", func(t *tenant) { t.Name = "\xff" }, false},
		{"plan at most", func(t *tenant) { t.Plan = a(64) }, true},
		{"plan too long", func(t *tenant) { t.Plan = a(65) }, false},
		{"plan with a space behind", func(t *tenant) { t.Plan = "Pro " }, false},
		{"plan with NUL", func(t *tenant) { t.Plan = "\x00" }, false},
		{"no placement", func(t *tenant) { t.Placement = tenancy.Placement{} }, true},
		{"server at most", func(t *tenant) { t.Placement.Server = a(64) }, true},
		{"server too long", func(t *tenant) { t.Placement.Server = a(65) }, false},
		{"server over two lines", func(t *tenant) { t.Placement.Server = "eu\n1" }, false},
		{"database", func(t *tenant) { t.Placement.Database = `acme"; DROP DATABASE` }, false},
		{"database of the server", func(t *tenant) { t.Placement.Database = "postgres" }, false},
		{"domains at most", func(t *tenant) { t.Domains = domains(100) }, true},
		{"domains too many", func(t *tenant) { t.Domains = domains(101) }, false},
		{"domain", func(t *tenant) { t.Domains = []string{"acme.example", "../x"} }, false},
		{"domain empty", func(t *tenant) { t.Domains = []string{""} }, false},
		{"domain twice", func(t *tenant) { t.Domains = []string{"a.example", "b.example", "a.example"} }, false},
		{"tags", func(t *tenant) { t.Tags = []string{"a", "b"} }, true},
		{"tags not in order", func(t *tenant) { t.Tags = []string{"b", "a"} }, false},
		{"tag twice", func(t *tenant) { t.Tags = []string{"a", "a"} }, false},
		{"tag in upper case", func(t *tenant) { t.Tags = []string{"A"} }, false},
		{"tags too many", func(t *tenant) { t.Tags = manyTags() }, false},
		{"limits at most", func(t *tenant) { t.Limits = limits(256) }, true},
		{"limits too many", func(t *tenant) { t.Limits = limits(257) }, false},
		{"limit without name", func(t *tenant) { t.Limits = map[string]int64{"": 1} }, false},
		{"limit name at most", func(t *tenant) { t.Limits = map[string]int64{a(64): 1} }, true},
		{"limit name too long", func(t *tenant) { t.Limits = map[string]int64{a(65): 1} }, false},
		{"limit name with NUL", func(t *tenant) { t.Limits = map[string]int64{"a\x00": 1} }, false},
		{"limit name with a space behind", func(t *tenant) { t.Limits = map[string]int64{"seats\u2003": 1} }, false},
		{"settings at most", func(t *tenant) { t.Settings = settings(256) }, true},
		{"settings too many", func(t *tenant) { t.Settings = settings(257) }, false},
		{"setting without name", func(t *tenant) { t.Settings = map[string]string{"": "x"} }, false},
		{"setting name too long", func(t *tenant) { t.Settings = map[string]string{a(65): "x"} }, false},
		{"setting at most", func(t *tenant) { t.Settings = map[string]string{"k": a(4096)} }, true},
		{"setting too long", func(t *tenant) { t.Settings = map[string]string{"k": a(4097)} }, false},
		{"setting not UTF-8", func(t *tenant) { t.Settings = map[string]string{"k": "\xff"} }, false},
	} {
		tenant := validTenant()
		tt.change(tenant)
		if err := tenant.Validate(); (err == nil) != tt.ok || !tt.ok && !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ok %v or ErrInvalid", tt.name, err, tt.ok)
		}
	}
}

// manyTags are one more than a tenant may have, in order.
func manyTags() (tags []string) {
	for i := range 65 {
		tags = append(tags, fmt.Sprintf("t%02d", i))
	}
	return tags
}
