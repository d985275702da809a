// Package table is the hash table of the catalog's cache: refs of tenants on one side, records on the other. It is made by hand because a look
// into it is most of what the cache adds to a request; see "The cache's table" in docs/decisions.md for what that saves.
package table

import (
	"iter"
	"math/bits"
	"sync/atomic"

	"github.com/artflow-studio/tenancy"
)

// Record is what refs lead to. The table keeps the text of short names itself; for a long name it asks the record.
type Record interface {
	comparable
	// LeadsFrom reports whether the ref leads to the record.
	LeadsFrom(ref tenancy.Ref) bool
}

// Table finds records by ref. Readers take no lock and write nothing. Writers need a lock of their caller's. The table is cut into
// parts, so that growing copies a small part of it. A Table must not be copied.
type Table[R Record] struct {
	hash  hasher
	parts [kinds * partsOfKind]part[R]
}

const (
	kinds       = 4  // each kind of ref has parts of its own, so that the refs of requests lie together
	partsOfKind = 64 // a power of two
	partBits    = 6
	tagBits     = 7
	group       = 8 // entries that are looked at together
)

// part is a hash table of its own. Only writers use n and taken.
type part[R Record] struct {
	places atomic.Pointer[places[R]]
	n      int // entries
	taken  int // places that have an entry or had one
}

// places are entries by hash, in groups.
type places[R Record] struct {
	mask   uint64 // the number of groups, a power of two, less one
	groups []places8[R]
}

// places8 is a group. Its tags have a byte for each entry: 0 where there never was
// one, 1 where one was removed, and otherwise some bits of the entry's hash with the
// highest bit set, so that a look hardly ever compares a wrong entry. A look goes on to
// the next group until there is a 0.
//
// Entries are immutable, except for their atomic fields: a writer replaces all entries of
// the group by a copy. A reader that still sees the old tags finds the old entry, or
// another one, which it recognises as wrong.
type places8[R Record] struct {
	tags    atomic.Uint64
	entries atomic.Pointer[[group]Entry[R]]
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
	gone     = 1
)

// Entry is a ref that leads to a record. It fits into one cache line of the processor, which is all that a reader of a short name
// touches: a line that must come from memory costs as much as everything else together.
type Entry[R Record] struct {
	// Tenant is what a reader wants: the record's tenant.
	Tenant *tenancy.Tenant
	// Loaded is a time of the caller's, which the caller may change.
	Loaded atomic.Int64
	// Of is the record.
	Of R
	// Used is a mark of the caller's.
	Used atomic.Bool

	kind tenancy.RefKind
	size uint8 // of the name, or longName
	name name  // of a long name, a is the hash; the record knows the text
}

const longName = 0xff

// Target is where [Table.Put] makes a ref lead to.
type Target[R Record] struct {
	Record R
	Tenant *tenancy.Tenant
	Loaded int64
	Used   bool
}

// set makes the entry lead from the ref, whose hash is h, to the target.
func (e *Entry[R]) set(h uint64, ref tenancy.Ref, to *Target[R]) {
	e.Tenant, e.Of, e.kind = to.Tenant, to.Record, ref.Kind
	e.Loaded.Store(to.Loaded)
	e.Used.Store(to.Used)
	if n := len(ref.Value); n <= nameLen {
		e.name, e.size = nameOf(ref.Value), uint8(n) // at most nameLen
	} else {
		e.name, e.size = name{a: h}, longName
	}
}

// is reports whether the entry belongs to the ref, whose hash is h. A removed entry belongs to no ref.
func (e *Entry[R]) is(h uint64, ref tenancy.Ref) bool {
	if n := len(ref.Value); n <= nameLen {
		return e.isShort(nameOf(ref.Value), n, ref.Kind)
	}
	return e.size == longName && e.name.a == h && e.kind == ref.Kind && e.Of.LeadsFrom(ref)
}

// isShort is the method is for a name of n bytes.
func (e *Entry[R]) isShort(w name, n int, kind tenancy.RefKind) bool {
	return e.name == w && int(e.size) == n && e.kind == kind && e.Tenant != nil
}

// hash returns the hash of the entry's ref.
func (e *Entry[R]) hash(by *hasher) uint64 {
	if e.size == longName {
		return e.name.a
	}
	return by.short(e.name, int(e.size), e.kind)
}

// Init makes the table empty. Call it once, before anything else.
func (t *Table[R]) Init() {
	t.hash = newHasher()
	for i := range t.parts {
		t.parts[i].places.Store(newPlaces[R](1))
	}
}

// Hash returns the hash of a ref, which the other methods want. It differs from table to table, so that nobody can choose refs with one hash.
func (t *Table[R]) Hash(ref tenancy.Ref) uint64 { return t.hash.of(ref) }

func newPlaces[R Record](groups int) *places[R] {
	return &places[R]{mask: uint64(groups - 1), groups: make([]places8[R], groups)} // positive
}

func (t *Table[R]) part(h uint64, kind tenancy.RefKind) *part[R] {
	return &t.parts[uint64(kind)%kinds*partsOfKind+h%partsOfKind]
}

func tagOf(h uint64) uint64 { return h>>partBits&(1<<tagBits-1) | 0x80 }

// zeros returns a word with the highest bit set of each byte that is 0 in w, and
// perhaps of some above such a byte.
func zeros(w uint64) uint64 { return (w - lowBits) &^ w & highBits }

// Look returns the entry of the ref, or nil, and the ref's hash. The entry may have left the table by the time that the caller uses it;
// what the caller writes to it then is lost. Many goroutines may call Look, also while one writes.
func (t *Table[R]) Look(ref tenancy.Ref) (e *Entry[R], h uint64) {
	n := len(ref.Value)
	if n > nameLen {
		h = t.hash.of(ref)
		return t.Get(h, ref), h
	}
	w := nameOf(ref.Value)
	h = t.hash.short(w, n, ref.Kind)
	p := t.part(h, ref.Kind).places.Load()
	g := &p.groups[h>>(partBits+tagBits)&p.mask]
	// Nearly always the entry is in the first group, and is the first one there with this tag.
	if match := zeros(g.tags.Load() ^ lowBits*tagOf(h)); match != 0 {
		if e = &g.entries.Load()[bits.TrailingZeros64(match)/8]; e.isShort(w, n, ref.Kind) {
			return e, h
		}
	}
	return t.Get(h, ref), h
}

// Get is [Table.Look] for a caller that knows the hash.
func (t *Table[R]) Get(h uint64, ref tenancy.Ref) *Entry[R] {
	p := t.part(h, ref.Kind).places.Load()
	for i := h >> (partBits + tagBits) & p.mask; ; i = (i + 1) & p.mask {
		g := &p.groups[i]
		tags := g.tags.Load()
		for match := zeros(tags ^ lowBits*tagOf(h)); match != 0; match &= match - 1 {
			if e := &g.entries.Load()[bits.TrailingZeros64(match)/8]; e.is(h, ref) {
				return e
			}
		}
		if zeros(tags) != 0 {
			return nil
		}
	}
}

// Put stores the target under the ref, whose hash is h. If the ref had another target, a concurrent reader sees the old or the new one.
// The caller holds its own lock.
func (t *Table[R]) Put(h uint64, ref tenancy.Ref, to Target[R]) {
	at := t.part(h, ref.Kind)
	p := at.places.Load()
	if g, i := p.find(h, ref); g != nil {
		entries := g.copied()
		entries[i].set(h, ref, &to)
		g.entries.Store(entries)
		return
	}
	if at.taken >= len(p.groups)*group/8*7 {
		p = t.grow(at)
	}
	g, i := p.free(h)
	entries := g.copied()
	entries[i].set(h, ref, &to)
	g.entries.Store(entries)
	if g.tag(i) == 0 {
		at.taken++
	}
	g.setTag(i, tagOf(h))
	at.n++
}

// Remove removes the ref, whose hash is h, if it leads to the record. The caller holds its lock.
func (t *Table[R]) Remove(h uint64, ref tenancy.Ref, of R) {
	at := t.part(h, ref.Kind)
	g, i := at.places.Load().find(h, ref)
	if g == nil || g.entries.Load()[i].Of != of {
		return
	}
	g.setTag(i, gone)
	g.entries.Store(g.copied()) // without the entry, so that its record can be collected
	at.n--
}

// Parts yields sequences of entries, which together have all entries of the table. A caller that must not hold its lock for long takes it for
// each part.
func (t *Table[R]) Parts(yield func(iter.Seq[*Entry[R]]) bool) {
	for i := range t.parts {
		if !yield(func(yield func(*Entry[R]) bool) { t.parts[i].places.Load().all(yield) }) {
			return
		}
	}
}

// grow copies the entries to a place with room for as many again.
func (t *Table[R]) grow(at *part[R]) *places[R] {
	groups := 1
	for groups*group < 2*(at.n+1) {
		groups *= 2
	}
	p := newPlaces[R](groups)
	for e := range at.places.Load().all {
		h := e.hash(&t.hash)
		g, i := p.free(h)
		if g.entries.Load() == nil {
			g.entries.Store(new([group]Entry[R])) // nobody reads p yet
		}
		g.entries.Load()[i].become(e)
		g.setTag(i, tagOf(h))
	}
	at.taken = at.n
	at.places.Store(p)
	return p
}

// find returns where the entry of the ref is, or nil.
func (p *places[R]) find(h uint64, ref tenancy.Ref) (*places8[R], int) {
	for n := h >> (partBits + tagBits) & p.mask; ; n = (n + 1) & p.mask {
		g := &p.groups[n]
		for i := range group {
			if g.tag(i) == tagOf(h) && g.entries.Load()[i].is(h, ref) {
				return g, i
			}
		}
		if zeros(g.tags.Load()) != 0 {
			return nil, 0
		}
	}
}

// free returns the first free place for an entry of that hash. There always is one.
func (p *places[R]) free(h uint64) (*places8[R], int) {
	for n := h >> (partBits + tagBits) & p.mask; ; n = (n + 1) & p.mask {
		g := &p.groups[n]
		for i := range group {
			if g.tag(i) <= gone {
				return g, i
			}
		}
	}
}

// all yields the entries.
func (p *places[R]) all(yield func(*Entry[R]) bool) {
	for n := range p.groups {
		g := &p.groups[n]
		for i := range group {
			if g.tag(i) > gone && !yield(&g.entries.Load()[i]) {
				return
			}
		}
	}
}

func (g *places8[R]) tag(i int) uint64 { return g.tags.Load() >> (8 * i) & 0xff }

func (g *places8[R]) setTag(i int, tag uint64) {
	g.tags.Store(g.tags.Load()&^(0xff<<(8*i)) | tag<<(8*i))
}

// copied returns a copy of the entries that are there.
func (g *places8[R]) copied() *[group]Entry[R] {
	to := new([group]Entry[R])
	for i := range group {
		if g.tag(i) > gone {
			to[i].become(&g.entries.Load()[i])
		}
	}
	return to
}

// become makes an unused entry a copy of another.
func (e *Entry[R]) become(from *Entry[R]) {
	e.Tenant, e.Of, e.kind, e.size, e.name = from.Tenant, from.Of, from.kind, from.size, from.name
	e.Loaded.Store(from.Loaded.Load())
	e.Used.Store(from.Used.Load())
}
