package table

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/artflow-studio/tenancy"
)

// record is a record that knows the refs that lead to it.
type record struct{ refs []tenancy.Ref }

func (r *record) LeadsFrom(ref tenancy.Ref) bool { return slices.Contains(r.refs, ref) }

func to(r *record) *Target[*record] { return &Target[*record]{Record: r, Tenant: &tenancy.Tenant{}} }

// A ref without a value, which a strategy of the application may return for a header that
// is not there, is nobody's: not even that of a long name, or of an entry that was removed.
func TestTableNoValue(t *testing.T) {
	t.Parallel()
	r := &record{}
	var by Table[*record]
	by.Init()
	var refs []tenancy.Ref
	for n := range 100 {
		refs = append(refs, tenancy.Ref{Kind: tenancy.RefDomain, Value: strings.Repeat("k", n)})
	}
	r.refs = refs
	for n, ref := range refs {
		var e Entry[*record]
		e.set(by.Hash(ref), ref, to(r))
		for m, other := range refs {
			if got := e.is(by.Hash(other), other); got != (n == m) {
				t.Errorf("the entry of %d bytes is that of %d bytes: got %v", n, m, got)
			}
		}
		if got, want := e.hash(&by.hash), by.Hash(ref); got != want {
			t.Errorf("got the hash %x of the entry of %q, want %x", got, ref.Value, want)
		}
	}
	if new(Entry[*record]).is(by.Hash(tenancy.Ref{}), tenancy.Ref{}) {
		t.Error("an entry that was removed is that of a ref")
	}
}

// Of two long names that have one hash, each leads to its own record.
func TestTableLongNamesThatMeet(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a", 40)+".test", strings.Repeat("b", 40)+".test"
	var e Entry[*record]
	e.set(7, tenancy.Ref{Kind: tenancy.RefDomain, Value: a}, to(&record{refs: []tenancy.Ref{{Kind: tenancy.RefDomain, Value: a}}}))
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
			var e Entry[*record]
			e.set(7, ref, to(&record{refs: []tenancy.Ref{ref}}))
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

// The table does what a map does, over thousands of random changes, with short and long names, while goroutines read it.
func TestTableIsAMap(t *testing.T) {
	t.Parallel()
	var by Table[*record]
	by.Init()
	random := rand.New(rand.NewPCG(1, 2))
	var refs []tenancy.Ref
	for i := range 400 {
		refs = append(refs, tenancy.Ref{Kind: tenancy.RefKind(1 + i%3), Value: strings.Repeat("n", i%40) + strconv.Itoa(i)})
	}
	stop := make(chan struct{})
	var reading sync.WaitGroup
	for range 2 {
		reading.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				ref := refs[i%len(refs)]
				if e, _ := by.Look(ref); e != nil && !e.Of.LeadsFrom(ref) {
					t.Errorf("%v leads to the record of %v", ref, e.Of.refs)
					return
				}
				runtime.Gosched()
			}
		})
	}
	want := map[tenancy.Ref]*record{}
	for step := range 20_000 {
		ref := refs[random.IntN(len(refs))]
		switch random.IntN(3) {
		case 0:
			by.Remove(by.Hash(ref), ref, want[ref])
			delete(want, ref)
		case 1:
			by.Remove(by.Hash(ref), ref, &record{}) // another record: nothing is removed
		default:
			r := &record{refs: []tenancy.Ref{ref}}
			by.Put(by.Hash(ref), ref, Target[*record]{Record: r, Tenant: &tenancy.Tenant{}, Loaded: int64(step), Used: step%2 == 0})
			want[ref] = r
		}
		probe := refs[random.IntN(len(refs))]
		e, h := by.Look(probe)
		switch {
		case h != by.Hash(probe):
			t.Fatalf("step %d: Look(%v) returned another hash than Hash", step, probe)
		case e == nil && want[probe] != nil, e != nil && e.Of != want[probe], e != by.Get(h, probe):
			t.Fatalf("step %d: Look(%v) returned %v, want the record %v", step, probe, e, want[probe])
		}
	}
	close(stop)
	reading.Wait()
	seen := map[*record]bool{}
	for part := range by.Parts {
		for e := range part {
			seen[e.Of] = true
		}
	}
	if len(seen) != len(want) {
		t.Errorf("Parts yields %d records, want %d", len(seen), len(want))
	}
	for ref, r := range want {
		if !seen[r] {
			t.Errorf("Parts does not yield the record of %v", ref)
		}
	}
}
