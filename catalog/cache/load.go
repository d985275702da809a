package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
)

// load is one load from the origin. Many callers may wait for it.
type load struct {
	began  uint64        // the change that its last attempt began after
	done   chan struct{} // closed when what follows is set
	tenant *tenancy.Tenant
	err    error
	stale  bool
}

// again is how often a record is loaded again because it has changed during the load.
const again = 3

// join returns the load of the ref that is under way, or begins one and says so.
// Known refs are those that lead to a record in memory, or did before a change.
func (c *Cache) join(ctx context.Context, ref tenancy.Ref, known bool) (l *load, began bool, err error) {
	c.memory.mu.Lock()
	defer c.memory.mu.Unlock()
	if c.closed.Load() {
		return nil, false, tenancy.ErrClosed
	}
	if l := c.memory.flights[ref]; l != nil {
		return l, false, nil
	}
	l = &load{done: make(chan struct{})}
	c.memory.flights[ref] = l
	c.loads.Go(func() { c.load(context.WithoutCancel(ctx), l, ref, known) })
	return l, true, nil
}

// load asks until what it was told is still true.
func (c *Cache) load(ctx context.Context, l *load, ref tenancy.Ref, known bool) {
	ended := false
	defer func() {
		if !ended { // by a panic, or by runtime.Goexit
			v := recover()
			l.tenant, l.err = nil, fmt.Errorf("%w: the origin panicked: %v", tenancy.ErrUnavailable, v)
			c.opts.Logger.ErrorContext(ctx, "cache: the origin panicked", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
			c.fallBack(l, ref)
		}
		c.leave(l, ref)
		close(l.done)
	}()
	for i := range again {
		if i == again-1 {
			c.leave(l, ref) // nobody is to get what is from before a change that they know of
		}
		if c.attempt(ctx, l, ref, known) {
			break
		}
	}
	ended = true
}

// leave removes the load from those that a caller may join.
func (c *Cache) leave(l *load, ref tenancy.Ref) {
	c.memory.mu.Lock()
	defer c.memory.mu.Unlock()
	if c.memory.flights[ref] == l {
		delete(c.memory.flights, ref)
	}
}

// attempt asks Redis and then the origin, and reports whether that is all.
func (c *Cache) attempt(ctx context.Context, l *load, ref tenancy.Ref, known bool) bool {
	began := c.memory.begin()
	l.began = began
	var saw *sighting
	var older *record // than it may be
	if c.shared != nil {
		asked := c.now()
		if saw = c.shared.read(ctx, ref, c.now); saw != nil && saw.tenant != nil {
			r := &record{tenant: saw.tenant, loaded: asked - int64(saw.age)}
			if saw.age < time.Duration(soon(c.maxAge())) {
				c.counts.redis.Add(1)
				return c.kept(l, began, ref, r)
			}
			older = r
		}
	}
	r, err := c.ask(ctx, ref, known)
	l.err = err
	switch {
	case err == nil:
		if !c.kept(l, began, ref, r) {
			return false
		}
		if c.shared != nil && l.tenant == r.tenant {
			c.loads.Go(func() { c.shared.fill(ctx, ref, saw, r.tenant, c.now) })
		}
		return true
	case errors.Is(err, tenancy.ErrNotFound):
		return c.memory.missing(began, ref, c.now())
	}
	if older != nil && c.memory.find(ref) == nil {
		c.kept(l, began, ref, older)
		l.tenant, l.err = nil, err
	}
	c.fallBack(l, ref)
	return true
}

// kept ends a load with the record, and reports whether no change came meanwhile.
func (c *Cache) kept(l *load, began uint64, ref tenancy.Ref, r *record) bool {
	var kept bool
	l.tenant, kept = c.memory.keep(began, ref, r, r.loaded-c.jitter(), c.now()-c.maxAge())
	l.err = nil
	return kept
}

// ask asks the origin. A known ref needs no token.
func (c *Cache) ask(ctx context.Context, ref tenancy.Ref, known bool) (*record, error) {
	if !known {
		if err := c.admit.enter(); err != nil {
			c.counts.refused.Add(1)
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.LoadTimeout)
	defer cancel()
	now := c.now()
	c.counts.loads.Add(1)
	t, err := c.origin.Find(ctx, ref)
	if err == nil && t == nil {
		err = fmt.Errorf("%w: the origin returned neither a tenant nor an error", tenancy.ErrUnavailable)
	}
	switch {
	case err == nil:
		if !known {
			c.admit.back()
		}
		fallthrough
	case errors.Is(err, tenancy.ErrNotFound):
		if c.circuit.Answered() {
			c.opts.Logger.InfoContext(ctx, "cache: the origin answers again")
		}
	default:
		c.counts.failures.Add(1)
		if c.circuit.Failed(c.now()) {
			c.opts.Logger.WarnContext(ctx, "cache: the origin fails; known tenants are served from memory", slog.Any("error", err))
		}
		return nil, failure.Inner(err)
	}
	if err != nil {
		return nil, err
	}
	return &record{tenant: t, loaded: now}, nil
}

// fallBack ends a load that failed with the record in memory, if nothing was
// heard of a change of it and it is not too old. If it is distrusted, later requests need not
// try before they use it.
func (c *Cache) fallBack(l *load, ref tenancy.Ref) {
	c.memory.failed(l.began, ref)
	n := c.memory.find(ref)
	if n != nil && c.now()-n.Of.loaded < int64(c.opts.MaxStale) {
		l.tenant, l.err, l.stale = n.Tenant, nil, true
	}
}

// missing notes that a load of the ref, begun after the change of that number,
// found no tenant, and reports whether no change came meanwhile.
func (m *memory) missing(number uint64, ref tenancy.Ref, now int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since(number, ref) {
		return false
	}
	h := m.table.Hash(ref)
	if n := m.table.Get(h, ref); n != nil {
		m.drop(n.Of)
	}
	m.unknown.add(h, now)
	m.changes.remove(h)
	return true
}
