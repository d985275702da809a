package sched

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/spans"
)

// costTime is for how long no dial is begun because the last ones took longer
// than those who ask for it have.
const costTime = time.Second

// Acquire returns a connection of the lane's tenant, and whether the request waited for it: an
// idle connection is there at once. The caller releases it.
//
// It returns the context's error as it is, [ErrMoved], an error that wraps [tenancy.ErrClosed], one
// that [Errors] make, or that of the dial it waited for.
func (l *Lane) Acquire(ctx context.Context) (c *Conn, waited bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	b := l.budget
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, false, tenancy.ErrClosed
	}
	if l.moved {
		b.mu.Unlock()
		return nil, false, ErrMoved
	}
	b.stat.Requests++
	now := time.Now()
	b.dropStale(l, now)
	if c := l.popIdle(); c != nil {
		b.markUsed(c, now)
		b.mu.Unlock()
		return c, false, nil
	}
	w, err := b.enqueue(ctx, l, now)
	if err != nil {
		b.stat.Refused++
		b.mu.Unlock()
		return nil, false, err
	}
	l.want(now)
	start := b.schedule(now)
	b.mu.Unlock()
	b.run(start)
	c, err = b.await(ctx, l, w)
	return c, true, err
}

// enqueue adds a waiter, unless its wait is hopeless.
func (b *Budget) enqueue(ctx context.Context, l *Lane, now time.Time) (*waiter, error) {
	if l.has() == 0 {
		if until := l.breaker.refuses(now); !until.IsZero() {
			return nil, b.down(&l.breaker, until.Sub(now))
		}
		if until := l.server.breaker.refusesTenant(l.breaker.failing(now), now); !until.IsZero() {
			return nil, b.down(&l.server.breaker, until.Sub(now))
		}
	}
	class := classOf(ctx)
	wait, first := b.estimate(class, now)
	if n := l.waiters[class].len(); n >= b.opts.Queue {
		return nil, b.opts.Errors.Busy(fmt.Sprintf("%d requests of the tenant wait already", n), wait)
	}
	if deadline, ok := ctx.Deadline(); ok && l.has() == 0 && wait > deadline.Sub(now) {
		// What dials took is not believed forever: at times one begins.
		if !first || now.Sub(b.costAt) < costTime {
			return nil, b.opts.Errors.Busy(fmt.Sprintf("a connection is %v away, longer than the request has", wait), wait)
		}
	}
	w := &waiter{got: make(chan grant, 1), since: now, class: class}
	w.node = l.waiters[class].push(w)
	if l.waits == nil {
		l.waits = b.waiting.push(l)
	}
	b.stat.Waiting++
	b.stat.Waits++
	return w, nil
}

func (b *Budget) down(by *breaker, after time.Duration) error {
	return b.opts.Errors.Down(by.failures, after, by.err)
}

// estimate is how long a dial that is wanted now will take, with those before it,
// and whether it is the first and may begin.
func (b *Budget) estimate(class class, now time.Time) (wait time.Duration, first bool) {
	ahead := b.dialing
	for c := foreground; c <= class; c++ {
		ahead += b.ring[c].len()
	}
	if b.live < b.ceiling(now) || len(b.idle) > 0 {
		return b.cost * time.Duration(1+ahead/b.opts.Dials), ahead == 0
	}
	return b.cost * time.Duration(1+turn+ahead/b.opts.Dials), false
}

// await waits for the waiter's turn, the end of its context, or the maximum.
func (b *Budget) await(ctx context.Context, l *Lane, w *waiter) (c *Conn, err error) {
	ctx, end := spans.Start(ctx, Scope, "tenancy.dbpool.acquire",
		attribute.String("tenancy.tenant.id", string(l.tenant)), attribute.String("tenancy.server", l.server.name))
	defer func() { end(err) }()
	timeout := time.NewTimer(b.opts.Wait)
	defer timeout.Stop()
	select {
	case it := <-w.got:
		if it.err == nil && b.opts.Timings.Waited != nil {
			b.opts.Timings.Waited(time.Since(w.since))
		}
		return it.conn, it.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timeout.C:
	}
	b.mu.Lock()
	if err == nil {
		err = b.opts.Errors.Busy(fmt.Sprintf("none came free in %v; the tenant has %d of at most %d; server %q has %d of %d, %d in use, and %d requests wait",
			b.opts.Wait, l.live, l.conns.Most, l.server.name, b.live, b.ceiling(time.Now()), b.stat.InUse, b.stat.Waiting), b.opts.Wait)
	}
	served := w.node == nil
	if !served {
		l.remove(w)
		b.stat.Waiting--
		b.stat.WaitTime += time.Since(w.since)
		b.stat.GaveUp++
	}
	b.mu.Unlock()
	if served { // at the same moment
		if it := <-w.got; it.conn != nil {
			b.release(it.conn, true)
		}
	}
	return nil, err
}
