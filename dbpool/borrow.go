package dbpool

import (
	"context"
	"sync"
	"time"
)

const (
	// loanInterval is the longest time between two asks of a lender,
	// and pressingInterval that while somebody waits for the answer.
	loanInterval     = time.Second
	pressingInterval = 50 * time.Millisecond
	// loanTimeout bounds one call of a lender.
	loanTimeout = 2 * time.Second
)

// loan is what a budget has borrowed of the connections that instances share. The group's
// lock guards it.
type loan struct {
	total    int // how many all replicas share
	n        int // how many there may be beyond the limit, until
	until    time.Time
	lasts    time.Duration
	asked    time.Time // when the lender was asked last
	missed   int       // how many idle ones gave up their place since
	pressing bool      // others want what this instance has
	asking   bool      // the lender has not answered yet
	failing  bool      // the lender did not, the last time
}

// ceiling is how many connections there may be now.
func (b *budget) ceiling(now time.Time) int {
	if b.loan.n > 0 && now.Before(b.loan.until) {
		return b.limits.budget + b.loan.n
	}
	return b.limits.budget
}

// due returns what to ask the lender, if it is time for that and the last answer
// has come.
func (b *budget) due(now time.Time) (ask BorrowRequest, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &b.loan
	if l.total == 0 || l.asking {
		return BorrowRequest{}, false
	}
	every := loanInterval
	if l.lasts > 0 {
		every = min(every, l.lasts/4)
	}
	wants := l.missed > 0 || b.live >= b.ceiling(now) && b.ring[foreground].len() > 0
	if l.pressing || wants && l.n < l.total {
		every = pressingInterval
	}
	if now.Sub(l.asked) < every {
		return BorrowRequest{}, false
	}
	return b.ask(now), true
}

// ask says what the budget has and wants, and holds it to that until the answer.
// The caller has the lock.
func (b *budget) ask(now time.Time) BorrowRequest {
	l := &b.loan
	wanted := b.live - len(b.idle) + b.ring[foreground].len() + b.ring[background].len() + l.missed - b.limits.budget
	if !now.Before(l.until) {
		l.n = 0
	}
	ask := BorrowRequest{Server: b.name, Total: l.total, Want: min(max(0, wanted), l.total)}
	ask.Keep = max(0, b.live-b.limits.budget, min(l.n, ask.Want))
	l.n, l.missed, l.asked, l.asking = ask.Keep, 0, now, true
	return ask
}

// borrow asks the lender, as of a time, and does as it says. When it fails, the
// budget keeps what it said it would until the last loan ends. It reports whether
// the last call ended otherwise.
func (b *budget) borrow(ctx context.Context, lender Lender, ask BorrowRequest, began time.Time) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, loanTimeout)
	defer cancel()
	got, err := lender.Borrow(ctx, ask)
	now := time.Now()
	b.mu.Lock()
	changed = (err != nil) != b.loan.failing
	b.loan.asking, b.loan.failing = false, err != nil
	if err != nil {
		b.mu.Unlock()
		return changed, err
	}
	b.loan.n, b.loan.lasts = min(got.Granted, got.Share), got.For
	b.loan.until = began.Add(got.For * 3 / 4) // the rest is for coming down
	b.loan.pressing = got.Share < got.Granted
	start := b.schedule(now)
	b.mu.Unlock()
	b.run(start)
	b.comeDown(now)
	return changed, nil
}

// comeDown closes idle connections that are too many, those that are least worth
// keeping first. The others end when they come back.
func (b *budget) comeDown(now time.Time) *sync.WaitGroup {
	var closed sync.WaitGroup
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := b.live - b.closing - b.ceiling(now); n > 0; n-- {
		c := b.victim(nil, now)
		if c == nil {
			break
		}
		b.removeIdle(c)
		closed.Add(1)
		b.discard(c, closed.Done)
	}
	return &closed
}

// giveBack comes down to the budget, and tells the lender.
func (b *budget) giveBack(lender Lender) {
	ctx, cancel := context.WithTimeout(context.Background(), loanTimeout)
	defer cancel()
	b.mu.Lock()
	b.loan.n = 0
	b.mu.Unlock()
	done := make(chan struct{})
	closed := b.comeDown(time.Now())
	go func() {
		closed.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	b.mu.Lock()
	ask := BorrowRequest{Server: b.name, Total: b.loan.total, Keep: max(0, b.live-b.limits.budget)}
	b.mu.Unlock()
	_, _ = lender.Borrow(ctx, ask) // or it expires
}

// borrow borrows for the budgets of all servers until the context ends. No budget waits for the
// answer to another, nor does coming down wait for any.
func (p *Pool) borrow(ctx context.Context) {
	tick := time.NewTicker(pressingInterval)
	defer tick.Stop()
	var calls sync.WaitGroup
	for ctx.Err() == nil {
		for _, b := range p.budgets() {
			now := time.Now()
			b.comeDown(now)
			if ask, ok := b.due(now); ok {
				calls.Go(func() { p.borrowFor(ctx, b, ask, now) })
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	calls.Wait()
	for _, b := range p.budgets() {
		calls.Go(func() { b.giveBack(p.opts.Lender) })
	}
	calls.Wait()
}

// borrowFor borrows for a budget, and logs when that begins to fail and when it ends.
func (p *Pool) borrowFor(ctx context.Context, b *budget, ask BorrowRequest, began time.Time) {
	changed, err := b.borrow(ctx, p.opts.Lender, ask, began)
	switch {
	case ctx.Err() != nil || !changed:
	case err != nil:
		p.opts.Logger.WarnContext(ctx, "dbpool: borrowing connections fails; the pool keeps to its own budget when the loan ends", "server", b.name, "error", err)
	default:
		p.opts.Logger.InfoContext(ctx, "dbpool: borrowing connections works again", "server", b.name)
	}
}
