package dbpool

import (
	"slices"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
	"github.com/artflow-studio/tenancy/dbpool/internal/wire"
)

// InUse returns how many connections of the tenant are in use, in this process. Those that its handle
// left count until they come back: after a move, [Pool.SetServer] or [Pool.Forget]. What somebody begins with a
// handle after Forget does not count.
func (p *Pool) InUse(id tenancy.ID) int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	n := 0
	if h := p.handles[id]; h != nil {
		h.all(func(h *handle) {
			if l := h.connector.lane(); l != nil {
				n += l.InUse()
			}
		})
	}
	for _, l := range p.left[id] {
		n += l.InUse()
	}
	return n
}

// point makes a handle use another database from now on, or none. The caller has the lock.
func (p *Pool) point(h *handle, to *wire.Database) {
	p.keepInUse(h.tenant, h.connector.point(to))
}

// keepInUse remembers a lane that a handle left, or nil, as long as its connections are in use. It forgets
// the others: there are never many. The caller has the lock.
func (p *Pool) keepInUse(id tenancy.ID, l *sched.Lane) {
	if l == nil || l.InUse() == 0 {
		return
	}
	for id, lanes := range p.left {
		if lanes = slices.DeleteFunc(lanes, func(l *sched.Lane) bool { return l.InUse() == 0 }); len(lanes) == 0 {
			delete(p.left, id)
		} else {
			p.left[id] = lanes
		}
	}
	p.left[id] = append(p.left[id], l)
}
