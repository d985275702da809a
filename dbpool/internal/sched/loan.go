package sched

import (
	"sync"
	"time"
)

const (
	// loanInterval is the longest time between two requests to a lender.
	loanInterval = time.Second
	// PressingInterval is the time between two requests while one instance wants what another has. So
	// often the caller asks [Budget.Due].
	PressingInterval = 50 * time.Millisecond
)

// loan is what a budget has borrowed of the connections that instances share. The budget's
// lock guards it.
type loan struct {
	total    int // how many all instances share
	n        int // how many there may be beyond the budget's own, until
	until    time.Time
	lasts    time.Duration
	asked    time.Time // when the lender was asked last
	missed   int       // how many idle ones gave up their place since
	pressing bool      // others want what this instance has
	asking   bool      // the lender has not answered yet
	failing  bool      // the lender did not, the last time
}

// BorrowRequest is what a budget asks of a lender of connections.
type BorrowRequest struct {
	Server string // the budget's name
	Total  int    // how many all instances share
	Keep   int    // how many it may have until the answer: no fewer than it has
	Want   int    // how many it would like to have
}

// Loan is the answer.
type Loan struct {
	Granted int           // how many it may have
	Share   int           // how many it should come down to
	For     time.Duration // since it asked
}

// ceiling is how many connections there may be now.
func (b *Budget) ceiling(now time.Time) int {
	if b.loan.n > 0 && now.Before(b.loan.until) {
		return b.opts.Slots + b.loan.n
	}
	return b.opts.Slots
}

// Due returns what to ask the lender, if it is time for that and the last answer
// has come. The caller asks, and calls [Budget.Borrowed].
func (b *Budget) Due(now time.Time) (ask BorrowRequest, ok bool) {
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
		every = PressingInterval
	}
	if now.Sub(l.asked) < every {
		return BorrowRequest{}, false
	}
	return b.ask(now), true
}

// ask says what the budget has and wants, and holds it to that until the answer.
// The caller has the lock.
func (b *Budget) ask(now time.Time) BorrowRequest {
	l := &b.loan
	wanted := b.live - len(b.idle) + b.ring[foreground].len() + b.ring[background].len() + l.missed - b.opts.Slots
	if !now.Before(l.until) {
		l.n = 0
	}
	ask := BorrowRequest{Server: b.name, Total: l.total, Want: min(max(0, wanted), l.total)}
	ask.Keep = max(0, b.live-b.opts.Slots, min(l.n, ask.Want))
	l.n, l.missed, l.asked, l.asking = ask.Keep, 0, now, true
	return ask
}

// Borrowed does as the lender said, which was asked at a time. If the lender failed, the
// budget keeps what it asked to keep until the loan before ends. It reports whether
// the lender had failed before and has not now, or the other way round.
func (b *Budget) Borrowed(got Loan, err error, began time.Time) (changed bool) {
	now := time.Now()
	b.mu.Lock()
	changed = (err != nil) != b.loan.failing
	b.loan.asking, b.loan.failing = false, err != nil
	if err != nil {
		b.mu.Unlock()
		return changed
	}
	b.loan.n, b.loan.lasts = min(got.Granted, got.Share), got.For
	b.loan.until = began.Add(got.For * 3 / 4) // the rest is for coming down
	b.loan.pressing = got.Share < got.Granted
	start := b.schedule(now)
	b.mu.Unlock()
	b.run(start)
	b.ComeDown(now)
	return changed
}

// ComeDown closes idle connections that are too many, those that are least worth
// keeping first. The others are closed when they come back. It does not wait for that.
func (b *Budget) ComeDown(now time.Time) *sync.WaitGroup {
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

// GiveBack comes down to the budget's own slots, and is done when the channel is closed.
func (b *Budget) GiveBack() <-chan struct{} {
	b.mu.Lock()
	b.loan.n = 0
	b.mu.Unlock()
	done := make(chan struct{})
	closed := b.ComeDown(time.Now())
	go func() {
		closed.Wait()
		close(done)
	}()
	return done
}

// Kept returns what to tell the lender after [Budget.GiveBack].
func (b *Budget) Kept() BorrowRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	return BorrowRequest{Server: b.name, Total: b.loan.total, Keep: max(0, b.live-b.opts.Slots)}
}
