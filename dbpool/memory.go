package dbpool

import (
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// otherConnBytes is what a connection of an engine takes that does not say.
const otherConnBytes = 32 << 10

func connBytes(e driver.Engine) int64 {
	if s, ok := e.(driver.ConnSizer); ok {
		return s.ConnBytes()
	}
	return otherConnBytes
}

// TenantBytes yields the tenants that have connections to their databases, read
// replicas included, each tenant once, with the memory of this process that those
// connections take: their number times what one takes on that engine ([driver.ConnSizer]).
// It is an estimate, and leaves out what the servers take for their side. yield may
// use the pool. An analytics.Recorder counts it for each tenant: rec.Attach(pool).
func (p *Pool) TenantBytes(yield func(tenancy.ID, int64) bool) {
	held := map[tenancy.ID]int64{}
	p.eachHandle(func(h *handle) {
		h.all(func(h *handle) {
			l := h.connector.lane()
			if l == nil {
				return
			}
			if n := l.Stat(time.Now()).Conns; n > 0 {
				held[h.tenant] += int64(n) * connBytes(h.server.engine.Engine)
			}
		})
	})
	for id, bytes := range held {
		if !yield(id, bytes) {
			return
		}
	}
}

// BytesKind says what the bytes of [Pool.TenantBytes] are.
func (p *Pool) BytesKind() string { return "connections" }

// handleBatch is with how many handles eachHandle holds the pool's lock.
const handleBatch = 256

// eachHandle calls fn with all handles that are there from its beginning to its end,
// under the lock. It gives the lock up between batches: there may be many handles, and
// requests come.
func (p *Pool) eachHandle(fn func(*handle)) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	n := 0
	for _, h := range p.handles { // a map may change between two steps of a loop
		if n++; n%handleBatch == 0 {
			p.mu.RUnlock()
			p.mu.RLock()
		}
		fn(h)
	}
}
