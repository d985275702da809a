package cache

import (
	"math"
	"slices"
	"sync"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache/internal/table"
)

const (
	// distrusted is the load time of a record that must be loaded again before it is used.
	distrusted = math.MinInt64
	// tried is that of one whose load has failed since: it is used while the origin fails.
	tried = distrusted + 1
)

// memory has the records in process: at most size of them. It evicts the least used first (SIEVE,
// https://www.usenix.org/conference/nsdi24/presentation/zhang-yazhuo).
//
// Each change that the cache hears of has a number. A load remembers the number of the last change before it
// began. If a later change may have touched what it found, that is not kept.
type memory struct {
	table table.Table[*record]

	mu      sync.Mutex // guards what follows and writing to table
	size    int
	n       int
	newest  *record
	oldest  *record
	hand    *record
	change  uint64                // number of the last change
	lost    uint64                // number of the last change that touched everything
	touched [touchedParts]uint64  // number of the last change, by a part of the hash
	evicted int64                 // records
	unknown *refSet               // refs that lead nowhere
	changes *refSet               // refs of changes, which led to a tenant before or do now
	flights map[tenancy.Ref]*load // by ref, those that may be joined
}

const (
	touchedParts = 4096 // two refs that meet here cost a load now and then
	maxOthers    = 100  // refs of a record that it does not name
)

// record is one tenant in memory.
type record struct {
	tenant *tenancy.Tenant
	loaded int64         // when its load from the origin began, on the cache's clock
	others []tenancy.Ref // that led to it, and that it does not name itself

	newer, older *record
}

// refs yields all refs that lead to the record.
func (r *record) refs(yield func(tenancy.Ref) bool) {
	for ref := range catalog.RefsOf(r.tenant) {
		if !yield(ref) {
			return
		}
	}
	for _, ref := range r.others {
		if !yield(ref) {
			return
		}
	}
}

// LeadsFrom reports whether the ref is one of those. It implements [table.Record].
func (r *record) LeadsFrom(ref tenancy.Ref) bool {
	return names(r.tenant, ref) || slices.Contains(r.others, ref)
}

func (m *memory) init(size int) {
	m.size = size
	m.table.Init()
	m.flights = map[tenancy.Ref]*load{}
}

// begin returns the number of the last change, for keep.
func (m *memory) begin() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.change
}

// since reports whether a change may have touched the ref after the one of that
// number.
func (m *memory) since(number uint64, ref tenancy.Ref) bool {
	return m.lost > number || m.touched[m.table.Hash(ref)%touchedParts] > number
}

// keep stores the result of a load of the ref that began after the change of that number, and reports whether
// no change came meanwhile. All refs in the record then lead to it. A record in memory stays, and is returned
// instead, if it is at least as new and was loaded later and is not distrusted, or if it is newer and was
// loaded after the horizon.
func (m *memory) keep(number uint64, ref tenancy.Ref, r *record, trusted, horizon int64) (*tenancy.Tenant, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := tenancy.Ref{Kind: tenancy.RefID, Value: string(r.tenant.ID)}
	if m.since(number, ref) || m.since(number, id) {
		return r.tenant, false
	}
	var old *record
	if n := m.find(id); n != nil {
		old = n.Of
		loaded := n.Loaded.Load()
		later := old.loaded > r.loaded && !r.tenant.Newer(old.tenant) && loaded > tried
		newer := old.tenant.Newer(r.tenant) && loaded > horizon
		if later || newer {
			return old.tenant, true
		}
		r.others = slices.DeleteFunc(slices.Clone(old.others), func(each tenancy.Ref) bool { return names(r.tenant, each) })
	}
	if !names(r.tenant, ref) && !slices.Contains(r.others, ref) {
		r.others = append(r.others[max(0, len(r.others)-maxOthers+1):], ref)
	}
	for each := range r.refs {
		if each != ref && m.since(number, each) {
			continue
		}
		h, used, loaded := m.table.Hash(each), false, trusted
		was := m.table.Get(h, each)
		if each != ref && slices.Contains(r.others, each) { // the record does not show that this name still leads to it
			if was == nil || was.Of != old {
				continue
			}
			loaded = was.Loaded.Load()
		}
		m.unknown.remove(h)
		if was != nil && was.Of == old {
			used = was.Used.Load() || each == ref
		} else if was != nil && was.Of != r {
			m.drop(was.Of) // the name was another tenant's
		}
		m.table.Put(h, each, table.Target[*record]{Record: r, Tenant: r.tenant, Loaded: loaded, Used: used})
	}
	if old != nil {
		m.unlink(old)
		m.takePlace(old, r)
		return r.tenant, true
	}
	if m.n >= m.size {
		m.evict()
	}
	m.link(r)
	return r.tenant, true
}

func (m *memory) find(ref tenancy.Ref) *table.Entry[*record] {
	e, _ := m.table.Look(ref)
	return e
}

// unlink removes the entries that lead to the record.
func (m *memory) unlink(r *record) {
	for ref := range r.refs {
		m.table.Remove(m.table.Hash(ref), ref, r)
	}
}

// drop removes a record and all entries that lead to it.
func (m *memory) drop(r *record) {
	m.unlink(r)
	if m.hand == r {
		m.hand = r.newer
	}
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		m.newest = r.older
	}
	if r.older != nil {
		r.older.newer = r.newer
	} else {
		m.oldest = r.newer
	}
	r.newer, r.older = nil, nil
	m.n--
}

func (m *memory) link(r *record) {
	r.older = m.newest
	if m.newest != nil {
		m.newest.newer = r
	} else {
		m.oldest = r
	}
	m.newest = r
	m.n++
}

// takePlace puts r where old was.
func (m *memory) takePlace(old, r *record) {
	r.newer, r.older = old.newer, old.older
	if r.newer != nil {
		r.newer.older = r
	} else {
		m.newest = r
	}
	if r.older != nil {
		r.older.newer = r
	} else {
		m.oldest = r
	}
	if m.hand == old {
		m.hand = r
	}
	old.newer, old.older = nil, nil
}

// evict drops the first record from the hand on that was not used since the hand passed it; after a whole
// round, the next one.
func (m *memory) evict() {
	for left := m.n; ; left-- {
		r := m.hand
		if r == nil {
			r = m.oldest
		}
		m.hand = r.newer
		used := false
		for ref := range r.refs {
			if n := m.find(ref); n != nil && n.Of == r && n.Used.Swap(false) {
				used = true
			}
		}
		if !used || left <= 0 {
			m.drop(r)
			m.evicted++
			return
		}
	}
}

// changed drops the records of the refs, and keeps running loads of them from being stored.
func (m *memory) changed(refs []tenancy.Ref, now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change++
	for _, ref := range refs {
		h := m.table.Hash(ref)
		m.touched[h%touchedParts] = m.change
		m.unknown.remove(h)
		m.changes.add(h, now)
		delete(m.flights, ref)
		if n := m.table.Get(h, ref); n != nil {
			m.drop(n.Of)
		}
	}
}

// distrust marks all records to be loaded again before they are used, because changes may have been missed.
// They remain for the case that the origin fails: see failed.
func (m *memory) distrust() {
	m.mu.Lock()
	m.change++
	m.lost = m.change
	m.unknown.clear()
	clear(m.flights)
	m.mu.Unlock()
	for part := range m.table.Parts { // requests wait for one part at a time
		m.mu.Lock()
		for e := range part {
			e.Loaded.Store(distrusted)
		}
		m.mu.Unlock()
	}
}

// failed notes that a load of the ref, begun after the change of that number, failed.
func (m *memory) failed(number uint64, ref tenancy.Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.find(ref); n != nil && m.lost <= number {
		n.Loaded.CompareAndSwap(distrusted, tried)
	}
}

func names(t *tenancy.Tenant, ref tenancy.Ref) bool {
	for each := range catalog.RefsOf(t) {
		if each == ref {
			return true
		}
	}
	return false
}
