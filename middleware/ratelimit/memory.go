package ratelimit

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/bits"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Memory is a limiter of one process. Its methods may be called by many goroutines
// at once; it starts none. Nothing has to be closed.
//
// It remembers the keys whose burst is not full again. When it has no room for another
// key, it evicts the one that would be free soonest, among the few that share a place.
// An attacker gains nothing by flooding it: every new key starts with a full burst
// anyway. Each kind has room of its own, so that a flood of addresses evicts no tenants
// and no keys.
type Memory struct {
	began  time.Time
	seed   maphash.Seed
	ways   int // shards
	places int // in each shard
	shards [kinds][]shard
}

// MemoryOptions are the options of [NewMemory].
type MemoryOptions struct {
	// Keys is the number of keys of each kind that it remembers, at 32 to 64 bytes each. It
	// allocates the memory for a kind when it first counts that kind. Default: 65,536.
	Keys int
}

const (
	defaultKeys = 1 << 16
	maxKeys     = 1 << 26
	maxShards   = 64
	placeSize   = 8
)

// shard is a part of the table of one kind.
type shard struct {
	mu     sync.Mutex // guards places
	places []place    // nil until one is needed
	_      [32]byte   // keeps two locks off one line of the processor's cache
}

// place is one of the slots of a shard; a key may be in any entry of its place.
type place [placeSize]debt

// debt is until when a key is in debt. A key without debt need not be remembered. Only a hash of the key is
// kept, under a random seed.
type debt struct {
	key   uint64
	until time.Duration
}

var _ Limiter = (*Memory)(nil)

// NewMemory returns a limiter that has seen no request. Nil options are the
// defaults.
func NewMemory(opts *MemoryOptions) *Memory {
	o := opts.complete()
	places := 1 << bits.Len(uint(2*o.Keys-1)/placeSize) // twice the room, because places fill up unevenly
	m := &Memory{began: time.Now(), seed: maphash.MakeSeed(), ways: min(maxShards, places)}
	m.places = places / m.ways
	for k := range m.shards {
		m.shards[k] = make([]shard, m.ways)
	}
	return m
}

func (o *MemoryOptions) complete() MemoryOptions {
	c := MemoryOptions{Keys: defaultKeys}
	if o != nil && o.Keys > 0 {
		c.Keys = min(o.Keys, maxKeys)
	}
	return c
}

// account is a limit while it is counted.
type account struct {
	limit        *Limit
	shard        *shard
	debt         *debt
	key          uint64
	every, depth time.Duration
	until        time.Duration
}

// Take implements [Limiter]. Its errors are that of a context that has ended, and one that wraps
// [tenancy.ErrInvalid] if two limits have the same kind.
func (m *Memory) Take(ctx context.Context, limits []Limit) (bool, error) {
	id, err := begin(ctx, limits)
	if err != nil {
		return false, tenancy.Wrap("ratelimit.Memory.Take", id, err)
	}
	return m.take(id, limits, 1), nil
}

// begin returns the tenant of the context, if it has one, and why nothing can be counted.
func begin(ctx context.Context, limits []Limit) (id tenancy.ID, err error) {
	if t, ok := tenancy.FromContext(ctx); ok {
		id = t.ID
	}
	if err := ctx.Err(); err != nil {
		return id, err
	}
	var seen [kinds]bool
	for i := range limits {
		k := limits[i].Kind
		if k >= kinds || seen[k] {
			return id, fmt.Errorf("%w: a limit of the kind %v, want one of each at most", tenancy.ErrInvalid, k)
		}
		seen[k] = true
	}
	return id, nil
}

// take counts towards a fraction of the rates: one part of so many.
func (m *Memory) take(id tenancy.ID, limits []Limit, parts int64) bool {
	var room [kinds]account
	all := room[:0]
	passes := true
	for i := range limits {
		l := &limits[i]
		fixed, ok := l.setFixed()
		passes = passes && ok
		if fixed {
			continue
		}
		a := account{limit: l, key: m.hash(id, l)}
		a.every, a.depth = l.Rate.part(parts).terms()
		a.shard = &m.shards[l.Kind][a.key>>48%uint64(m.ways)]
		all = append(all, a)
	}
	// The order of kinds keeps two calls from waiting for each other.
	for i := 1; i < len(all); i++ {
		for j := i; j > 0 && all[j].limit.Kind < all[j-1].limit.Kind; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	for i := range all {
		all[i].shard.mu.Lock()
	}
	now := time.Since(m.began)
	for i := range all {
		a := &all[i]
		a.debt = a.shard.find(a.key, m.places)
		a.until = now
		if a.debt.key == a.key {
			// The rate may have been another one before: no debt exceeds what the present rate allows.
			a.debt.until = min(a.debt.until, now+a.depth)
			a.until = max(a.debt.until, now)
		}
		passes = passes && a.until+a.every <= now+a.depth
	}
	for i := range all {
		a := &all[i]
		if passes {
			a.until += a.every
			*a.debt = debt{a.key, a.until}
		}
		a.shard.mu.Unlock()
		a.limit.set(a.every, a.depth, a.until-now)
	}
	return passes
}

// find returns the debt of the key, or the entry to evict for it. The caller holds the lock.
func (s *shard) find(key uint64, places int) *debt {
	if s.places == nil {
		s.places = make([]place, places)
	}
	p := &s.places[key%uint64(places)]
	first := &p[0]
	for i := range p {
		d := &p[i]
		if d.key == key {
			return d
		}
		if d.until < first.until {
			first = d
		}
	}
	return first
}

// hash returns the hash of what the limit counts for the tenant.
func (m *Memory) hash(id tenancy.ID, l *Limit) uint64 {
	h := maphash.String(m.seed, string(id))
	if l.Class != "" {
		h = mix(h, maphash.String(m.seed, l.Class))
	}
	switch l.Kind {
	case Key:
		h = mix(h+1, maphash.String(m.seed, l.Key))
	case Address:
		a := l.Address.As16() // that of none is also that of ::
		h = mix(h+1, maphash.Bytes(m.seed, a[:])+uint64(l.Address.BitLen()))
	}
	return max(h, 1) // a place that is empty has 0
}

// mix returns a hash of two hashes that depends on their order.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b|1)
	return hi ^ lo ^ bits.RotateLeft64(b, 23)
}
