package lease

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
)

// Memory lends connections among the instances of one process: of tests, or of a
// process that has several pools. It has no wait when it starts. Its methods may be
// called by many goroutines at once.
type Memory struct {
	ttl   time.Duration
	began time.Time

	mu    sync.Mutex // guards what follows
	epoch int64      // of new books
	books map[string]*book
}

// NewMemory returns a lender whose loans last for ttl, to the millisecond. Zero or
// less means 10 seconds.
func NewMemory(ttl time.Duration) *Memory {
	if ttl <= 0 {
		ttl = defaultTTL
	}
	ttl = max(ttl.Truncate(time.Millisecond), time.Millisecond)
	return &Memory{ttl: ttl, began: time.Now(), epoch: -holdFor(ttl), books: map[string]*book{}}
}

// Instance returns a new instance.
func (m *Memory) Instance() dbpool.Lender { return &member{memory: m, instance: rand.Text()} }

// Lose forgets all loans, as Redis does when it starts anew.
func (m *Memory) Lose() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch, m.books = m.now(), map[string]*book{}
}

func (m *Memory) now() int64 { return time.Since(m.began).Milliseconds() }

// member is an instance of a Memory.
type member struct {
	memory   *Memory
	instance string
	number   uint64 // of the last ask; guarded by Memory.mu
}

// Borrow implements [dbpool.Lender].
func (r *member) Borrow(ctx context.Context, ask dbpool.BorrowRequest) (dbpool.Loan, error) {
	const op = "lease.Memory.Instance"
	if err := ask.Validate(); err != nil {
		return dbpool.Loan{}, tenancy.Wrap(op, "", err)
	}
	if err := ctx.Err(); err != nil {
		return dbpool.Loan{}, err
	}
	m := r.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.books[ask.Server]
	if b == nil {
		b = &book{epoch: m.epoch}
		m.books[ask.Server] = b
	}
	r.number++
	granted, share, _ := b.lend(m.now(), r.instance, r.number, ask, holdFor(m.ttl)) // numbered in this order
	return dbpool.Loan{Granted: granted, Share: share, For: m.ttl}, nil
}
