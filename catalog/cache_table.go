package catalog

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"

	"github.com/artflow-studio/tenancy"
)

// table finds records by ref: a hash table whose readers take no lock and write
// nothing. Writers need one. It is cut into parts, so that growing copies a small
// part of it.
type table struct {
	seed  maphash.Seed
	parts [tableParts]part
}

const (
	tableParts = 64 // a power of two
	partBits   = 6
	tagBits    = 7
	group      = 8 // places that are looked at together
)

type part struct {
	places atomic.Pointer[places]
	n      int // nodes; the writer's, as the next
	taken  int // places that hold a node, or held one
}

// places are nodes by hash, in groups. Each group has a word with a byte for each of
// its places: 0 where there never was a node, 1 where there is none any more, and
// otherwise some bits of the node's hash with the highest bit set, so that hardly
// ever another node than the right one is looked at. The look goes on to the next
// group until there is a 0.
type places struct {
	mask  uint64 // how many groups there are, a power of two, less one
	tags  []atomic.Uint64
	nodes []atomic.Pointer[node]
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
	gone     = 1
)

// node is a ref in a table. A reader needs one line of memory of it when the name
// is short: a line that is not in the processor's cache costs as much as all the
// rest.
type node struct {
	loaded atomic.Int64 // as in record, or distrusted
	tenant *tenancy.Tenant
	used   atomic.Bool // since the hand came by
	kind   tenancy.RefKind
	size   uint8          // of what is in short
	short  [shortKey]byte // the name, if it is that short
	long   string         // the name otherwise
	of     *record
}

const shortKey = 18 // for 64 bytes

func newNode(ref tenancy.Ref, r *record, loaded int64) *node {
	n := &node{kind: ref.Kind, tenant: r.tenant, of: r}
	n.loaded.Store(loaded)
	if len(ref.Value) <= shortKey {
		n.size = uint8(copy(n.short[:], ref.Value)) //nolint:gosec // at most shortKey
	} else {
		n.long = ref.Value
	}
	return n
}

// is reports whether the node is that of the ref.
func (n *node) is(ref tenancy.Ref) bool {
	if n.kind != ref.Kind {
		return false
	}
	if len(ref.Value) <= shortKey {
		return string(n.short[:n.size]) == ref.Value
	}
	return n.long == ref.Value
}

func (n *node) ref() tenancy.Ref {
	if n.long != "" {
		return tenancy.Ref{Kind: n.kind, Value: n.long}
	}
	return tenancy.Ref{Kind: n.kind, Value: string(n.short[:n.size])}
}

func (t *table) init() {
	t.seed = maphash.MakeSeed()
	for i := range t.parts {
		t.parts[i].places.Store(newPlaces(1))
	}
}

func newPlaces(groups int) *places {
	return &places{
		mask: uint64(groups - 1), //nolint:gosec // positive
		tags: make([]atomic.Uint64, groups), nodes: make([]atomic.Pointer[node], groups*group),
	}
}

func (t *table) hash(ref tenancy.Ref) uint64 {
	return maphash.String(t.seed, ref.Value) + uint64(ref.Kind)*0x9e3779b97f4a7c15 // odd: see Knuth's multiplicative hashing
}

func tagOf(h uint64) uint64 { return h>>partBits&(1<<tagBits-1) | 0x80 }

// zeros returns a word with the highest bit set of each byte that is 0 in w, and
// perhaps of some above such a byte.
func zeros(w uint64) uint64 { return (w - lowBits) &^ w & highBits }

// get returns the node of the ref, or nil.
func (t *table) get(h uint64, ref tenancy.Ref) *node {
	p := t.parts[h%tableParts].places.Load()
	for g := h >> (partBits + tagBits) & p.mask; ; g = (g + 1) & p.mask {
		tags := p.tags[g].Load()
		for match := zeros(tags ^ lowBits*tagOf(h)); match != 0; match &= match - 1 {
			if n := p.nodes[g*group+uint64(bits.TrailingZeros64(match)/8)].Load(); n != nil && n.is(ref) { //nolint:gosec // below 8
				return n
			}
		}
		if zeros(tags) != 0 {
			return nil
		}
	}
}

// at returns the place of the node, or -1.
func (p *places) at(h uint64, ref tenancy.Ref) int {
	for g := h >> (partBits + tagBits) & p.mask; ; g = (g + 1) & p.mask {
		for i := g * group; i < (g+1)*group; i++ {
			if n := p.nodes[i].Load(); n != nil && n.is(ref) {
				return int(i) //nolint:gosec // an index
			}
		}
		if zeros(p.tags[g].Load()) != 0 {
			return -1
		}
	}
}

// put adds the node in place of one with the same ref. A reader sees the one or
// the other.
func (t *table) put(h uint64, n *node) {
	of := &t.parts[h%tableParts]
	p := of.places.Load()
	if i := p.at(h, n.ref()); i >= 0 {
		p.nodes[i].Store(n)
		return
	}
	if of.taken >= len(p.nodes)/8*7 {
		p = t.grow(of)
	}
	of.n++
	if p.add(h, n) == 0 {
		of.taken++
	}
}

// add adds a node that is not there, and returns the tag that its place had.
func (p *places) add(h uint64, n *node) uint64 {
	for g := h >> (partBits + tagBits) & p.mask; ; g = (g + 1) & p.mask {
		tags := p.tags[g].Load()
		for i := range uint64(group) {
			if tag := tags >> (8 * i) & 0xff; tag <= gone {
				p.nodes[g*group+i].Store(n)
				p.tags[g].Store(tags&^(0xff<<(8*i)) | tagOf(h)<<(8*i))
				return tag
			}
		}
	}
}

// remove takes the node out.
func (t *table) remove(n *node) {
	ref := n.ref()
	h := t.hash(ref)
	of := &t.parts[h%tableParts]
	p := of.places.Load()
	i := p.at(h, ref)
	if i < 0 || p.nodes[i].Load() != n {
		return
	}
	p.nodes[i].Store(nil)
	g, shift := i/group, i%group*8
	p.tags[g].Store(p.tags[g].Load()&^(0xff<<shift) | gone<<shift)
	of.n--
}

// grow copies the nodes to where there is room for as many again.
func (t *table) grow(of *part) *places {
	old := of.places.Load()
	groups := 1
	for groups*group < 2*(of.n+1) {
		groups *= 2
	}
	p := newPlaces(groups)
	for i := range old.nodes {
		if n := old.nodes[i].Load(); n != nil {
			p.add(t.hash(n.ref()), n)
		}
	}
	of.taken = of.n
	of.places.Store(p)
	return p
}

// each calls fn with the nodes of one part.
func (t *table) each(part int, fn func(*node)) {
	p := t.parts[part].places.Load()
	for i := range p.nodes {
		if n := p.nodes[i].Load(); n != nil {
			fn(n)
		}
	}
}
