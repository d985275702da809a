package dbpool

import (
	"context"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
)

// loanTimeout bounds one call of a lender.
const loanTimeout = 2 * time.Second

// borrow borrows for the budgets of all servers until the context ends. No budget waits for the
// answer to another, nor does coming down wait for any.
func (p *Pool) borrow(ctx context.Context) {
	tick := time.NewTicker(sched.PressingInterval)
	defer tick.Stop()
	var calls sync.WaitGroup
	for ctx.Err() == nil {
		for _, b := range p.budgets() {
			now := time.Now()
			b.ComeDown(now)
			if ask, ok := b.Due(now); ok {
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
		calls.Go(func() { p.giveBack(b) })
	}
	calls.Wait()
}

// borrowFor borrows for a budget, and logs when that begins to fail and when it ends.
func (p *Pool) borrowFor(ctx context.Context, b *sched.Budget, ask sched.BorrowRequest, began time.Time) {
	short, cancel := context.WithTimeout(ctx, loanTimeout)
	defer cancel()
	got, err := p.opts.Lender.Borrow(short, BorrowRequest(ask))
	changed := b.Borrowed(sched.Loan(got), err, began)
	switch {
	case ctx.Err() != nil || !changed:
	case err != nil:
		p.opts.Logger.WarnContext(ctx, "dbpool: borrowing connections fails; the pool keeps to its own budget when the loan ends", "server", b.Name(), "error", err)
	default:
		p.opts.Logger.InfoContext(ctx, "dbpool: borrowing connections works again", "server", b.Name())
	}
}

// giveBack comes down to a budget's own slots, and tells the lender.
func (p *Pool) giveBack(b *sched.Budget) {
	ctx, cancel := context.WithTimeout(context.Background(), loanTimeout)
	defer cancel()
	select {
	case <-b.GiveBack():
	case <-ctx.Done():
	}
	_, _ = p.opts.Lender.Borrow(ctx, BorrowRequest(b.Kept())) // or it expires
}
