package sched

import (
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/nextuse"
)

// Budget holds the slots of a server, or of several that share them. See the package comment.
type Budget struct {
	name string // of the server whose budget it is
	opts Options

	mu      sync.Mutex // guards what follows, and all lanes of the budget; never held across I/O
	live    int        // connections, from before the dial until after the close
	dialing int
	closing int // those that are being closed in nobody's place
	// renewing is how many are replaced, or closed while idle, because of their age.
	renewing int
	loan     loan
	ring     [classes]list[*Lane] // lanes that want a connection dialled
	waiting  list[*Lane]          // lanes with waiters, in the ring or not
	orphans  orphans
	idle     []*Conn       // all that are idle, in no order
	timer    *time.Timer   // set while lanes wait
	timed    bool          // the timer runs
	cost     time.Duration // of a dial, switching included, moving average
	costAt   time.Time     // when it was measured last
	tasks    int           // dials and closes in flight
	noTasks  *sync.Cond    // tasks came to 0
	closed   bool
	stat     Stat
	visits   *nextuse.Policy // which idle connection is least worth keeping
}

// New returns a budget of the server of that name.
func New(name string, opts Options) *Budget {
	b := &Budget{name: name, opts: opts, cost: time.Millisecond}
	b.noTasks = sync.NewCond(&b.mu)
	b.visits = nextuse.New(b.cost)
	b.orphans.closed = make(chan struct{})
	b.loan.total = opts.Lent
	b.stat.Budget = opts.Slots
	return b
}

// Name returns the name of the server whose budget it is.
func (b *Budget) Name() string { return b.name }

// Slots returns how many connections there may be at most, with those that all instances share.
func (b *Budget) Slots() int { return b.opts.Slots + b.opts.Lent }

// removeIdle takes a connection out of those that are idle.
func (b *Budget) removeIdle(c *Conn) {
	c.lane.unlinkIdle(c)
	last := b.idle[len(b.idle)-1]
	b.idle[c.inBudget] = last
	last.inBudget = c.inBudget
	b.idle[len(b.idle)-1] = nil
	b.idle = b.idle[:len(b.idle)-1]
}

// discard closes a connection that is neither idle nor in use, and then frees
// its slot, and calls done if that is not nil. The caller has the lock.
func (b *Budget) discard(c *Conn, done func()) {
	b.tasks++
	b.closing++
	c.lane.closing++
	go func() {
		c.Wire.HangUp()
		b.mu.Lock()
		b.done()
		b.closing--
		b.live--
		c.lane.closing--
		c.lane.live--
		start := b.schedule(time.Now())
		b.mu.Unlock()
		b.run(start)
		if done != nil {
			done()
		}
	}()
}

// done ends a task. The caller has the lock.
func (b *Budget) done() {
	b.tasks--
	if b.tasks == 0 {
		b.noTasks.Broadcast()
	}
}

// Close closes everything that is idle, refuses what comes, and returns when no dial and no
// close is in flight. Connections in use are closed when they come back.
func (b *Budget) Close() {
	b.mu.Lock()
	if b.closed {
		b.waitForTasks()
		b.mu.Unlock()
		return
	}
	b.closed = true
	close(b.orphans.closed)
	if b.timer != nil {
		b.timer.Stop()
	}
	idle := append([]*Conn(nil), b.idle...)
	for _, c := range idle {
		b.removeIdle(c)
		b.discard(c, nil)
	}
	for l := range b.waiting.all() {
		b.failAll(l, tenancy.ErrClosed)
	}
	b.waitForTasks()
	b.mu.Unlock()
}

// waitForTasks waits until no dial and no close is in flight. The caller has the lock.
func (b *Budget) waitForTasks() {
	for b.tasks > 0 {
		b.noTasks.Wait()
	}
}
