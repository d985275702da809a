package cache

import (
	"slices"
	"sync"

	"github.com/artflow-studio/tenancy"
)

// removals are the functions that [Cache.WatchRemoved] was given.
type removals struct {
	mu  sync.Mutex // guards all, which is replaced and not changed
	all []*func(tenancy.ID)
}

// WatchRemoved calls tell with the ID of each tenant whose record is removed from now on: through the catalog
// below this cache, or, with Redis and while [Cache.Run] runs, by any other process with a cache in front of
// the catalog. It is for what this process keeps of tenants:
//
//	tenants.WatchRemoved(pool.Forget)
//
// The goroutine that removes the record, or that reads the changes in Redis, calls tell, so tell must return
// soon. A removal may be told twice. It misses a removal whose message Redis lost, and one whose commit is in
// doubt; use [catalog.Outbox] for work that must happen. After stop has returned, tell is not called for
// removals that begin later.
func (c *Cache) WatchRemoved(tell func(id tenancy.ID)) (stop func()) {
	r, one := &c.removals, &tell
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(slices.Clone(r.all), one)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all = slices.DeleteFunc(slices.Clone(r.all), func(each *func(tenancy.ID)) bool { return each == one })
	}
}

func (r *removals) tell(id tenancy.ID) {
	r.mu.Lock()
	all := r.all
	r.mu.Unlock()
	for _, tell := range all {
		(*tell)(id)
	}
}
