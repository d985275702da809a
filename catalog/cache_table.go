package catalog

import (
	"hash/maphash"
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
)

type part struct {
	buckets atomic.Pointer[buckets]
	n       int // nodes; the writer's
}

type buckets struct {
	mask  uint64 // how many there are, a power of two, less one
	heads []atomic.Pointer[node]
}

// node is a ref in a table. What a reader needs of it fits into a line of the
// processor's cache.
type node struct {
	next   atomic.Pointer[node]
	key    string
	tenant *tenancy.Tenant
	of     *record
	loaded atomic.Int64 // as in record, or distrusted
	hash   uint64
	used   atomic.Bool // since the hand came by
	kind   tenancy.RefKind
}

func (n *node) ref() tenancy.Ref { return tenancy.Ref{Kind: n.kind, Value: n.key} }

func (t *table) init() {
	t.seed = maphash.MakeSeed()
	for i := range t.parts {
		t.parts[i].buckets.Store(newBuckets(1))
	}
}

func newBuckets(n int) *buckets {
	return &buckets{mask: uint64(n - 1), heads: make([]atomic.Pointer[node], n)} //nolint:gosec // positive
}

func (t *table) hash(ref tenancy.Ref) uint64 {
	return maphash.String(t.seed, ref.Value) + uint64(ref.Kind)*0x9e3779b97f4a7c15 // odd: see Knuth's multiplicative hashing
}

// get returns the node of the ref, or nil.
func (t *table) get(h uint64, ref tenancy.Ref) *node {
	b := t.parts[h%tableParts].buckets.Load()
	for n := b.heads[h>>partBits&b.mask].Load(); n != nil; n = n.next.Load() {
		if n.hash == h && n.kind == ref.Kind && n.key == ref.Value {
			return n
		}
	}
	return nil
}

// place returns where the node of the ref is pointed to, or where it would be:
// then what it points to is nil.
func (t *table) place(h uint64, ref tenancy.Ref) *atomic.Pointer[node] {
	b := t.parts[h%tableParts].buckets.Load()
	at := &b.heads[h>>partBits&b.mask]
	for n := at.Load(); n != nil; n = at.Load() {
		if n.hash == h && n.kind == ref.Kind && n.key == ref.Value {
			return at
		}
		at = &n.next
	}
	return at
}

// put adds the node in place of one with the same ref. A reader sees the one or
// the other.
func (t *table) put(n *node) {
	at := t.place(n.hash, n.ref())
	if old := at.Load(); old != nil {
		n.next.Store(old.next.Load())
		at.Store(n)
		return
	}
	at.Store(n)
	p := &t.parts[n.hash%tableParts]
	p.n++
	if b := p.buckets.Load(); p.n > len(b.heads)/2 {
		p.grow(b)
	}
}

// remove takes the node out. Readers that have it go on from it.
func (t *table) remove(n *node) {
	at := t.place(n.hash, n.ref())
	if at.Load() == n {
		at.Store(n.next.Load())
		t.parts[n.hash%tableParts].n--
	}
}

// grow copies the nodes, because readers go along the old ones.
func (p *part) grow(old *buckets) {
	b := newBuckets(2 * len(old.heads))
	for i := range old.heads {
		for n := old.heads[i].Load(); n != nil; n = n.next.Load() {
			c := &node{key: n.key, tenant: n.tenant, of: n.of, hash: n.hash, kind: n.kind}
			c.loaded.Store(n.loaded.Load())
			c.used.Store(n.used.Load())
			head := &b.heads[n.hash>>partBits&b.mask]
			c.next.Store(head.Load())
			head.Store(c)
		}
	}
	p.buckets.Store(b)
}
