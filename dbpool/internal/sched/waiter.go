package sched

import (
	"context"
	"time"

	"github.com/artflow-studio/tenancy/internal/urgency"
)

// class is the rank of a waiter. Work of low priority is served when no request of the same
// tenant waits, and is dialled for when no tenant's requests want a dial.
type class uint8

const (
	foreground class = iota
	background
	classes
)

func classOf(ctx context.Context) class {
	if urgency.IsLowPriority(ctx) {
		return background
	}
	return foreground
}

// waiter is a request that waits for a connection.
type waiter struct {
	got   chan grant // of capacity 1
	since time.Time
	class class
	node  *node[*waiter] // in Lane.waiters, nil when served
}

// grant is what a waiter gets.
type grant struct {
	conn *Conn
	err  error
}

// waiting returns how many requests wait. The caller has the lock.
func (l *Lane) waiting() int { return l.waiters[foreground].len() + l.waiters[background].len() }

// next returns the waiter to serve, or nil.
func (l *Lane) next() *waiter {
	for class := range l.waiters {
		if n := l.waiters[class].head; n != nil {
			return n.value
		}
	}
	return nil
}

// remove takes a waiter out.
func (l *Lane) remove(w *waiter) {
	l.waiters[w.class].remove(w.node)
	w.node = nil
	if l.waits != nil && l.next() == nil {
		l.budget.waiting.remove(l.waits)
		l.waits = nil
		l.leaveRing()
	}
}
