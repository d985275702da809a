package runs

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Follow yields how a run stands: at once, then whenever that changes, and last when
// the run has ended (see [State.Ended]). Any process may follow any run. While the
// database does not answer it yields the error and tries again, until the caller
// leaves the loop; a run that does not exist, and the end of ctx, end it with their
// error.
func (r *Runner) Follow(ctx context.Context, id string) iter.Seq2[Progress, error] {
	return func(yield func(Progress, error) bool) {
		var meter meter
		var last *Run
		for {
			run, err := r.Get(ctx, id)
			switch {
			case ctx.Err() != nil:
				yield(Progress{}, ctx.Err())
				return
			case errors.Is(err, tenancy.ErrNotFound):
				yield(Progress{}, err)
				return
			case err != nil:
				if !yield(Progress{}, err) {
					return
				}
			default:
				changed := last == nil || run.State != last.State || run.Reason != last.Reason || run.Wave != last.Wave || run.Counts != last.Counts
				last = run
				if changed && !yield(meter.progress(run, time.Now()), nil) || run.State.Ended() {
					return
				}
			}
			wait(ctx, r.opts.Poll)
		}
	}
}

// meter says how fast a run goes, by what it sees of it.
type meter struct {
	at       time.Time
	finished int
	rate     float64
}

// window is the time over which the rate is smoothed.
const window = 10 * time.Second

func (m *meter) progress(run *Run, now time.Time) Progress {
	n := run.Finished()
	passed := now.Sub(m.at).Seconds()
	switch {
	case m.at.IsZero() || run.State != StateRunning || n < m.finished:
		m.at, m.finished = now, n
	case passed > 0:
		rate := float64(n-m.finished) / passed
		weight := min(1, passed/window.Seconds())
		if m.rate == 0 {
			weight = 1
		}
		m.rate += weight * (rate - m.rate)
		m.at, m.finished = now, n
	}
	p := Progress{Run: *run, Rate: m.rate}
	if rest := run.Total - n; m.rate > 0 && rest > 0 {
		p.Left = time.Duration(float64(rest) / m.rate * float64(time.Second))
	}
	return p
}
