package catalog

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
)

// watchTimeout is how long a change waits for watchers.
const watchTimeout = time.Second

// Change is a change of one tenant's record. If the answer of a write was lost, the change may not have
// happened: see Err. The records must not be modified.
type Change struct {
	// Before is nil for a new record.
	Before *tenancy.Tenant
	// After is nil for a deleted record.
	After *tenancy.Tenant
	// Err is set if it is not known whether the change was made.
	Err error
}

// Refs returns all refs that named the tenant before the change or name it after.
func (c Change) Refs() []tenancy.Ref {
	var out []tenancy.Ref
	for _, t := range []*tenancy.Tenant{c.Before, c.After} {
		if t == nil {
			continue
		}
		for ref := range RefsOf(t) {
			if !slices.Contains(out, ref) {
				out = append(out, ref)
			}
		}
	}
	return out
}

// RefsOf yields the refs that name the tenant, according to its record.
func RefsOf(t *tenancy.Tenant) iter.Seq[tenancy.Ref] {
	return func(yield func(tenancy.Ref) bool) {
		if !yield(tenancy.Ref{Kind: tenancy.RefID, Value: string(t.ID)}) {
			return
		}
		if !yield(tenancy.Ref{Kind: tenancy.RefSlug, Value: t.Slug}) {
			return
		}
		for _, d := range t.Domains {
			if !yield(tenancy.Ref{Kind: tenancy.RefDomain, Value: d}) {
				return
			}
		}
	}
}

// watchers are the functions that [Catalog.Watch] was given.
type watchers struct {
	mu  sync.Mutex // guards writing all
	all atomic.Pointer[[]*watcher]
}

type watcher struct {
	tell func(context.Context, Change)
}

// Watch calls tell after each change that is made through this Catalog, and if it is not known whether a change
// was made. The goroutine that makes the change calls tell, before its method returns. tell cannot undo the
// change. Its context does not end with the caller's, but after a second; tell must return by then.
//
// Changes that are made at the same time may be told in any order. Changes of other processes are not told.
// After stop has returned, tell is not called for changes that begin later.
func (c *Catalog) Watch(tell func(context.Context, Change)) (stop func()) {
	w := &watcher{tell}
	c.watchers.edit(func(all []*watcher) []*watcher { return append(all, w) })
	return func() {
		c.watchers.edit(func(all []*watcher) []*watcher {
			return slices.DeleteFunc(all, func(each *watcher) bool { return each == w })
		})
	}
}

func (w *watchers) edit(change func([]*watcher) []*watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*watcher
	if old := w.all.Load(); old != nil {
		all = slices.Clone(*old)
	}
	all = change(all)
	w.all.Store(&all)
}

// tell calls all watchers for a change that ended with err, unless the error says that nothing was written.
func (w *watchers) tell(ctx context.Context, change Change, err error) {
	all := w.all.Load()
	if all == nil || len(*all) == 0 {
		return
	}
	if refusal(err) {
		return
	}
	change.Err = err
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), watchTimeout)
	defer cancel()
	for _, each := range *all {
		each.tell(ctx, change)
	}
}
