package cache

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
)

// A ref without a value, which a strategy of the application may return for a header that
// is not there, is nobody's: not even that of a long name, or of an entry that was removed.
func TestTableNoValue(t *testing.T) {
	t.Parallel()
	r := &record{tenant: &tenancy.Tenant{ID: "acme-1", Slug: "acme"}}
	var by table
	by.init()
	var refs []tenancy.Ref
	for n := range 100 {
		refs = append(refs, tenancy.Ref{Kind: tenancy.RefDomain, Value: strings.Repeat("k", n)})
	}
	r.others = refs
	for n, ref := range refs {
		var e entry
		e.set(by.hash.of(ref), ref, r, 0, false)
		for m, other := range refs {
			if got := e.is(by.hash.of(other), other); got != (n == m) {
				t.Errorf("the entry of %d bytes is that of %d bytes: got %v", n, m, got)
			}
		}
		if got, want := e.hash(&by.hash), by.hash.of(ref); got != want {
			t.Errorf("got the hash %x of the entry of %q, want %x", got, ref.Value, want)
		}
	}
	if new(entry).is(by.hash.of(tenancy.Ref{}), tenancy.Ref{}) {
		t.Error("an entry that was removed is that of a ref")
	}
}

// Of two long names that have one hash, each leads to its own record.
func TestTableLongNamesThatMeet(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a", 40)+".test", strings.Repeat("b", 40)+".test"
	var e entry
	e.set(7, tenancy.Ref{Kind: tenancy.RefDomain, Value: a}, &record{tenant: &tenancy.Tenant{Domains: []string{a}}}, 0, false)
	if !e.is(7, tenancy.Ref{Kind: tenancy.RefDomain, Value: a}) || e.is(7, tenancy.Ref{Kind: tenancy.RefDomain, Value: b}) {
		t.Error("the entry of one long name is that of another")
	}
}

// What is an unknown slug may be a tenant's ID, and leads to it: refs are told apart
// by their kind, and their hashes are.
func TestTableKinds(t *testing.T) {
	t.Parallel()
	h := newHasher()
	for _, text := range []string{"", "a", "acme", "acme-123", strings.Repeat("a", nameLen), strings.Repeat("a", nameLen+1)} {
		seen := map[uint64]bool{}
		for kind := range tenancy.RefKind(kinds + 1) {
			ref := tenancy.Ref{Kind: kind, Value: text}
			seen[h.of(ref)] = true
			var e entry
			e.set(7, ref, &record{tenant: &tenancy.Tenant{}, others: []tenancy.Ref{ref}}, 0, false)
			for other := range tenancy.RefKind(kinds + 1) {
				if got := e.is(7, tenancy.Ref{Kind: other, Value: text}); got != (kind == other) {
					t.Errorf("%q: the entry of a %v is that of a %v: got %v", text, kind, other, got)
				}
			}
		}
		if len(seen) != kinds+1 {
			t.Errorf("%q: got %d hashes of %d kinds", text, len(seen), kinds+1)
		}
	}
}

// Nobody knows which names meet: each table has keys of its own.
func TestHasherIsSecret(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "a", "acme", "acme-123", "acme-1234567", "acme-12345678901234567890", strings.Repeat("a", nameLen+1)} {
		ref := tenancy.Ref{Kind: tenancy.RefSlug, Value: text}
		one, two := newHasher(), newHasher()
		if one.of(ref) == two.of(ref) {
			t.Errorf("%q: got one hash with the keys of two tables", text)
		}
	}
	for range 100 {
		keys := newHasher().keys
		all := []uint64{keys.a, keys.b, keys.c, keys.d}
		slices.Sort(all)
		if len(slices.Compact(all)) != 4 || all[0] == 0 {
			t.Errorf("got the keys %x, want four that differ", keys)
		}
	}
}

// No two texts have the same words and length, wherever they differ.
func TestNameOf(t *testing.T) {
	t.Parallel()
	for n := range nameLen + 1 {
		text := "abcdefghijklmnopqrstuvwxyz012345"[:n]
		want := nameOf(text)
		if nameOf(strings.Clone(text)) != want {
			t.Fatalf("%q is packed in two ways", text)
		}
		for i := range n {
			for _, c := range []string{"\x00", "a", "z", "-", "\xff", text[i:i+1] + "\x00"} {
				other := text[:i] + c[:1] + text[i+1:]
				if (nameOf(other) == want) != (other == text) {
					t.Errorf("%q and %q are packed alike", text, other)
				}
			}
		}
	}
}

// Names that differ little are spread over parts, tags and groups as if at random.
func TestHasherSpreads(t *testing.T) {
	t.Parallel()
	const n = 1 << 16
	h := newHasher()
	for _, format := range []string{"%d", "t%07d", "tenant-%06d", "tenant-%06d.example.org", "%06d-a-long-name-of-a-tenant", "01j%023d", "01j%06d0123456789abcdefg"} {
		seen := map[uint64]bool{}
		var buckets [1 << 12]int
		for i := range n {
			hash := h.of(tenancy.Ref{Kind: tenancy.RefSlug, Value: fmt.Sprintf(format, i)})
			seen[hash] = true
			buckets[hash%uint64(len(buckets))]++
			buckets[hash>>20%uint64(len(buckets))]++
		}
		if len(seen) != n {
			t.Errorf("%s: %d names have the hash of another", format, n-len(seen))
		}
		// Of 32 each; a bucket is beyond 80 with a chance of 1 in 10^11.
		if most := slices.Max(buckets[:]); most > 80 {
			t.Errorf("%s: %d in one bucket of %d, want about %d", format, most, len(buckets), 2*n/len(buckets))
		}
	}
}
