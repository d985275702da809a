package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
)

const cache tenancy.Keyspace = "shop.cache"

// as returns a context with the tenant of that ID.
func as(t testing.TB, id tenancy.ID) context.Context {
	t.Helper()
	return tenancy.NewContext(t.Context(), &tenancy.Tenant{ID: id})
}

func TestKey(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		space tenancy.Keyspace
		id    tenancy.ID
		parts []string
		want  string
	}{
		{cache, "acme", []string{"user", "7"}, "shop.cache:{acme}:user:7"},
		{"Locks_2-x", "a_b", []string{"x"}, "Locks_2-x:{a_b}:x"},
		{cache, "acme", []string{""}, "shop.cache:{acme}:"},
		{cache, "acme", []string{"", ""}, "shop.cache:{acme}::"},
		{cache, "acme", []string{"a:b", "c"}, "shop.cache:{acme}:a%3Ab:c"},
		{cache, "acme", []string{"a", "b:c"}, "shop.cache:{acme}:a:b%3Ac"},
		{cache, "acme", []string{"}:{globex}:x"}, "shop.cache:{acme}:%7D%3A%7Bglobex%7D%3Ax"},
		{cache, "acme", []string{"*?[]\\^", "a b+\r\n\x00\xff%", "A-_.~"}, "shop.cache:{acme}:%2A%3F%5B%5D%5C%5E:a+b%2B%0D%0A%00%FF%25:A-_.~"},
	} {
		got, err := tt.space.Key(as(t, tt.id), tt.parts[0], tt.parts[1:]...)
		if err != nil || got != tt.want {
			t.Errorf("%s.Key(%s, %q) = %q, %v, want %q", tt.space, tt.id, tt.parts, got, err, tt.want)
		}
		id, parts, err := tt.space.Split(got)
		if err != nil || id != tt.id || !slices.Equal(parts, tt.parts) {
			t.Errorf("Split(%q) = %s, %q, %v, want %s, %q", got, id, parts, err, tt.id, tt.parts)
		}
	}
}

func TestNoKeyWithoutTenant(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		space tenancy.Keyspace
		ctx   context.Context
		want  error
	}{
		{"no tenant", cache, t.Context(), tenancy.ErrNoTenant},
		{"tenant without ID", cache, as(t, ""), tenancy.ErrInvalid},
		{"ID that ends the tag", cache, as(t, "acme}:x"), tenancy.ErrInvalid},
		{"ID with a star", cache, as(t, "a*"), tenancy.ErrInvalid},
		{"no name", "", as(t, "acme"), tenancy.ErrInvalid},
		{"colon", "a:b", as(t, "acme"), tenancy.ErrInvalid},
		{"tag", "{a}", as(t, "acme"), tenancy.ErrInvalid},
		{"star", "a*", as(t, "acme"), tenancy.ErrInvalid},
		{"long", tenancy.Keyspace(strings.Repeat("a", 65)), as(t, "acme"), tenancy.ErrInvalid},
	} {
		if got, err := tt.space.Key(tt.ctx, "user"); got != "" || !errors.Is(err, tt.want) {
			t.Errorf("%s: Key = %q, %v, want nothing and %v", tt.name, got, err, tt.want)
		}
		if got, err := tt.space.Prefix(tt.ctx); got != "" || !errors.Is(err, tt.want) {
			t.Errorf("%s: Prefix = %q, %v, want nothing and %v", tt.name, got, err, tt.want)
		}
	}
	if _, err := tenancy.Keyspace(strings.Repeat("a", 64)).Key(as(t, "acme"), "x"); err != nil {
		t.Errorf("keyspace of 64 bytes: %v", err)
	}
}

func TestSplitRefuses(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"", "shop.cache", "shop.cache:{acme}", "shop.cache:{}:x", "shop.cache:{acme:x", "shop.cache:acme:x", "shop:{acme}:x",
		"xshop.cache:{acme}:x", "shop.cache:{Acme}:x", "shop.cache:{acme}x:y", "shop.cache:{acme}:%6", "shop.cache:{acme}:%61",
		"shop.cache:{acme}:%3a", "shop.cache:{acme}:planted secret", "shop.cache:{acme}:a/b", "shop.cache:{acme}:*",
	} {
		id, parts, err := cache.Split(key)
		if id != "" || parts != nil || !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("Split(%q) = %s, %q, %v, want ErrInvalid", key, id, parts, err)
		} else if strings.Contains(err.Error(), "planted") {
			t.Errorf("Split(%q): got %q, want an error without the key", key, err)
		}
	}
	if _, _, err := tenancy.Keyspace("").Split(":{acme}:x"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("Split of a keyspace without a name: got %v, want ErrInvalid", err)
	}
}

// Of all combinations of what looks alike, no two have the same key, and the
// prefix of a tenant is that of its own keys alone.
func TestKeysDiffer(t *testing.T) {
	t.Parallel()
	odd := []string{"", "a", "b", ":", "%", "%3A", "a:b", "a%3Ab", "}:", "{a}", "+", " ", "%20", "*", "a}:{b", "\xff", "é"}
	var lists [][]string
	for _, p := range odd {
		lists = append(lists, []string{p})
		for _, q := range odd {
			lists = append(lists, []string{p, q}, []string{p, q, ""}, []string{"", p, q})
		}
	}
	type source struct {
		space tenancy.Keyspace
		id    tenancy.ID
		parts string
	}
	made, prefixes := map[string]source{}, map[string]source{}
	for _, space := range []tenancy.Keyspace{"a", "a.b"} {
		for _, id := range []tenancy.ID{"a", "b", "ab", "a-b", "a_b"} {
			prefix, err := space.Prefix(as(t, id))
			if err != nil {
				t.Fatal(err)
			}
			prefixes[prefix] = source{space, id, ""}
			for _, parts := range lists {
				key, err := space.Key(as(t, id), parts[0], parts[1:]...)
				from := source{space, id, fmt.Sprintf("%q", parts)}
				if err != nil {
					t.Fatalf("%v: %v", from, err)
				}
				if other, taken := made[key]; taken && other != from {
					t.Errorf("got %q for %v and for %v", key, from, other)
				}
				made[key] = from
			}
		}
	}
	for key, from := range made {
		for prefix, of := range prefixes {
			if got, want := strings.HasPrefix(key, prefix), from.space == of.space && from.id == of.id; got != want {
				t.Errorf("the prefix %q is that of %q: %v, want %v", prefix, key, got, want)
			}
		}
	}
}

// FuzzKeyspace makes two keys of what may differ in every way, and looks whether
// they are equal only if everything is, and whether a prefix, read as a pattern,
// finds its own tenant's keys alone.
func FuzzKeyspace(f *testing.F) {
	f.Add("c", "acme", "a:b", "c", "c", "acme", "a", "b:c")
	f.Add("c", "a", "b", "", "c", "a", "b", "")
	f.Add("c", "a", "x", "y", "c", "ab", "x", "y")
	f.Add("c", "a_b", "x", "y", "c", "axb", "x", "y")
	f.Add("c", "a", "}:{b}:", "", "c", "b", "", "")
	f.Add("a", "b", "*", "", "a.a", "b", "*", "")
	f.Fuzz(func(t *testing.T, s1, id1, p1, q1, s2, id2, p2, q2 string) {
		make := func(space, id string, parts ...string) (key, prefix string) {
			ctx := as(t, tenancy.ID(id))
			key, err := tenancy.Keyspace(space).Key(ctx, parts[0], parts[1:]...)
			if err != nil {
				if !errors.Is(err, tenancy.ErrInvalid) || key != "" {
					t.Fatalf("Key = %q, %v, want ErrInvalid", key, err)
				}
				return "", ""
			}
			prefix, err = tenancy.Keyspace(space).Prefix(ctx)
			if err != nil || !strings.HasPrefix(key, prefix) {
				t.Errorf("Prefix = %q, %v, want what %q begins with", prefix, err, key)
			}
			gotID, got, err := tenancy.Keyspace(space).Split(key)
			if err != nil || string(gotID) != id || !slices.Equal(got, parts) {
				t.Errorf("Split(%q) = %s, %q, %v, want %s, %q", key, gotID, got, err, id, parts)
			}
			for _, c := range []byte(key) {
				if c <= ' ' || c >= 0x7f {
					t.Errorf("got the byte %#x in %q, want printable ASCII", c, key)
				}
			}
			return key, prefix
		}
		key1, prefix1 := make(s1, id1, p1, q1)
		key2, _ := make(s2, id2, p2, q2)
		if key1 == "" || key2 == "" {
			return
		}
		sameTenant := s1 == s2 && id1 == id2
		if same := sameTenant && p1 == p2 && q1 == q2; (key1 == key2) != same {
			t.Errorf("got %q and %q, want equal keys: %v", key1, key2, same)
		}
		if ok, err := path.Match(prefix1+"*", key2); err != nil || ok != sameTenant {
			t.Errorf("the pattern %q finds %q: %v, %v, want %v", prefix1+"*", key2, ok, err, sameTenant)
		}
		one, _ := make(s1, id1, p1)
		joined, _ := make(s1, id1, p1+":"+q1)
		if one == key1 || joined == key1 {
			t.Errorf("got %q for other parts than %q and %q as well", key1, p1, q1)
		}
		if _, _, err := tenancy.Keyspace(s1).Split(key2); (err == nil) != (s1 == s2) {
			t.Errorf("Split of %q by %q: got %v, want an error if it is of another keyspace", key2, s1, err)
		}
	})
}

func BenchmarkKeyspace(b *testing.B) {
	ctx := as(b, tenancy.NewID())
	b.Run("Key", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := cache.Key(ctx, "user", "7"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("by hand", func(b *testing.B) { // and without a check
		b.ReportAllocs()
		for b.Loop() {
			t, err := tenancy.Require(ctx)
			if err != nil {
				b.Fatal(err)
			}
			_ = "shop.cache:" + string(t.ID) + ":user:7"
		}
	})
}
