package dbpool

import (
	"context"
	"time"
)

// sweepMost is the longest time between two looks at idle connections.
const sweepMost = time.Minute

// age closes connections that are too old, or were idle for too long, until the context ends.
func (p *Pool) age(ctx context.Context) {
	every := sweepMost
	for _, d := range []time.Duration{p.opts.MaxLifetime, p.opts.MaxIdleTime} {
		if d > 0 {
			every = min(every, max(d/10, time.Second))
		}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, b := range p.budgets() {
				b.Sweep(now)
			}
		}
	}
}
