package maintenance

import (
	"maps"
	"time"

	"github.com/artflow-studio/tenancy"
)

// mark says which records of a tenant are too old.
type mark struct {
	newest *tenancy.Tenant // those before it
	at     time.Time
}

// markLife is for how long a record of before a drain is known for one. It is
// longer than any cache keeps records.
const markLife = 24 * time.Hour

// mark refuses requests with an older record than this one from now on.
func (g *Gate) mark(newest *tenancy.Tenant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	marks := map[tenancy.ID]mark{}
	if now := g.drained.Load(); now != nil {
		marks = maps.Clone(*now)
	}
	if old, ok := marks[newest.ID]; ok && old.newest.Newer(newest) {
		newest = old.newest
	}
	marks[newest.ID] = mark{newest, time.Now()}
	g.drained.Store(&marks)
}

// tooOld reports whether a record is from before a drain.
func (g *Gate) tooOld(t *tenancy.Tenant) bool {
	marks := g.drained.Load()
	if marks == nil {
		return false
	}
	m, ok := (*marks)[t.ID]
	return ok && m.newest.Newer(t)
}

// forget removes the marks of drains that are so long ago that no cache has a record from before.
func (g *Gate) forget(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	marks := g.drained.Load()
	if marks == nil {
		return
	}
	left := maps.Clone(*marks)
	maps.DeleteFunc(left, func(_ tenancy.ID, m mark) bool { return now.Sub(m.at) > markLife })
	if len(left) == len(*marks) {
		return
	}
	g.drained.Store(nil)
	if len(left) > 0 {
		g.drained.Store(&left)
	}
}
