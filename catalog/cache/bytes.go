package cache

import (
	"unsafe"

	"github.com/artflow-studio/tenancy"
)

// refBytes is about what an entry of the table takes, with its part of the table.
const refBytes = 160

// TenantBytes yields each tenant in memory once, with the approximate number of bytes of its record and of the
// entries that lead to it. Many goroutines may call it at once, and yield may use the cache. An
// analytics.Recorder counts these bytes for each tenant: rec.Attach(cache).
func (c *Cache) TenantBytes(yield func(tenancy.ID, int64) bool) {
	for _, each := range c.memory.held() {
		if !yield(each.tenant.ID, recordBytes(each.tenant)+int64(each.refs)*refBytes) {
			return
		}
	}
}

// BytesKind returns the name of the bytes that TenantBytes yields.
func (c *Cache) BytesKind() string { return "records" }

// heldRecord is a record in memory, and by how many refs it is found.
type heldRecord struct {
	tenant *tenancy.Tenant
	refs   int
}

// held returns the records in memory.
func (m *memory) held() []heldRecord {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]heldRecord, 0, m.n)
	for r := m.newest; r != nil; r = r.older {
		all = append(all, heldRecord{r.tenant, 2 + len(r.tenant.Domains) + len(r.others)}) // its ID and its slug
	}
	return all
}

// recordBytes returns about how many bytes a record takes.
func recordBytes(t *tenancy.Tenant) int64 {
	const text, pair = int64(unsafe.Sizeof("")), 2*int64(unsafe.Sizeof("")) + 16 // what a map has beside its keys and values
	n := int64(unsafe.Sizeof(*t)) + int64(unsafe.Sizeof(record{}))
	for _, s := range []string{string(t.ID), t.Slug, t.Name, t.Plan, t.Placement.Server, t.Placement.Database} {
		n += int64(len(s))
	}
	for _, list := range [][]string{t.Domains, t.Tags} {
		for _, s := range list {
			n += int64(len(s)) + text
		}
	}
	for k, v := range t.Settings {
		n += int64(len(k)+len(v)) + pair
	}
	for k := range t.Limits {
		n += int64(len(k)) + pair
	}
	for i := range t.Access.Keys {
		n += int64(unsafe.Sizeof(t.Access.Keys[i]))
	}
	return n
}
