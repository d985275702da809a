package cache

import (
	"math/bits"
	"sync/atomic"

	"github.com/artflow-studio/tenancy"
)

// table finds records by ref: a hash table whose readers take no lock and write
// nothing. Writers need one. It is cut into parts, so that growing copies a small
// part of it.
type table struct {
	hash  hasher
	parts [kinds * tableParts]part
}

const (
	kinds      = 4  // of refs, each with parts of its own: those that requests bring lie together
	tableParts = 64 // a power of two
	partBits   = 6
	tagBits    = 7
	group      = 8 // entries that are looked at together
)

type part struct {
	places atomic.Pointer[places]
	n      int // entries; the writer's, as the next
	taken  int // places of entries that are there, or were
}

// places are entries by hash, in groups.
type places struct {
	mask   uint64 // how many groups there are, a power of two, less one
	groups []places8
}

// places8 is a group. Its tags have a byte for each entry: 0 where there never was
// one, 1 where there is none any more, and otherwise some bits of the entry's hash
// with the highest bit set, so that hardly ever another entry than the right one is
// looked at. The look goes on to the next group until there is a 0.
//
// Entries are never written, except for what is atomic in them: a writer puts a copy of
// all of them in their place. A reader that sees the tags of before finds another
// entry than it asks for, or the one that was there.
type places8 struct {
	tags    atomic.Uint64
	entries atomic.Pointer[[group]entry]
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
	gone     = 1
)

// entry is a ref that leads to a record. A reader needs one line of memory of it
// when the name is short: a line that is not in the processor's cache costs as much
// as all the rest.
type entry struct {
	tenant *tenancy.Tenant
	loaded atomic.Int64 // as in record, or distrusted
	of     *record
	used   atomic.Bool // since the hand came by
	kind   tenancy.RefKind
	size   uint8 // of the name, or longName
	name   name  // if it is not short, a is its hash, and the record has the text
}

const longName = 0xff

// set makes the entry lead from the ref, of that hash, to the record.
func (e *entry) set(h uint64, ref tenancy.Ref, of *record, loaded int64, used bool) {
	e.tenant, e.of, e.kind = of.tenant, of, ref.Kind
	e.loaded.Store(loaded)
	e.used.Store(used)
	if n := len(ref.Value); n <= nameLen {
		e.name, e.size = nameOf(ref.Value), uint8(n) // at most nameLen
	} else {
		e.name, e.size = name{a: h}, longName
	}
}

// is reports whether the entry is that of the ref, of that hash. One that was removed
// is none's.
func (e *entry) is(h uint64, ref tenancy.Ref) bool {
	if n := len(ref.Value); n <= nameLen {
		return e.isShort(nameOf(ref.Value), n, ref.Kind)
	}
	return e.size == longName && e.name.a == h && e.kind == ref.Kind && e.of.leadsFrom(ref)
}

// isShort is is of a name of n bytes.
func (e *entry) isShort(w name, n int, kind tenancy.RefKind) bool {
	return e.name == w && int(e.size) == n && e.kind == kind && e.tenant != nil
}

// hash returns the hash of the entry's ref.
func (e *entry) hash(by *hasher) uint64 {
	if e.size == longName {
		return e.name.a
	}
	return by.short(e.name, int(e.size), e.kind)
}

func (t *table) init() {
	t.hash = newHasher()
	for i := range t.parts {
		t.parts[i].places.Store(newPlaces(1))
	}
}

func newPlaces(groups int) *places {
	return &places{mask: uint64(groups - 1), groups: make([]places8, groups)} // positive
}

func (t *table) part(h uint64, kind tenancy.RefKind) *part {
	return &t.parts[uint64(kind)%kinds*tableParts+h%tableParts]
}

func tagOf(h uint64) uint64 { return h>>partBits&(1<<tagBits-1) | 0x80 }

// zeros returns a word with the highest bit set of each byte that is 0 in w, and
// perhaps of some above such a byte.
func zeros(w uint64) uint64 { return (w - lowBits) &^ w & highBits }

// look returns the entry of the ref, or nil, and the ref's hash. It may be out of the
// table when it is used; what is written to it then is lost.
func (t *table) look(ref tenancy.Ref) (e *entry, h uint64) {
	n := len(ref.Value)
	if n > nameLen {
		h = t.hash.of(ref)
		return t.get(h, ref), h
	}
	w := nameOf(ref.Value)
	h = t.hash.short(w, n, ref.Kind)
	p := t.part(h, ref.Kind).places.Load()
	g := &p.groups[h>>(partBits+tagBits)&p.mask]
	// Nearly always it is in the first group, and the first there that looks like it.
	if match := zeros(g.tags.Load() ^ lowBits*tagOf(h)); match != 0 {
		if e = &g.entries.Load()[bits.TrailingZeros64(match)/8]; e.isShort(w, n, ref.Kind) {
			return e, h
		}
	}
	return t.get(h, ref), h
}

// get is look for who knows the hash.
func (t *table) get(h uint64, ref tenancy.Ref) *entry {
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

// put makes the ref lead to the record, in place of another that it may lead to. A
// reader sees the one or the other.
func (t *table) put(h uint64, ref tenancy.Ref, of *record, loaded int64, used bool) {
	at := t.part(h, ref.Kind)
	p := at.places.Load()
	if g, i := p.find(h, ref); g != nil {
		to := g.copied()
		to[i].set(h, ref, of, loaded, used)
		g.entries.Store(to)
		return
	}
	if at.taken >= len(p.groups)*group/8*7 {
		p = t.grow(at)
	}
	g, i := p.free(h)
	to := g.copied()
	to[i].set(h, ref, of, loaded, used)
	g.entries.Store(to)
	if g.tag(i) == 0 {
		at.taken++
	}
	g.setTag(i, tagOf(h))
	at.n++
}

// remove takes the ref out if it leads to the record.
func (t *table) remove(h uint64, ref tenancy.Ref, of *record) {
	at := t.part(h, ref.Kind)
	g, i := at.places.Load().find(h, ref)
	if g == nil || g.entries.Load()[i].of != of {
		return
	}
	g.setTag(i, gone)
	to := g.copied() // so that the record is not kept
	g.entries.Store(to)
	at.n--
}

// grow copies the entries to where there is room for as many again.
func (t *table) grow(at *part) *places {
	groups := 1
	for groups*group < 2*(at.n+1) {
		groups *= 2
	}
	p := newPlaces(groups)
	for e := range at.places.Load().all {
		h := e.hash(&t.hash)
		g, i := p.free(h)
		if g.entries.Load() == nil {
			g.entries.Store(new([group]entry)) // nobody reads it yet
		}
		g.entries.Load()[i].become(e)
		g.setTag(i, tagOf(h))
	}
	at.taken = at.n
	at.places.Store(p)
	return p
}

// find returns where the entry of the ref is, or nil.
func (p *places) find(h uint64, ref tenancy.Ref) (*places8, int) {
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

// free returns the first place for an entry that is not there. There is one.
func (p *places) free(h uint64) (*places8, int) {
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
func (p *places) all(yield func(*entry) bool) {
	for n := range p.groups {
		g := &p.groups[n]
		for i := range group {
			if g.tag(i) > gone && !yield(&g.entries.Load()[i]) {
				return
			}
		}
	}
}

func (g *places8) tag(i int) uint64 { return g.tags.Load() >> (8 * i) & 0xff }

func (g *places8) setTag(i int, tag uint64) {
	g.tags.Store(g.tags.Load()&^(0xff<<(8*i)) | tag<<(8*i))
}

// copied returns a copy of the entries that are there.
func (g *places8) copied() *[group]entry {
	to := new([group]entry)
	for i := range group {
		if g.tag(i) > gone {
			to[i].become(&g.entries.Load()[i])
		}
	}
	return to
}

// become makes an entry that was not there a copy of another.
func (e *entry) become(from *entry) {
	e.tenant, e.of, e.kind, e.size, e.name = from.tenant, from.of, from.kind, from.size, from.name
	e.loaded.Store(from.loaded.Load())
	e.used.Store(from.used.Load())
}
