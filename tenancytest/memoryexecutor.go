package tenancytest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// MemoryExecutor is a [runs.Executor] that keeps tickets in memory and has them worked on
// by the runners of one process. A crash loses them.
type MemoryExecutor struct {
	ctx context.Context // the test's
	wg  sync.WaitGroup

	mu      sync.Mutex // guards runners
	runners []*runs.Runner
}

// NewMemoryExecutor returns an executor that works until the test ends.
func NewMemoryExecutor(t testing.TB) *MemoryExecutor {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	e := &MemoryExecutor{ctx: ctx}
	t.Cleanup(func() { cancel(); e.wg.Wait() })
	return e
}

// Serve lets a runner work on tickets.
func (e *MemoryExecutor) Serve(r *runs.Runner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.runners = append(e.runners, r)
}

// Execute implements [runs.Executor].
func (e *MemoryExecutor) Execute(_ context.Context, batch []runs.Ticket) error {
	for _, ticket := range batch {
		e.wg.Go(func() { e.do(ticket) })
	}
	return nil
}

// do offers a ticket to the runners until one has used it.
func (e *MemoryExecutor) do(ticket runs.Ticket) {
	tick := time.NewTicker(runPoll)
	defer tick.Stop()
	for e.ctx.Err() == nil {
		e.mu.Lock()
		all := slices.Clone(e.runners)
		e.mu.Unlock()
		for _, r := range all {
			state, err := r.Do(e.ctx, ticket, false)
			if state != "" || errors.Is(err, tenancy.ErrConflict) {
				return
			}
		}
		select {
		case <-e.ctx.Done():
		case <-tick.C:
		}
	}
}
