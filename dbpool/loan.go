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

// loan is what a group has of the connections that replicas share. The group's
// lock guards it.
type loan struct {
	total    int // how many all replicas share
	n        int // how many the group may have beyond its budget, until
	until    time.Time
	lasts    time.Duration
	asked    time.Time // when the lender was asked last
	missed   int       // how many idle ones gave up their place since
	pressing bool      // others want what the group has
	asking   bool      // the lender has not answered yet
	failing  bool      // the lender did not, the last time
}

// ceiling is how many connections there may be now.
func (g *group) ceiling(now time.Time) int {
	if g.loan.n > 0 && now.Before(g.loan.until) {
		return g.limits.budget + g.loan.n
	}
	return g.limits.budget
}

// due returns what to ask the lender, if it is time for that and the last answer
// has come.
func (g *group) due(now time.Time) (ask BorrowRequest, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := &g.loan
	if l.total == 0 || l.asking {
		return BorrowRequest{}, false
	}
	every := loanInterval
	if l.lasts > 0 {
		every = min(every, l.lasts/4)
	}
	wants := l.missed > 0 || g.live >= g.ceiling(now) && g.ring[foreground].len() > 0
	if l.pressing || wants && l.n < l.total {
		every = pressingInterval
	}
	if now.Sub(l.asked) < every {
		return BorrowRequest{}, false
	}
	return g.ask(now), true
}

// ask says what the group has and wants, and binds it to that until the answer.
// The caller has the lock.
func (g *group) ask(now time.Time) BorrowRequest {
	l := &g.loan
	wanted := g.live - len(g.idle) + g.ring[foreground].len() + g.ring[background].len() + l.missed - g.limits.budget
	if !now.Before(l.until) {
		l.n = 0
	}
	ask := BorrowRequest{Server: g.name, Total: l.total, Want: min(max(0, wanted), l.total)}
	ask.Keep = max(0, g.live-g.limits.budget, min(l.n, ask.Want))
	l.n, l.missed, l.asked, l.asking = ask.Keep, 0, now, true
	return ask
}

// borrow asks the lender, as of a time, and does as it says. When it fails, the
// group keeps what it said it would until the last loan ends. It reports whether
// the last call ended otherwise.
func (g *group) borrow(ctx context.Context, lender Lender, ask BorrowRequest, began time.Time) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, loanTimeout)
	defer cancel()
	got, err := lender.Borrow(ctx, ask)
	now := time.Now()
	g.mu.Lock()
	changed = (err != nil) != g.loan.failing
	g.loan.asking, g.loan.failing = false, err != nil
	if err != nil {
		g.mu.Unlock()
		return changed, err
	}
	g.loan.n, g.loan.lasts = min(got.Granted, got.Share), got.For
	g.loan.until = began.Add(got.For * 3 / 4) // the rest is for coming down
	g.loan.pressing = got.Share < got.Granted
	start := g.schedule(now)
	g.mu.Unlock()
	g.run(start)
	g.comeDown(now)
	return changed, nil
}

// comeDown closes idle connections that are too many, those that are least worth
// keeping first. The others end when they come back.
func (g *group) comeDown(now time.Time) *sync.WaitGroup {
	var closed sync.WaitGroup
	g.mu.Lock()
	defer g.mu.Unlock()
	for n := g.live - g.closing - g.ceiling(now); n > 0; n-- {
		c := g.victim(nil, now)
		if c == nil {
			break
		}
		g.removeIdle(c)
		closed.Add(1)
		g.discard(c, closed.Done)
	}
	return &closed
}

// giveBack comes down to the budget, and tells the lender.
func (g *group) giveBack(lender Lender) {
	ctx, cancel := context.WithTimeout(context.Background(), loanTimeout)
	defer cancel()
	g.mu.Lock()
	g.loan.n = 0
	g.mu.Unlock()
	done := make(chan struct{})
	closed := g.comeDown(time.Now())
	go func() {
		closed.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	g.mu.Lock()
	ask := BorrowRequest{Server: g.name, Total: g.loan.total, Keep: max(0, g.live-g.limits.budget)}
	g.mu.Unlock()
	_, _ = lender.Borrow(ctx, ask) // or it expires
}

// lend borrows for all groups until the context ends. No group waits for the
// answer to another, nor does coming down wait for any.
func (p *Pool) lend(ctx context.Context) {
	tick := time.NewTicker(pressingInterval)
	defer tick.Stop()
	var calls sync.WaitGroup
	for ctx.Err() == nil {
		for _, g := range p.groups() {
			now := time.Now()
			g.comeDown(now)
			if ask, ok := g.due(now); ok {
				calls.Go(func() { p.borrow(ctx, g, ask, now) })
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	calls.Wait()
	for _, g := range p.groups() {
		calls.Go(func() { g.giveBack(p.opts.Lender) })
	}
	calls.Wait()
}

// borrow borrows for a group, and logs when that begins to fail and when it ends.
func (p *Pool) borrow(ctx context.Context, g *group, ask BorrowRequest, began time.Time) {
	changed, err := g.borrow(ctx, p.opts.Lender, ask, began)
	switch {
	case ctx.Err() != nil || !changed:
	case err != nil:
		p.opts.Logger.WarnContext(ctx, "no connections are lent", "server", g.name, "error", err)
	default:
		p.opts.Logger.InfoContext(ctx, "connections are lent again", "server", g.name)
	}
}
